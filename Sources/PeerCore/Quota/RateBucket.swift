/// So many a second, with a burst (of one second, unless another is given): a token bucket, exact in whole numbers
/// however long it runs.
///
/// Over any stretch of t seconds it gives out at most `rate` × t + `burst`, and whoever takes all there is before it is
/// full gets `rate` × t, to the last token: what is not a whole token yet is kept, in billionths.
public struct RateBucket: Hashable, Sendable {
    private static let billion: UInt64 = 1_000_000_000

    /// Tokens a second.
    public private(set) var rate: Int
    /// At most so many at once.
    public private(set) var burst: Int
    private var tokens: UInt64
    /// Of one more token, in billionths; 0 while it is full.
    private var fraction: UInt64 = 0
    private var refilled: Instant

    /// Full at first. A rate below 1 is 1.
    ///
    /// - Parameter burst: below 1 is 1; `nil`: what comes in a second.
    public init(perSecond rate: Int, burst: Int? = nil, at now: Instant) {
        self.rate = max(1, rate)
        // What takes longer than 30 years to fill is no limit that anybody means.
        let (most, isAnything) = self.rate.multipliedReportingOverflow(by: Int(Self.billion))
        self.burst = min(max(1, burst ?? rate), isAnything ? .max : most)
        tokens = UInt64(self.burst)
        refilled = now
    }

    /// Another rate from now on, with a burst of one second; what is over that is lost.
    public mutating func change(perSecond rate: Int, at now: Instant) {
        refill(now)
        self.rate = max(1, rate)
        burst = self.rate
        tokens = min(tokens, UInt64(burst))
        if isFull { fraction = 0 }
    }

    /// How many there are.
    public mutating func available(at now: Instant) -> Int {
        refill(now)
        return Int(tokens)
    }

    /// As many as there are, up to `wanted`; 0 when there are none.
    public mutating func take(upTo wanted: Int, at now: Instant) -> Int {
        refill(now)
        let taken = min(tokens, UInt64(max(0, wanted)))
        tokens -= taken
        return Int(taken)
    }

    /// All of them or none. More than the burst is never there.
    public mutating func take(_ count: Int, at now: Instant) -> Bool {
        refill(now)
        guard count >= 0, tokens >= UInt64(count) else { return false }
        tokens -= UInt64(count)
        return true
    }

    /// What was taken and then not needed, such as the rest of a buffer that a read did not fill.
    public mutating func putBack(_ count: Int) {
        tokens = min(UInt64(burst), tokens + UInt64(max(0, count)))
        if isFull { fraction = 0 }
    }

    /// When there are `count` (at most the burst) if nobody takes any: the first nanosecond at which `take` gives them.
    public func ready(_ count: Int = 1) -> Instant {
        let wanted = min(UInt64(max(0, count)), UInt64(burst))
        guard wanted > tokens else { return refilled }
        // (wanted - tokens) × a billion - fraction, divided by the rate and rounded up.
        let product = (wanted - tokens).multipliedFullWidth(by: Self.billion)
        let (low, borrows) = product.low.subtractingReportingOverflow(fraction)
        let need = (high: product.high - (borrows ? 1 : 0), low: low)
        let (nanoseconds, rest) = UInt64(rate).dividingFullWidth(need)
        return refilled + Instant.Span(nanoseconds: nanoseconds + (rest > 0 ? 1 : 0))
    }

    /// Whether it is as if nobody had ever taken any.
    public mutating func isFull(at now: Instant) -> Bool {
        refill(now)
        return isFull
    }

    private var isFull: Bool { tokens == UInt64(burst) }

    private mutating func refill(_ now: Instant) {
        guard now > refilled, !isFull else {
            refilled = max(refilled, now)
            return
        }
        // Longer spans than fill it count as that, so that the quotient always fits.
        let span = min((now - refilled).nanoseconds, UInt64(burst / rate + 1) * Self.billion)
        refilled = now
        let product = UInt64(rate).multipliedFullWidth(by: span)
        let (low, carries) = product.low.addingReportingOverflow(fraction)
        let (gained, rest) = Self.billion.dividingFullWidth((product.high + (carries ? 1 : 0), low))
        tokens += min(gained, UInt64(burst) - tokens)
        fraction = isFull ? 0 : rest
    }
}
