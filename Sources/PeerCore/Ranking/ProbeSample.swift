/// One measurement of a relay, over the transport that data would take.
public struct ProbeSample: Hashable, Sendable {
    /// When it was sent.
    public var at: Instant
    /// `nil`: it was lost, or took longer than anybody waits.
    public var roundTrip: Instant.Span?
    /// Until the connection stood, TLS included; `nil` for a sample on a connection that was there already.
    public var setUp: Instant.Span?
    /// How busy the relay says it is, 0 to 1. A claim, and it only ever speaks against the relay.
    public var load: Double?

    public init(at: Instant, roundTrip: Instant.Span?, setUp: Instant.Span? = nil, load: Double? = nil) {
        self.at = at
        self.roundTrip = roundTrip
        self.setUp = setUp
        self.load = load
    }
}

/// The samples of one relay, the oldest first: of the last five minutes, and so many at most.
public struct SampleLog: Hashable, Sendable {
    /// Two a second for five minutes, and what the probes add.
    public static let maximumSamples = 720
    public static let window = Instant.Span.seconds(300)

    public private(set) var samples: [ProbeSample] = []

    public init() {}

    public mutating func add(_ sample: ProbeSample) {
        // Answers may come in another order than their questions went out.
        var place = samples.count
        while place > 0, samples[place - 1].at > sample.at { place -= 1 }
        samples.insert(sample, at: place)
        // In blocks, for each removal moves all that stay.
        if samples.count >= Self.maximumSamples { samples.removeFirst(Self.maximumSamples / 8) }
    }

    /// Those that count at a time.
    public func current(at now: Instant) -> ArraySlice<ProbeSample> {
        guard let first = samples.firstIndex(where: { now - $0.at <= Self.window }) else { return [] }
        return samples[first...]
    }
}
