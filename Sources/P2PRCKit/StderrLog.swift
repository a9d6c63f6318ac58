import Glibc
internal import Logging
internal import PeerWire

/// One plain line a message on standard error: time of day, level where it is a warning or worse, text.
struct StderrLog: LogHandler {
    var logLevel: Logger.Level = .info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var parts = tm()
        var seconds = time.tv_sec
        localtime_r(&seconds, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let clock = "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        let level = event.level >= .warning ? "\(event.level): " : ""
        Output.error("\(clock) \(level)\(Self.shown("\(event.message)"))")
    }

    /// One line, whatever others call themselves.
    static func shown(_ text: String) -> String {
        PlainText.cleaned(text.contains("\n") ? text.replacing("\n", with: " ") : text)
    }
}

/// Whole lines to standard output and standard error.
public enum Output {
    public static func result(_ text: String) { write(text + "\n", to: STDOUT_FILENO) }
    /// Never with a secret: what stands there ends up in journals and bug reports.
    public static func error(_ text: String) { write(CommandText.withoutSecrets(text) + "\n", to: STDERR_FILENO) }

    /// As it is, with no line end added.
    public static func document(_ bytes: [UInt8]) { write(String(decoding: bytes, as: UTF8.self), to: STDOUT_FILENO) }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }
}
