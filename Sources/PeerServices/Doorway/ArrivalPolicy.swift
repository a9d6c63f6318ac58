public import PeerCore

/// Who may come to a node's server port, and how many at once.
public struct ArrivalPolicy: Sendable {
    /// By address; nobody else gets as much as a byte.
    public var peers: NetworkFilter
    public var sources: SourceGate.Limits
    /// Connections that have not yet said what they are, from all sources together.
    public var maximumUndecided: Int

    public static let usualUndecided = 1_024

    public init(
        peers: NetworkFilter = .everybody, sources: SourceGate.Limits = SourceGate.Limits(),
        maximumUndecided: Int = usualUndecided
    ) {
        self.peers = peers
        self.sources = sources
        self.maximumUndecided = maximumUndecided
    }
}

/// Which visitors a relay lets in, whatever their mapping says, and what they may use of this machine.
public struct VisitorPolicy: Sendable {
    public var filter: NetworkFilter
    /// For all lanes together.
    public var reserve: ReserveGate
    /// How many share it; each with as much as it sees itself.
    var lanes = 1

    public init(filter: NetworkFilter, reserve: ReserveGate) {
        self.filter = filter
        self.reserve = reserve
    }

    /// One lane's part of it. Descriptors are counted for the whole process wherever one comes in, buffers by each
    /// lane.
    func share(of lanes: Int) -> VisitorPolicy {
        let buffers = ReserveGate.Supply(
            limit: reserve.buffers.limit / max(1, lanes), reserve: reserve.buffers.reserve / max(1, lanes))
        var share = VisitorPolicy(
            filter: filter, reserve: ReserveGate(descriptors: reserve.descriptors, buffers: buffers))
        share.lanes = max(1, lanes)
        return share
    }
}
