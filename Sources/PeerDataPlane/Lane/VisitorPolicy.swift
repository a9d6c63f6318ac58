public import PeerCore

/// Which visitors a relay lets in, whatever their mapping says, and what they may use of this machine.
public struct VisitorPolicy: Sendable {
    public var filter: NetworkFilter
    /// For all lanes together.
    public var reserve: ReserveGate
    /// For each mapping.
    public var datagrams = DatagramLimits()
    /// How many lanes share it; each with as much as it sees itself.
    package private(set) var lanes = 1

    public init(filter: NetworkFilter, reserve: ReserveGate) {
        self.filter = filter
        self.reserve = reserve
    }

    /// One lane's part of it. Descriptors are counted for the whole process wherever one comes in, buffers by each
    /// lane.
    package func share(of lanes: Int) -> VisitorPolicy {
        let buffers = ReserveGate.Supply(
            limit: reserve.buffers.limit / max(1, lanes), reserve: reserve.buffers.reserve / max(1, lanes))
        var share = VisitorPolicy(
            filter: filter, reserve: ReserveGate(descriptors: reserve.descriptors, buffers: buffers))
        share.datagrams = datagrams
        share.lanes = max(1, lanes)
        return share
    }
}
