public import PeerWire

/// When to measure which relay: those in use and the next best often, the others now and then, those that do not answer
/// ever less. Bounded: so many candidates, so many probes at once.
public struct ProbePlan: Sendable {
    public struct Limits: Hashable, Sendable {
        /// Samples of one probe, in parallel.
        public var samples = 5
        /// Probes at once.
        public var atOnce = 4
        /// Candidates that are measured; of more, the best and some drawn at random, others each time.
        public var candidates = 64
        public var drawn = 16
        /// How many of those not in use are measured often.
        public var alternates = 4
        public var held = Instant.Span.seconds(10)
        public var alternate = Instant.Span.seconds(20)
        public var other = Instant.Span.seconds(120)
        /// From the first probe to the second, so that there is a figure soon.
        public var second = Instant.Span.seconds(2)
        /// After a probe without an answer; doubled each time.
        public var firstPause = Instant.Span.seconds(5)
        public var longestPause = Instant.Span.seconds(600)
        /// The same for a relay that is waited for.
        public var awaitedPause = Instant.Span.seconds(2)
        public var probeLimit = Instant.Span.seconds(3)

        public init() {}
    }

    /// Measure this one, with so many samples at once; then `ended`.
    public struct Probe: Hashable, Sendable {
        public var key: NodeKey
        public var samples: Int

        public init(key: NodeKey, samples: Int) {
            self.key = key
            self.samples = samples
        }
    }

    private struct Entry: Sendable {
        var due: Instant
        var rounds = 0
        var failures: UInt64 = 0
        var since: Instant?
        var interval: Instant.Span
        var isAwaited = false
    }

    public let limits: Limits
    private var entries: [NodeKey: Entry] = [:]
    private var random: SeededGenerator

    public init(_ limits: Limits = Limits(), seed: UInt64) {
        self.limits = limits
        random = SeededGenerator(seed: seed)
    }

    public var planned: Int { entries.count }

    /// When something is due, if no probe ends before.
    public var nextDeadline: Instant? {
        entries.values.map { entry in entry.since.map { $0 + limits.probeLimit } ?? entry.due }.min()
    }

    /// The candidates anew.
    ///
    /// - Parameters:
    ///   - candidates: relays that are proven and have answered, the best first; of others see `StrangerProbes`.
    ///   - held: relays with a session.
    ///   - awaited: candidates that are likely to answer again soon, and are used when they do.
    ///   - isUrgent: the relay in use got worse: the alternates are measured at once.
    public mutating func update(
        _ candidates: [NodeKey], held: Set<NodeKey>, awaited: Set<NodeKey> = [], isUrgent: Bool = false,
        at now: Instant
    ) {
        var kept = candidates
        if candidates.count > limits.candidates {
            let best = candidates.prefix(limits.candidates - limits.drawn)
            let rest = candidates.dropFirst(best.count)
            // Those that are drawn already stay until they were measured twice.
            let begun = rest.filter { (entries[$0]?.rounds ?? 2) < 2 }.prefix(limits.drawn)
            let drawn = rest.filter { !begun.contains($0) }.shuffled(using: &random)
                .prefix(limits.drawn - begun.count)
            kept = Array(best) + begun + drawn
        }
        let wanted = Set(kept).union(held)
        entries = entries.filter { wanted.contains($0.key) }
        var alternates = 0
        for key in kept + held.subtracting(kept).sorted(by: { $0.tag < $1.tag }) {
            let isAlternate = !held.contains(key) && alternates < limits.alternates
            if isAlternate { alternates += 1 }
            let interval = held.contains(key) ? limits.held : isAlternate ? limits.alternate : limits.other
            guard var entry = entries[key] else {
                entries[key] = Entry(due: now, interval: interval, isAwaited: awaited.contains(key))
                continue
            }
            entry.isAwaited = awaited.contains(key)
            let isCloser = interval < entry.interval
            entry.interval = interval
            if entry.failures == 0, entry.since == nil {
                if isCloser { entry.due = min(entry.due, now + interval) }
                if isUrgent, isAlternate { entry.due = min(entry.due, now) }
            }
            entries[key] = entry
        }
    }

    /// What to measure now.
    public mutating func timePassed(at now: Instant) -> [Probe] {
        for (key, entry) in entries {
            if let since = entry.since, now >= since + limits.probeLimit { ended(key, answered: false, at: now) }
        }
        let free = limits.atOnce - entries.values.count { $0.since != nil }
        guard free > 0 else { return [] }
        let due = entries.filter { $0.value.since == nil && $0.value.due <= now }
            .sorted { ($0.value.due, $0.key.tag) < ($1.value.due, $1.key.tag) }
        return due.prefix(free).map { key, _ in
            entries[key]?.since = now
            return Probe(key: key, samples: limits.samples)
        }
    }

    /// - Parameter answered: whether any of the samples was.
    public mutating func ended(_ key: NodeKey, answered: Bool, at now: Instant) {
        guard var entry = entries[key], entry.since != nil else { return }
        entry.since = nil
        entry.rounds += 1
        entry.failures = answered ? 0 : entry.failures + 1
        var pause = entry.rounds == 1 ? limits.second : entry.interval
        if !answered {
            pause =
                entry.isAwaited
                ? limits.awaitedPause
                : min(limits.longestPause, limits.firstPause * (1 << min(entry.failures - 1, 16)))
        }
        entry.due = now + pause * UInt64.random(in: 80...120, using: &random) / 100
        entries[key] = entry
    }
}
