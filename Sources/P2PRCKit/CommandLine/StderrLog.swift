internal import Logging
internal import PeerServices
internal import PeerWire

/// A log line on standard error: date and time of day, level, text. The statement that it comes from is its cause, and
/// whom it is about (`LogParty`); each may write so many a minute (`LineBudget`); that it is about errors saves it from
/// what others write.
struct StderrLog: LogHandler {
    var logLevel: Logger.Level = .info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let text = Self.shown("\(event.message)")
        let party = (event.metadata?[LogParty.key] ?? metadata[LogParty.key]).map { " \($0)" } ?? ""
        Output.log(
            "\(event.level): \(text)", of: "\(event.file):\(event.line)\(party)", isUrgent: event.level >= .error)
    }

    /// One line, whatever others call themselves.
    static func shown(_ text: String) -> String {
        PlainText.cleaned(text.contains("\n") ? text.replacing("\n", with: " ") : text)
    }
}
