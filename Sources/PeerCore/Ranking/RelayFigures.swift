/// What the samples of a relay come to at one time. A pure function of both.
///
/// The latency is the best of the last five minutes, for whatever adds to it is somebody's queue and not the way. But
/// a way that has become longer must not shine with what it was: when every answer for `shiftSpan` is clearly worse
/// than the best before, what was before no longer counts.
public struct RelayFigures: Hashable, Sendable {
    /// Answers that it takes for a latency.
    public static let fewestAnswers = 3
    /// Answers in a row, and the time from the first to the last of them, that prove a way has become longer.
    public static let shiftAnswers = 6
    public static let shiftSpan = Instant.Span.seconds(8)
    /// Losses in a row that prove silence.
    public static let silentLosses = 5
    /// The last so many samples are what loss is counted on.
    public static let lossSamples = 100

    /// The best, and the one in the middle; `nil` without an answer.
    public var latency: Instant.Span?
    public var median: Instant.Span?
    /// The middle of how much one answer differs from the one before it.
    public var jitter: Instant.Span?
    /// The best.
    public var setUp: Instant.Span?
    /// 0 to 1.
    public var loss: Double
    /// How much of the loss is not chance: 2 of 40 that are lost may well be 2 of 400. What `cost` counts.
    public var certainLoss: Double
    public var load: Double
    public var answers: Int
    public var samples: Int
    /// The last ones were all lost.
    public var isSilent: Bool

    /// Of a relay that was never measured, as most are where many are known.
    static let unmeasured = RelayFigures(SampleLog(), at: .zero)

    public init(_ log: SampleLog, at now: Instant) {
        let current = Array(Self.sinceShift(log.current(at: now)))
        let answered = current.compactMap(\.roundTrip)
        let sorted = answered.sorted()
        latency = sorted.first
        median = sorted.isEmpty ? nil : sorted[sorted.count / 2]
        let steps = Self.steps(answered)
        jitter = steps.isEmpty ? nil : steps[steps.count / 2]
        setUp = current.compactMap(\.setUp).min()
        // What was asked before it was there at all says nothing of its way: it was just started, perhaps.
        let there = current.drop { $0.roundTrip == nil }
        let last = (there.isEmpty ? current[...] : there).suffix(Self.lossSamples)
        let lost = last.count { $0.roundTrip == nil }
        loss = last.isEmpty ? 0 : Double(lost) / Double(last.count)
        certainLoss = Self.leastShare(lost, of: last.count)
        let said: Double = current.last { $0.load != nil }?.load ?? 0
        // What is no number at all is no load either.
        load = said > 0 ? min(1, said) : 0
        answers = answered.count
        samples = current.count
        isSilent =
            current.count >= Self.silentLosses
            && current.suffix(Self.silentLosses).allSatisfy { $0.roundTrip == nil }
    }

    /// The lower end of the Wilson interval, for two standard deviations.
    private static func leastShare(_ count: Int, of all: Int) -> Double {
        guard count > 0, all > 0 else { return 0 }
        let (n, share, z2) = (Double(all), Double(count) / Double(all), 4.0)
        let root: Double = (z2 * (share * (1 - share) / n + z2 / (4 * n * n))).squareRoot()
        return max(0, (share + z2 / (2 * n) - root) / (1 + z2 / n))
    }

    /// How much each differs from the one before, the least first.
    private static func steps(_ spans: [Instant.Span]) -> [Instant.Span] {
        var steps: [Instant.Span] = []
        for (one, next) in zip(spans, spans.dropFirst()) { steps.append(max(one, next) - min(one, next)) }
        return steps.sorted()
    }

    private static func sinceShift(_ samples: ArraySlice<ProbeSample>) -> ArraySlice<ProbeSample> {
        var start = samples.startIndex
        var lowest: Instant.Span?
        var run: (start: Int, answers: Int, lowest: Instant.Span)?
        for index in samples.indices {
            guard let roundTrip = samples[index].roundTrip else { continue }
            guard let low = lowest, roundTrip >= clearlyAbove(low) else {
                lowest = min(lowest ?? roundTrip, roundTrip)
                run = nil
                continue
            }
            var next = run ?? (index, 0, roundTrip)
            next.answers += 1
            next.lowest = min(next.lowest, roundTrip)
            run = next
            if next.answers >= shiftAnswers, samples[index].at - samples[next.start].at >= shiftSpan {
                start = next.start
                lowest = next.lowest
                run = nil
            }
        }
        return samples[start...]
    }

    /// Ten milliseconds and a third more.
    private static func clearlyAbove(_ span: Instant.Span) -> Instant.Span {
        span + max(Ranking.margin, span / 3)
    }

    /// What a relay costs a visitor, as a time: the latency, and what loss and load are likely to add. `nil` while it
    /// is not known.
    public var cost: Instant.Span? {
        guard let latency, answers >= Self.fewestAnswers, !isSilent else { return nil }
        // A lost segment costs a retransmission time-out, 200 ms at least (Linux, TCP_RTO_MIN). A busy relay queues:
        // nothing to speak of at half its load.
        let queue: Double = load * load
        let milliseconds: Double = latency.milliseconds * (1 + queue) + certainLoss * 200 + queue * 20
        return .microseconds(UInt64(milliseconds * 1_000))
    }
}
