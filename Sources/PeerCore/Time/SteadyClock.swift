/// The wall clock as a process goes by it: what passed while it runs is what the monotonic clock says. A clock that was
/// wrong for a moment (an answer of NTP, a machine that wakes up) ends nothing that others were promised.
///
/// Where the wall clock is ahead of the time that passed, that counts after an hour of running time; until then nothing
/// ends by it. Where it is behind, it counts at once, for nothing ends by that.
public struct SteadyClock: Sendable {
    public enum Change: Hashable, Sendable {
        /// The wall clock differs from the time that passed, by so many seconds.
        case jumped(seconds: Int64)
        /// It counts from now on: points in time that were kept by it move so far, and with that nothing comes closer.
        case adopted(seconds: Int64)
    }

    /// In seconds; what is less is a clock that is set right.
    public static let tolerance: UInt64 = 180
    public static let patience = Instant.Span.seconds(3_600)

    /// Seconds of the wall clock minus those of the monotonic one.
    private var offset: Int64?
    private var ahead: (offset: Int64, since: Instant)?

    public init() {}

    /// The time that counts, where the wall clock says `wall`.
    public mutating func read(_ wall: WallTime, at now: Instant) -> (time: WallTime, changes: [Change]) {
        let running = Int64(clamping: now.nanoseconds / 1_000_000_000)
        let said = wall.seconds &- running
        let gap = offset.map { said &- $0 } ?? 0
        guard let offset, gap.magnitude > Self.tolerance else {
            self.offset = said
            ahead = nil
            return (wall, [])
        }
        if gap < 0 {
            self.offset = said
            ahead = nil
            return (wall, [.jumped(seconds: gap), .adopted(seconds: gap)])
        }
        let steady = WallTime(seconds: running &+ offset)
        guard let since = ahead.flatMap({ (said &- $0.offset).magnitude <= Self.tolerance ? $0.since : nil }) else {
            ahead = (said, now)
            return (steady, [.jumped(seconds: gap)])
        }
        ahead = (said, since)
        guard now - since >= Self.patience else { return (steady, []) }
        self.offset = said
        ahead = nil
        return (wall, [.adopted(seconds: gap)])
    }
}
