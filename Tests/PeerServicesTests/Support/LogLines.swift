import Logging
import Synchronization

/// What a node says in its log.
final class LogLines: Sendable {
    private struct Collector: LogHandler {
        let lines: LogLines
        var logLevel: Logger.Level = .info
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { lines.add("\(event.level): \(event.message)") }
    }

    private let lines = Mutex<[String]>([])

    var logger: Logger { Logger(label: "test") { [self] _ in Collector(lines: self) } }

    /// Each with its level in front: `info: …`.
    var all: [String] { lines.withLock { $0 } }

    private func add(_ line: String) { lines.withLock { $0.append(line) } }

    func first(with text: String) -> String? { all.first { $0.contains(text) } }
    func count(of text: String) -> Int { all.count { $0.contains(text) } }
}
