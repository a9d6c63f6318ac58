internal import PeerCore
internal import PeerReactor
internal import PeerStorage
public import PeerWire

/// On whose word a node is dialled.
enum Word: Hashable, Sendable {
    case users
    /// Records, seeds out of files and from P2PRC nodes, and whoever asks for a dial-back: held to `DialGuard`.
    case others
}

extension MeshService {
    /// Where a node is met is written down so seldom while it stays the same.
    private static let metInterval = Instant.Span.seconds(300)
    /// Places that are remembered to keep to that; beyond it some are written more often.
    private static let metLimit = 1_024

    /// Whether this node has lately met one there that offers to be a relay.
    public func hasMetRelay(at host: HostAddress) -> Bool {
        gossip.hosts.keys(at: host, loop.clock()).contains {
            gossip.table[$0]?.record.roles.contains(.relay) == true
        }
    }

    /// A node was dialled there, proved its key, and answered as a member.
    func met(_ key: NodeKey, at endpoint: Endpoint) {
        let now = loop.clock()
        let place = "\(key.short) \(endpoint)"
        if let last = metAt[place], now - last < Self.metInterval { return }
        if metAt.count >= Self.metLimit { metAt = metAt.filter { now - $0.value < Self.metInterval } }
        if metAt.count < Self.metLimit { metAt[place] = now }
        let moment = UnixTime(loop.wall())
        let met = MetAddress(node: key, address: endpoint.description, firstSeen: moment, lastSeen: moment)
        writer.write("where a node was met", for: .mesh, { table throws(StorageError) in try table.save([met]) })
    }
}
