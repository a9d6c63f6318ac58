internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// What a damaged IP table held, as far as the two registries still tell it: so that a node whose database broke
/// keeps its mappings, its relays and its leases.
struct RegistryRecovery {
    private(set) var leases: [Lease] = []
    private(set) var wishes: [MappingWish] = []
    private(set) var agreed: [AgreedPorts] = []
    private(set) var relays: [JoinedRelay] = []

    init(_ servers: ServerRegistry, _ mappings: MappingRegistry, now: WallTime) {
        for server in servers.servers where server.state != .isSelf && server.state != .known {
            relays.append(JoinedRelay(address: server.address, added: UnixTime(now)))
        }
        // One mapping is one row for each port and relay.
        let groups = Dictionary(grouping: mappings.mappings) {
            Place(mapping: $0.mapping, relay: $0.relay, role: $0.role)
        }
        for (place, rows) in groups {
            guard let first = rows.min(by: { ($0.blindPort ?? 0) < ($1.blindPort ?? 0) }) else { continue }
            let count = Set(rows.map(\.blindPort)).count
            let ports = first.blindPort.flatMap { PortRange(first: $0, count: count) }
            switch place.role {
            case .peer: addWish(place, rows, first, ports, count)
            case .relay:
                guard let ports else { continue }
                leases.append(
                    Lease(
                        key: first.peerKey, mapping: first.mapping, ports: ports, protocols: Self.protocols(rows),
                        peerName: first.peerName, target: first.target,
                        expires: first.leaseExpires ?? now + 24 * 3600))
            }
        }
    }

    private struct Place: Hashable {
        var mapping: MappingID
        var relay: String?
        var role: MappingRegistry.Mapping.Role
    }

    private mutating func addWish(
        _ place: Place, _ rows: [MappingRegistry.Mapping], _ row: MappingRegistry.Mapping, _ ports: PortRange?,
        _ count: Int
    ) {
        if let ports, let relay = place.relay {
            agreed.append(AgreedPorts(mapping: place.mapping, relay: relay, ports: ports))
        }
        guard !wishes.contains(where: { $0.id == place.mapping }) else { return }
        let target: MappingWish.Target
        if let endpoint = Endpoint(row.target) {
            target = .service(host: endpoint.host, port: endpoint.port)
        } else {
            target = .serverPort
        }
        // Whether the user insisted on the port is not told; to prefer it comes nearest.
        var wish = MappingWish(
            id: place.mapping, target: target, protocols: Self.protocols(rows),
            ports: ports.map { .preferably($0) } ?? .any(count: count), allow: row.visitors.allow,
            deny: row.visitors.deny, name: row.name ?? "")
        wish.announcedAs = row.toldAs ?? ""
        // Each row was judged by itself, and another one may be for datagrams.
        if row.proxyProtocol.covers(wish.protocols) { wish.proxyProtocol = row.proxyProtocol }
        wishes.append(wish)
    }

    private static func protocols(_ rows: [MappingRegistry.Mapping]) -> TransportProtocols {
        rows.reduce(into: []) { $0.insert($1.type == .udp ? .udp : .tcp) }
    }

    /// Writes all of it into a new table.
    func save(to table: IPTable) async throws(StorageError) {
        for lease in leases { try await table.save(lease) }
        for wish in wishes { try await table.save(wish) }
        for ports in agreed { try await table.save(ports) }
        for relay in relays { try await table.save(relay) }
    }
}
