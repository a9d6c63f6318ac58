/// Bounds what a log takes in, for each cause of lines and in all: what strangers and members can cause must neither
/// fill a disk nor bury what matters. What is held back is counted, and said with the next line of its cause that is
/// written.
///
/// Of what there is for all, half is kept for causes of which nothing is held back and that have most of their own
/// left: those that are loud bury none that is quiet.
public struct LineBudget: Sendable {
    /// So many at once, and then one more each `interval`.
    public struct Allowance: Hashable, Sendable {
        public var burst: Int
        public var interval: Instant.Span

        public init(burst: Int, interval: Instant.Span) {
            self.burst = max(1, burst)
            self.interval = max(interval, Instant.Span(nanoseconds: 1))
        }

        /// Of one cause: twenty lines at once, then twelve a minute.
        public static let cause = Allowance(burst: 20, interval: .seconds(5))
        /// Of all causes together: 200 lines at once, then sixty a minute.
        public static let all = Allowance(burst: 200, interval: .seconds(1))
    }

    /// A token bucket of whole lines.
    private struct Bucket: Sendable {
        let allowance: Allowance
        var lines: Int
        /// When the last whole line was added.
        var filled: Instant

        init(_ allowance: Allowance, at now: Instant) {
            self.allowance = allowance
            lines = allowance.burst
            filled = now
        }

        var isFull: Bool { lines == allowance.burst }
        /// When there is a line to be had.
        var ready: Instant { ready(over: 0) }

        /// When there is one more than so many.
        func ready(over kept: Int) -> Instant {
            lines > kept ? filled : filled + allowance.interval * UInt64(kept + 1 - lines)
        }

        mutating func refill(_ now: Instant) {
            let gained = (now - filled).nanoseconds / allowance.interval.nanoseconds
            guard gained < UInt64(allowance.burst - lines) else {
                lines = allowance.burst
                return filled = max(filled, now)
            }
            lines += Int(gained)
            filled = filled + allowance.interval * gained
        }
    }

    private struct Cause: Sendable {
        var bucket: Bucket
        var held = 0
        /// The last one that was held back: what is so now.
        var latest = ""
        var isUrgent = false
    }

    private static let others = ""

    private let each: Allowance
    private let maximumCauses: Int
    private var all: Bucket
    private var causes: [String: Cause] = [:]
    /// Causes of which something is held back.
    private var waiting: Set<String> = []

    /// - Parameter maximumCauses: what is beyond them shares one allowance.
    public init(each: Allowance = .cause, all: Allowance = .all, maximumCauses: Int = 512) {
        self.each = each
        self.maximumCauses = maximumCauses
        self.all = Bucket(all, at: .zero)
    }

    /// What is to be written now: the line, with a word about those of its cause that were held back before; or `nil`,
    /// and it is held back itself.
    ///
    /// - Parameter isUrgent: it counts for its cause only.
    public mutating func offer(_ line: String, of cause: String, isUrgent: Bool = false, at now: Instant) -> String? {
        let name = name(for: cause, now)
        var entry = causes[name] ?? Cause(bucket: Bucket(each, at: now))
        defer { causes[name] = entry }
        guard take(&entry, isUrgent: isUrgent, now) else {
            entry.held += 1
            entry.latest = line
            entry.isUrgent = isUrgent
            waiting.insert(name)
            return nil
        }
        let held = entry.held
        entry.held = 0
        waiting.remove(name)
        return Self.text(line, and: held)
    }

    /// The latest of each cause that was held back, where there is room again and nothing newer came.
    public mutating func due(at now: Instant) -> [String] {
        var lines: [String] = []
        for name in waiting.sorted() {
            guard var entry = causes[name], take(&entry, isUrgent: entry.isUrgent, now) else { continue }
            lines.append(Self.text(entry.latest, and: entry.held - 1))
            entry.held = 0
            waiting.remove(name)
            causes[name] = entry
        }
        return lines
    }

    /// When `due` has something, if anything is held back at all.
    public var nextDue: Instant? {
        waiting.compactMap { causes[$0] }.map { cause in
            cause.isUrgent ? cause.bucket.ready : max(cause.bucket.ready, all.ready(over: kept(from: cause)))
        }.min()
    }

    /// All that is held back, whatever the budget says: nothing comes any more.
    public mutating func rest() -> [String] {
        defer {
            causes = [:]
            waiting = []
        }
        return waiting.sorted().compactMap { causes[$0] }.map { Self.text($0.latest, and: $0.held - 1) }
    }

    private mutating func take(_ cause: inout Cause, isUrgent: Bool, _ now: Instant) -> Bool {
        cause.bucket.refill(now)
        all.refill(now)
        guard cause.bucket.lines > 0, isUrgent || all.lines > kept(from: cause) else { return false }
        cause.bucket.lines -= 1
        all.lines = max(0, all.lines - 1)
        return true
    }

    /// What a cause leaves to the quiet ones of the lines for all.
    private func kept(from cause: Cause) -> Int {
        cause.held == 0 && cause.bucket.lines > each.burst / 2 ? 0 : all.allowance.burst / 2
    }

    private mutating func name(for cause: String, _ now: Instant) -> String {
        if causes[cause] != nil { return cause }
        if causes.count >= maximumCauses {
            // As if they had never been.
            for (name, entry) in causes where entry.held == 0 {
                var bucket = entry.bucket
                bucket.refill(now)
                if bucket.isFull { causes[name] = nil }
            }
        }
        return causes.count < maximumCauses ? cause : Self.others
    }

    private static func text(_ line: String, and held: Int) -> String {
        held == 0 ? line : "\(line) (and \(held) more like it)"
    }
}
