internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// The two registries, made from what the services tell. One place for how a state becomes a row.
struct Documents: Sendable {
    var servers = ServerRegistry()
    var mappings = MappingRegistry()
    /// What this node exposes, of which the rows of `mappings` are made.
    var exposed: [ExposedMapping] = []

    /// This node as a relay, where it is one.
    struct OwnRelay: Sendable {
        var endpoint: Endpoint
        var carried: [CarriedMapping]
        /// Data channels go without encryption where the peer asks for that too.
        var allowsPlain = false
        /// Those that it gives out.
        var ports: PortRange
    }

    /// - Parameters:
    ///   - known: relays that the mesh tells of, those with a session too.
    ///   - waiting: what is to be exposed at a node without a relay.
    init(
        of node: NamedNode, own: OwnRelay?, relays: [RelayStanding], known: [MeshRelay] = [],
        exposed: [ExposedMapping], waiting: [MappingWish] = [], now: WallTime
    ) {
        if let own {
            servers.servers.append(
                ServerRegistry.Server(
                    name: node.name, address: own.endpoint.description, latency: .zero, state: .isSelf, key: node.key,
                    lastSeen: now))
            servers.servers[0].encryption = own.allowsPlain ? .plain : .tls
            for carried in own.carried.sorted(by: { $0.standing.lease.ports.first < $1.standing.lease.ports.first }) {
                mappings.mappings += Self.rows(carried, name: node.name, own: own)
            }
        }
        for relay in relays { servers.servers.append(Self.row(relay)) }
        let listed = Set(relays.compactMap(\.key))
        for relay in known where !listed.contains(relay.key) { servers.servers.append(Self.row(relay)) }
        self.exposed = exposed
        for mapping in exposed { mappings.mappings += Self.rows(mapping, of: node) }
        mappings.mappings += waiting.flatMap { Self.rows($0, of: node) }
        tellFlowsOnce()
    }

    /// Flows are counted by mapping, so one row has them.
    private mutating func tellFlowsOnce() {
        var told: Set<[String]> = []
        for index in mappings.mappings.indices where mappings.mappings[index].way.flows != nil {
            let row = mappings.mappings[index]
            if !told.insert([row.mapping.description, row.role.rawValue]).inserted {
                mappings.mappings[index].way.flows = nil
            }
        }
    }

    /// Takes out what no registry may hold, and says why.
    mutating func leaveOutMisfits() -> [RegistryFault] { servers.leaveOutMisfits() + mappings.leaveOutMisfits() }

    /// What stays true when the node has stopped.
    func stopped() -> Documents {
        var copy = self
        (copy.servers, copy.mappings) = (servers.stopped(), mappings.stopped())
        return copy
    }

    private static func row(_ relay: RelayStanding) -> ServerRegistry.Server {
        let state: ServerRegistry.Server.State =
            switch relay.state {
            case .connected: .connected
            case .connecting: .connecting
            case .refused: .refused
            }
        var row = ServerRegistry.Server(
            name: relay.name ?? relay.endpoint.host, address: relay.endpoint.description, latency: relay.latency,
            state: state, key: relay.key, reason: relay.reason, lastSeen: relay.lastHeard)
        row.encryption = encryption(relay.isPlain)
        return row
    }

    private static func row(_ relay: MeshRelay) -> ServerRegistry.Server {
        ServerRegistry.Server(
            name: relay.name.isEmpty ? relay.key.short : relay.name, address: relay.address.description,
            latency: relay.figures.latency, state: .known, key: relay.key,
            reason: relay.cost == nil ? relay.obstacle : nil, lastSeen: WallTime(seconds: relay.issued))
    }

    private static func encryption(_ isPlain: Bool?) -> ChannelEncryption? { isPlain.map { $0 ? .plain : .tls } }

    private static func rows(_ mapping: ExposedMapping, of node: NamedNode) -> [MappingRegistry.Mapping] {
        let hasPorts =
            switch mapping.state {
            case .requested, .bound, .refused: false
            case .committed, .active, .verified, .targetDown, .unreachable, .offline: true
            }
        let ports: [UInt16?] = hasPorts ? mapping.ports.map { $0.ports.map { $0 } } ?? [nil] : [nil]
        return transports(mapping.wish.protocols).flatMap { type in
            let standings = mapping.standings(of: type == .udp ? .udp : .tcp)
            return ports.enumerated().map { offset, port in
                // Each port of a range is for itself once they are agreed.
                let own = standings.indices.contains(offset) ? standings[offset] : nil
                var row = MappingRegistry.Mapping(
                    mapping.wish.id, type, of: node, at: mapping.relayName, role: .peer,
                    state: state(own?.state ?? mapping.state), target: target(mapping.targetText, offset))
                row.address = port == nil ? nil : mapping.host
                row.blindPort = port
                row.relay = mapping.relay.description
                row.verifiedBy = own?.verifiedBy ?? []
                row.reason = (own == nil ? mapping.reason : own?.reason) ?? (mapping.isShort ? Self.shortage : nil)
                row.receipt = mapping.receipt
                row.way.encryption = encryption(mapping.isPlain)
                row.tell(mapping.traffic, takesStream: mapping.takesStream)
                row.says(mapping.wish)
                return row
            }
        }
    }

    /// A mapping that no relay was asked for yet.
    private static func rows(_ wish: MappingWish, of node: NamedNode) -> [MappingRegistry.Mapping] {
        transports(wish.protocols).map { type in
            var row = MappingRegistry.Mapping(
                wish.id, type, of: node, at: "", role: .peer, state: .waiting, target: PeerService.text(wish.target))
            row.reason = "no relay"
            row.says(wish)
            return row
        }
    }

    private static func rows(_ carried: CarriedMapping, name: String, own: OwnRelay) -> [MappingRegistry.Mapping] {
        let lease = carried.standing.lease
        let shown: MappingState =
            if !carried.isLive {
                .offline
            } else {
                switch carried.standing.stage {
                case .holding, nil: .requested
                case .offered: .bound
                case .saving: .committed
                case .paused: .targetDown
                case .active: carried.standing.reported ?? .active
                }
            }
        let each = shown == carried.standing.reported ? carried.standing.ports?.all ?? [] : []
        return transports(lease.protocols).flatMap { type in
            lease.ports.ports.enumerated().map { offset, port in
                let reported = each.indices.contains(offset) ? each[offset] : shown
                var row = MappingRegistry.Mapping(
                    lease.mapping, type, of: NamedNode(name: lease.peerName, key: lease.key), at: name, role: .relay,
                    state: state(reported), target: target(lease.target, offset))
                row.address = carried.host ?? own.endpoint.host
                row.blindPort = port
                row.relay = own.endpoint.description
                row.reason = Self.reason(carried, reported, own.ports)
                row.leaseExpires = carried.isLive ? nil : lease.expires
                row.way.encryption = encryption(carried.isPlain)
                if let datagrams = carried.traffic.datagrams {
                    row.tell(carried.traffic, takesStream: datagrams.takesStream)
                }
                row.visitors = carried.standing.filter ?? .everybody
                return row
            }
        }
    }

    static func opening(_ ports: PortRange, _ protocols: TransportProtocols) -> String {
        FirewallText.opening(ports, protocols, in: "the firewall here")
    }

    private static let shortage = "no descriptors are left here; visitors are refused (ulimit -n)"

    private static func reason(_ carried: CarriedMapping, _ state: MappingState, _ ports: PortRange) -> String? {
        if !carried.isLive { return "no session of this peer; its port refuses" }
        if state == .unreachable {
            return "its peer does not reach it; \(Self.opening(ports, carried.standing.lease.protocols))"
        }
        return carried.isShort ? shortage : nil
    }

    static func transports(_ protocols: TransportProtocols) -> [MappingRegistry.Mapping.Transport] {
        (protocols.contains(.tcp) ? [.tcp] : []) + (protocols.contains(.udp) ? [.udp] : [])
    }

    /// The target of the n-th port of a range.
    static func target(_ text: String, _ offset: Int) -> String {
        guard offset > 0, let (host, first) = HostText.parts(text), let port = UInt16(exactly: Int(first) + offset)
        else {
            return text
        }
        return Endpoint(host: host, port: port).description
    }

    private static func state(_ state: MappingState) -> MappingRegistry.Mapping.State {
        switch state {
        case .requested: .requested
        case .bound: .bound
        case .committed: .committed
        case .active: .active
        case .verified: .verified
        case .refused: .refused
        case .targetDown: .targetDown
        case .unreachable: .unreachable
        case .offline: .offline
        }
    }
}

extension MappingRegistry.Mapping {
    /// How its datagrams go, where there is a session.
    fileprivate mutating func tell(_ traffic: TrafficCounters, takesStream: Bool) {
        guard type == .udp, way.encryption != nil else { return }
        way.carrier = takesStream ? .stream : .datagrams
        way.flows = traffic.datagrams?.flows
    }

    /// What its user said of it.
    fileprivate mutating func says(_ wish: MappingWish) {
        toldAs = wish.announcedAs.isEmpty ? nil : wish.announcedAs
        name = wish.name.isEmpty ? nil : wish.name
        visitors = NetworkFilter(allow: wish.allow, deny: wish.deny)
        proxyProtocol = wish.proxyProtocol
    }
}
