import Glibc
internal import PeerCore
internal import PeerReactor

/// Whole lines to standard output and standard error. A command waits until they are written; a node never does, from
/// `detach` on.
public enum Output {
    /// Bytes of each that wait, at most: some thousand lines.
    private static let capacity = 1 << 20
    /// What a process that ends waits for somebody who reads.
    private static let lastChance = Instant.Span.seconds(1)

    private static let results = LineWriter(
        STDOUT_FILENO, capacity: capacity,
        // A line for each public port, and once in a while the same again.
        budget: LineBudget(all: .init(burst: 8_192, interval: .milliseconds(100)), maximumCauses: 8_192),
        notice: { "\($0) lines were lost here, because nobody read them" })
    private static let errors = LineWriter(
        STDERR_FILENO, capacity: capacity, budget: LineBudget(), prefix: { "\(Output.localTime()) " },
        notice: { "warning: \($0) lines were lost here, because nobody read them" })

    public static func result(_ text: String) { results.write(text) }
    /// Never with a secret: what stands there ends up in journals and bug reports.
    public static func error(_ text: String) { errors.write(CommandText.withoutSecrets(text)) }

    /// As it is, with no line end added.
    public static func document(_ bytes: [UInt8]) { results.write(bytes: bytes) }

    /// A result that a running node has more than once: each text so often only.
    static func announce(_ text: String) { results.write(text, of: text) }

    static func log(_ text: String, of cause: String, isUrgent: Bool) {
        errors.write(CommandText.withoutSecrets(text), of: cause, isUrgent: isUrgent)
    }

    /// From now on threads of their own write, and nobody waits for them.
    static func detach() throws(SystemError) {
        try results.start()
        try errors.start()
    }

    /// At the end of the process: what is queued is written, if somebody takes it within a second.
    public static func finish() {
        results.flush(within: lastChance / 2)
        errors.flush(within: lastChance / 2)
    }

    /// As in `2026-03-29 18:04:59`.
    private static func localTime() -> String {
        var seconds = time_t()
        time(&seconds)
        var parts = tm()
        localtime_r(&seconds, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(parts.tm_year + 1_900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) "
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
    }
}
