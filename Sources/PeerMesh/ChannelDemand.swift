/// How many ready data channels a session should keep, from how visitors come. Lives at the relay; the peer refills
/// by itself up to the number it was told.
///
/// Grows at once when a visitor finds none, halves after each quiet `decayInterval`, stays within its bounds.
public struct ChannelDemand: Sendable {
    public static let minimum = 4
    public static let maximum = 256
    static let decayInterval = Instant.Span.seconds(5)

    public private(set) var wanted = ChannelDemand.minimum
    /// Fewest that were ready at one time since the last decay.
    private var lowest = Int.max
    private var nextDecay: Instant

    public init(at now: Instant) { nextDecay = now + Self.decayInterval }

    /// A visitor took a channel, or waits for one: so many are ready and so many wait now. `true` when `wanted` grew.
    public mutating func visitorCame(ready: Int, waiting: Int) -> Bool {
        lowest = min(lowest, ready)
        guard waiting > 0 else { return false }
        let grown = min(Self.maximum, max(wanted * 2, wanted + waiting))
        defer { wanted = grown }
        return grown > wanted
    }

    /// `true` when `wanted` shrank.
    public mutating func timePassed(at now: Instant) -> Bool {
        guard now >= nextDecay else { return false }
        nextDecay = now + Self.decayInterval
        let unused = min(lowest, wanted)
        lowest = Int.max
        guard unused > wanted / 2, wanted > Self.minimum else { return false }
        wanted = max(Self.minimum, wanted / 2)
        return true
    }
}

/// Which numbers of data-channel hellos were used already: a window behind the highest one.
public struct UsedNumbers: Sendable {
    private var highest: UInt64 = 0
    private var window: [UInt64] = Array(repeating: 0, count: 16)
    private static let span: UInt64 = 1_024

    public init() {}

    /// `false` for a number that was used, or that is too old to tell.
    public mutating func use(_ number: UInt64) -> Bool {
        guard number > 0 else { return false }
        if number > highest {
            if number - highest >= Self.span {
                window = Array(repeating: 0, count: 16)
            } else {
                for passed in (highest + 1)...number { clear(passed) }
            }
            highest = number
        } else if highest - number >= Self.span {
            return false
        }
        let slot = number % Self.span
        let bit: UInt64 = 1 << (slot % 64)
        guard window[Int(slot / 64)] & bit == 0 else { return false }
        window[Int(slot / 64)] |= bit
        return true
    }

    private mutating func clear(_ number: UInt64) {
        let slot = number % Self.span
        window[Int(slot / 64)] &= ~(1 << (slot % 64))
    }
}
