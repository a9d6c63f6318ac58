internal import FoundationEssentials
internal import Glibc
internal import PeerStorage

/// Secrets that a user hands over in a file or on standard input, so that no command line shows them.
enum SecretInput {
    /// - Parameter name: a file, or `-` for standard input.
    static func read(_ name: String, what: String) throws(CommandError) -> String {
        let text = name == "-" ? readLine() : try file(name, what)
        let trimmed = text?.split(whereSeparator: \.isWhitespace).first.map(String.init)
        guard let trimmed else { throw CommandError(.usage, "\(what) \(name): there is nothing in it") }
        return trimmed
    }

    private static func file(_ name: String, _ what: String) throws(CommandError) -> String {
        let bytes: [UInt8]?
        do throws(StorageError) { bytes = try SecretFile.read(at: name) } catch {
            throw CommandError(.usage, "\(what): \(error)")
        }
        guard let bytes else { throw CommandError(.usage, "\(what) \(name): there is no such file") }
        return String(decoding: bytes, as: UTF8.self)
    }
}
