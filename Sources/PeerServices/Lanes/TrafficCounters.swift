/// What happened to the bytes of one mapping. Counts since the process started.
public struct TrafficCounters: Hashable, Sendable {
    public var connections: UInt64 = 0
    public var open = 0
    /// Visitors who got no channel or no answer in time.
    public var failed: UInt64 = 0
    /// Visitors who were not let in: by a filter, by a limit of the membership, or for want of room.
    public var refused: UInt64 = 0
    public var bytesFromVisitors: UInt64 = 0
    public var bytesToVisitors: UInt64 = 0

    static func + (left: TrafficCounters, right: TrafficCounters) -> TrafficCounters {
        TrafficCounters(
            connections: left.connections + right.connections, open: left.open + right.open,
            failed: left.failed + right.failed, refused: left.refused + right.refused,
            bytesFromVisitors: left.bytesFromVisitors + right.bytesFromVisitors,
            bytesToVisitors: left.bytesToVisitors + right.bytesToVisitors)
    }
}

/// Adds up what the lanes count, until all have answered. Belongs to the control loop.
final class TrafficGathering<Key: Hashable> {
    private(set) var traffic: [Key: TrafficCounters] = [:]
    private var waitingFor: Int

    init(waitingFor: Int) { self.waitingFor = waitingFor }

    /// `true` with the last answer.
    func add(_ more: [Key: TrafficCounters]) -> Bool {
        traffic.merge(more) { $0 + $1 }
        waitingFor -= 1
        return waitingFor == 0
    }
}
