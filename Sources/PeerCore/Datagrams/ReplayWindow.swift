/// Which numbered datagrams have come: each number counts once, and those that are too old not at all (RFC 4303,
/// section 3.4.3; the ring of words is that of RFC 6479).
///
/// A number counts only once the datagram is authentic, so looking (`mayTake`) and noting (`take`) are two steps.
public struct ReplayWindow: Sendable {
    /// Numbers behind the highest one that may still come.
    public static let size: UInt64 = 2_048
    /// One word more than the window has: the one that is being begun is never part of it.
    private static let words = Int(size / 64) + 1

    private var bits = [UInt64](repeating: 0, count: ReplayWindow.words)
    /// The first number that has not come and lies behind all that have.
    public private(set) var next: UInt64 = 0

    public init() {}

    /// Whether a datagram with that number may be taken, if it is authentic.
    public func mayTake(_ number: UInt64) -> Bool {
        guard number < next else { return number < .max }
        guard next - number <= Self.size else { return false }
        return bits[Self.word(of: number)] & Self.bit(of: number) == 0
    }

    /// Notes an authentic datagram.
    ///
    /// - Returns: whether it is the first of that number, and not too old.
    public mutating func take(_ number: UInt64) -> Bool {
        guard mayTake(number) else { return false }
        if number >= next {
            // Words that are begun only now have numbers of a round before.
            let new = number / 64
            let begun = next == 0 ? 0 : (next - 1) / 64 + 1
            let first = max(begun, new - min(new, UInt64(Self.words) - 1))
            if first <= new { for word in first...new { bits[Int(word % UInt64(Self.words))] = 0 } }
            next = number + 1
        }
        bits[Self.word(of: number)] |= Self.bit(of: number)
        return true
    }

    private static func word(of number: UInt64) -> Int { Int(number / 64 % UInt64(words)) }
    private static func bit(of number: UInt64) -> UInt64 { 1 << (number % 64) }
}
