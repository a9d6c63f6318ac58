/// How long to wait before the next attempt: starts fast, doubles, is spread by a quarter either way, and is never
/// longer than `SessionTiming.longestBackoff`, or what is asked for.
public struct Backoff: Sendable {
    private var failures: UInt64 = 0
    private var random: SeededGenerator

    public init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    public mutating func next(atMost longest: Instant.Span = SessionTiming.longestBackoff) -> Instant.Span {
        let doubled = SessionTiming.firstBackoff * (1 << min(failures, 16))
        failures += 1
        let bounded = min(doubled, longest)
        let spread = bounded * UInt64.random(in: 75...125, using: &random) / 100
        return min(spread, longest)
    }

    public mutating func reset() { failures = 0 }
}
