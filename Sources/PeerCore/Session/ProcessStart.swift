public import PeerWire

/// When a process of a node began: which of two with one key goes on, at every relay and in the mesh alike.
///
/// The number is nanoseconds of the wall clock since 1970, but always more than any that the home has had: it is
/// written down before it is used. So a process is later than all former ones of its home, and a copy of a home is
/// later than whatever ran when it was copied, whatever the clocks say. Clocks decide only between two homes that were
/// both started since they were the same one, and who is not sure of them stops the other before.
public struct ProcessStart: Hashable, Sendable, Comparable {
    /// 0: it does not say; nothing is known of its order then.
    public var number: UInt64
    public var instance: ProcessInstance

    public init(number: UInt64, instance: ProcessInstance) {
        self.number = number
        self.instance = instance
    }

    /// What a database keeps as a number of its own, and the year 2262.
    public static let maximum = UInt64(Int64.max)

    /// - Parameters:
    ///   - last: of the home's last process; 0 before the first.
    ///   - clock: the wall clock, in nanoseconds since 1970; before that it counts as 0.
    public static func number(after last: UInt64, clock: Int64) -> UInt64 {
        let clock = UInt64(max(clock, 1))
        // Nothing comes after the last number there is; then the clock has to do.
        guard last < maximum else { return clock }
        return max(last + 1, clock)
    }

    /// As records have it.
    public var inRecords: NodeRecord.Process { .init(began: number, instance: instance.short) }

    /// Two homes may have one number, when they were copied from one whose clock was ahead. Then it does not matter
    /// which goes on, only that all agree.
    public static func < (one: ProcessStart, other: ProcessStart) -> Bool {
        guard one.number == other.number else { return one.number < other.number }
        return one.instance.bytes.lexicographicallyPrecedes(other.instance.bytes)
    }

    /// Whether this one must stop for the other: that is a later process. Where one of the two does not say when it
    /// began, the newest proof wins, and that is not known here.
    public func yields(to other: ProcessStart) -> Bool { number != 0 && other.number != 0 && self < other }
}
