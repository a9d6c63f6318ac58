internal import PeerCore
internal import PeerStorage
internal import PeerWire

/// What the probes of one node came to, for people and listings. What relays are chosen by is `RelayFigures`.
struct ProbeFigures: Hashable, Sendable {
    /// Of round trips; `nil` without an answer.
    var best: Instant.Span?
    var median: Instant.Span?
    /// 19 of 20 were not longer.
    var p95: Instant.Span?
    /// The middle of how much one answer differs from the one before it.
    var jitter: Instant.Span?
    var setUp: Instant.Span?
    /// 0 to 1; `nil` without a probe.
    var loss: Double?
    var probes = 0

    init() {}

    /// - Parameter samples: of one node, the oldest first.
    init(_ samples: some Collection<NodeSample>) {
        let answers = samples.compactMap(\.roundTrip)
        let sorted = answers.sorted()
        probes = samples.count
        if probes > 0 { loss = Double(probes - answers.count) / Double(probes) }
        best = sorted.first
        median = Self.quantile(sorted, 50)
        p95 = Self.quantile(sorted, 95)
        jitter = Self.quantile(zip(answers, answers.dropFirst()).map { max($0, $1) - min($0, $1) }.sorted(), 50)
        setUp = samples.compactMap(\.setUp).min()
    }

    /// Of sorted values: the smallest that so many percent are not above.
    private static func quantile(_ sorted: [Instant.Span], _ percent: Int) -> Instant.Span? {
        guard !sorted.isEmpty else { return nil }
        return sorted[max(0, (sorted.count * percent + 99) / 100 - 1)]
    }

    /// - Parameter samples: of any nodes, those of one together.
    static func ofEach(_ samples: [NodeSample]) -> [NodeKey: ProbeFigures] {
        var figures: [NodeKey: ProbeFigures] = [:]
        var start = 0
        while start < samples.count {
            let end = samples[start...].firstIndex { $0.node != samples[start].node } ?? samples.count
            figures[samples[start].node] = ProbeFigures(samples[start..<end])
            start = end
        }
        return figures
    }
}
