/// Whether a session's data channels come to anything: pings that are answered carry no visitor. Each group of channels
/// is one by itself; a session carries nothing when none of its groups does. Failures are those of the way and of the
/// relay; what this node cannot do for itself is none. No I/O, no clock.
public struct ChannelTrouble: Sendable {
    /// So many attempts in a row within `span`, and none that stood.
    public static let failures = 8
    public static let span = Instant.Span.seconds(10)

    private let groups: Int
    /// Of each group that is in trouble, when attempts failed; the last ones.
    private var failed: [UInt8: [Instant]] = [:]
    private var broken: Set<UInt8> = []

    public init(groups: Int) { self.groups = max(1, groups) }

    public var carriesNothing: Bool { broken.count >= groups }

    /// The result says whether `carriesNothing` has changed.
    public mutating func channelFailed(_ group: UInt8, at now: Instant) -> Bool {
        guard Int(group) < groups else { return false }
        let before = carriesNothing
        let times = (failed[group, default: []] + [now]).suffix(Self.failures)
        failed[group] = Array(times)
        if times.count == Self.failures, now - times[times.startIndex] <= Self.span { broken.insert(group) }
        return carriesNothing != before
    }

    public mutating func channelStands(_ group: UInt8) -> Bool {
        let before = carriesNothing
        failed[group] = nil
        broken.remove(group)
        return carriesNothing != before
    }
}
