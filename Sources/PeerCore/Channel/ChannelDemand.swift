/// How many ready data channels a group should keep, from how visitors come. Lives at the relay; the peer refills
/// by itself up to the number it was told.
///
/// A channel comes back when its visitor has gone, so what is wanted is small: an eighth of those in use for visitors
/// to come, within bounds, for visitors who stay need none; and more only as long as some wait.
public struct ChannelDemand: Sendable {
    /// Of all groups of a session together, where those are not more.
    public static let minimum = 4
    /// Of one group.
    public static let maximum = 256
    /// Kept for visitors to come, however many are there.
    static let maximumReserve = 16
    static let interval = Instant.Span.seconds(5)
    /// Visitors come in bursts, and a channel that waits costs a few KiB, where a new one costs two ends a handshake:
    /// so many unused ones wait for so many intervals.
    public static let maximumIdle = 64
    static let patience = 6
    /// Channels of a group that may be there unused at most.
    public static let maximumKept = maximum + maximumIdle

    private let minimum: Int
    public private(set) var wanted: Int
    /// Fewest that were ready at one time in this interval.
    private var lowest = Int.max
    private var nextLook: Instant
    /// Intervals in which some were unused.
    private var idleIntervals = 0
    /// Most that were carried at one time lately, and in the span of time before.
    private var peaks = (now: 0, before: 0)
    private var intervals = 0

    /// - Parameter groups: that the session has.
    public init(groups: Int = 1, at now: Instant) {
        minimum = Self.minimum(inEachOf: groups)
        wanted = minimum
        nextLook = now + Self.interval
    }

    /// What each group begins with.
    public static func minimum(inEachOf groups: Int) -> Int { max(1, minimum / max(1, groups)) }

    /// A visitor took a channel; so many are left, and so many visitors are carried with it.
    public mutating func taken(left: Int, carried: Int) {
        lowest = min(lowest, left)
        peaks.now = max(peaks.now, carried)
    }

    /// How many may be there unused: what is wanted and some more, and where many visitors were at once lately, what
    /// they leave behind for the next ones. A peer that just opens them has no more than that.
    public var kept: Int {
        min(Self.maximumKept, max(wanted, peaks.now, peaks.before) + Self.maximumIdle)
    }

    /// So many visitors wait now, and so many are being carried. `true` when the peer should be told of a new `wanted`.
    public mutating func look(waiting: Int, carried: Int) -> Bool {
        let reserve = max(minimum, min(Self.maximumReserve, carried / 8))
        let needed = min(Self.maximum, reserve + waiting)
        if waiting > 0 {
            lowest = 0
            guard needed > wanted else { return false }
            // Twice those that wait, so that a growing crowd is told of a few times and not for each.
            wanted = min(Self.maximum, reserve + 2 * waiting)
            return true
        }
        defer { wanted = needed }
        return needed != wanted
    }

    /// How many of the ready channels nobody needed for a whole interval, or for several. To be asked from time to
    /// time.
    public mutating func unused(ready: Int, at now: Instant) -> Int {
        guard now >= nextLook else { return 0 }
        nextLook = now + Self.interval
        intervals += 1
        if intervals >= Self.patience {
            intervals = 0
            peaks = (0, peaks.now)
        }
        defer { lowest = ready }
        let surplus = max(0, min(lowest, ready) - wanted)
        idleIntervals = surplus > 0 ? idleIntervals + 1 : 0
        guard idleIntervals < Self.patience else {
            idleIntervals = 0
            return surplus
        }
        return max(0, surplus - Self.maximumIdle)
    }
}

/// Which numbers of a group's hellos were used already: a window behind the highest one.
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
