internal import PeerReactor

/// What happened to the bytes of one mapping. Counts since the process started.
public struct TrafficCounters: Hashable, Sendable {
    public var connections: UInt64 = 0
    public var open = 0
    /// Visitors that got no channel or no answer in time.
    public var failed: UInt64 = 0
    /// Visitors that were not let in: by a filter, by a limit of the membership, or for want of room.
    public var refused: UInt64 = 0
    public var bytesFromVisitors: UInt64 = 0
    public var bytesToVisitors: UInt64 = 0
    /// Of its datagrams, which the others count in; `nil`: it had none.
    public var datagrams: DatagramTraffic?

    package init() {}

    package static func + (left: TrafficCounters, right: TrafficCounters) -> TrafficCounters {
        var sum = left
        sum.connections += right.connections
        sum.open += right.open
        sum.failed += right.failed
        sum.refused += right.refused
        sum.bytesFromVisitors += right.bytesFromVisitors
        sum.bytesToVisitors += right.bytesToVisitors
        if let more = right.datagrams { sum.datagrams = (left.datagrams ?? DatagramTraffic()) + more }
        return sum
    }

    /// A flow of datagrams counts as a connection.
    mutating func add(_ datagrams: DatagramTraffic) {
        self.datagrams = datagrams
        connections += datagrams.opened
        open += datagrams.flows
        refused += datagrams.refused
        bytesFromVisitors += datagrams.bytesFromVisitors
        bytesToVisitors += datagrams.bytesToVisitors
    }

    mutating func add(bytesOf visit: Visit) {
        bytesFromVisitors += visit.bytesLeftToRight
        bytesToVisitors += visit.bytesRightToLeft
    }
}
