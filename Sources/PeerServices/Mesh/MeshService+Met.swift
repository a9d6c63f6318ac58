internal import PeerMesh
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

extension MeshService {
    /// Where a node is met is written down so seldom while it stays the same.
    private static let metInterval = Instant.Span.seconds(300)
    /// Places that are remembered to keep to that; beyond it some are written more often.
    private static let metLimit = 1_024

    /// A node was dialled there, proved its key, and answered as a member.
    func met(_ key: NodeKey, at endpoint: Endpoint) {
        let now = EventLoop.clock()
        let place = "\(key.short) \(endpoint)"
        if let last = metAt[place], now - last < Self.metInterval { return }
        if metAt.count >= Self.metLimit { metAt = metAt.filter { now - $0.value < Self.metInterval } }
        if metAt.count < Self.metLimit { metAt[place] = now }
        let moment = UnixTime(.now)
        let met = MetAddress(node: key, address: endpoint.description, firstSeen: moment, lastSeen: moment)
        writer.write("where a node was met", { table throws(StorageError) in try table.save([met]) })
    }
}
