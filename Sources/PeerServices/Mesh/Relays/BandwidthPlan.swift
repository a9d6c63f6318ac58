internal import PeerCore
internal import PeerWire

/// When to measure how fast bytes go to a relay and back: seldom, one relay at a time, and never while visitors' bytes
/// are on their way.
struct BandwidthPlan {
    /// After the start, so that what matters more comes first.
    static let firstPause = Instant.Span.seconds(10)
    /// Between two relays, and for one of them again.
    static let pause = Instant.Span.seconds(60)
    static let interval = Instant.Span.seconds(6 * 3_600)
    /// Relays that are remembered.
    static let remembered = 1_024

    private var measured: [NodeKey: Instant] = [:]
    private var next: Instant
    private var isUnderWay = false

    init(at now: Instant) { next = now + Self.firstPause }

    /// - Parameter relays: those that can be used, the best first.
    mutating func choose(_ relays: [NodeKey], at now: Instant) -> NodeKey? {
        guard !isUnderWay, now >= next else { return nil }
        next = now + Self.pause
        if measured.count > Self.remembered { measured = measured.filter { now - $0.value < Self.interval } }
        guard let key = relays.first(where: { key in measured[key].map { now - $0 >= Self.interval } ?? true }) else {
            return nil
        }
        isUnderWay = true
        return key
    }

    /// - Parameter isMeasured: otherwise it is tried again in a minute.
    mutating func ended(_ key: NodeKey, isMeasured: Bool, at now: Instant) {
        isUnderWay = false
        if isMeasured { measured[key] = now }
    }
}
