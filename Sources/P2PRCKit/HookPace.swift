internal import PeerMesh

/// How often the hook runs: at most once in ten seconds, whatever a relay does; but at once where an address that was
/// published is gone, unless that happened in the same span before. No I/O, no clock.
struct HookPace: Sendable {
    static let pause = Instant.Span.seconds(10)

    private var last: Instant?
    private var lastLoss: Instant?

    /// How long a change has to wait; while it does, the latest one counts.
    func wait(isLoss: Bool, at now: Instant) -> Instant.Span {
        guard let last, now < last + Self.pause else { return .zero }
        if isLoss, lastLoss.map({ now >= $0 + Self.pause }) ?? true { return .zero }
        return last + Self.pause - now
    }

    /// It runs now.
    mutating func ran(isLoss: Bool, at now: Instant) {
        last = now
        if isLoss { lastLoss = now }
    }
}
