/// How long the pings of one relay take: for listings, for the choice among relays, and to be written down now and
/// then. No I/O, no clock.
public struct RelayLatency: Sendable {
    /// One sample is written down for so long: the best of those taken meanwhile.
    public static let interval = Instant.Span.seconds(5)
    /// Of so many pings the best one is shown.
    private static let shown = 5

    /// The best of the last few.
    public private(set) var best: Instant.Span?
    /// What the pings of the last minutes took, in this session.
    public private(set) var figures = SampleLog()
    private var samples: [Instant.Span] = []
    private var lastWritten: Instant?

    public init() {}

    public mutating func sessionBegan() {
        figures = SampleLog()
        lastWritten = nil
    }

    /// - Returns: what is to be written down now, if anything.
    public mutating func measured(_ roundTrip: Instant.Span, at now: Instant) -> Instant.Span? {
        figures.add(ProbeSample(at: now, roundTrip: roundTrip))
        samples.append(roundTrip)
        best = samples.suffix(Self.shown).min()
        if let lastWritten, now - lastWritten < Self.interval { return nil }
        lastWritten = now
        defer { samples = [] }
        return samples.min()
    }
}
