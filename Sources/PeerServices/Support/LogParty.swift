internal import Logging

/// Whom a line of the log is about, where that is somebody else who may cause many. Lines are limited for each of them
/// by itself, so one who comes and goes all the time takes nothing from the lines about the others. A membership or a
/// relay, never a node key: those cost nothing to make.
public enum LogParty {
    /// In a line's metadata.
    public static let key = "party"
}

extension Logger {
    func about(_ party: some CustomStringConvertible) -> Logger {
        var log = self
        log[metadataKey: LogParty.key] = .string(party.description)
        return log
    }
}
