/// So many at once, and one more with each `pause`: for what another party causes and what costs this node something.
public struct Allowance: Hashable, Sendable {
    public let burst: Int
    public let pause: Instant.Span
    private var left: Int
    private var refilled = Instant.zero

    public init(burst: Int, pause: Instant.Span) {
        self.burst = burst
        self.pause = pause
        left = burst
    }

    /// `false` when there is none left.
    public mutating func take(at now: Instant) -> Bool {
        let refill = (now - refilled).nanoseconds / pause.nanoseconds
        if refill > 0 {
            left = min(burst, left + Int(min(refill, UInt64(burst))))
            refilled = now
        }
        guard left > 0 else { return false }
        left -= 1
        return true
    }

    /// Whether it is as if nobody had ever taken any, so that it need not be kept.
    public func isFull(at now: Instant) -> Bool {
        left == burst || (now - refilled).nanoseconds / pause.nanoseconds >= UInt64(burst - left)
    }
}
