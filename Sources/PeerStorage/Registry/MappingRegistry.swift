public import PeerCore
public import PeerWire

/// `reverse_proxy_mapping.json`: the public ports, one row each. A peer lists what it exposes, a relay what it carries.
public struct MappingRegistry: RegistryDocument {
    public var mappings: [Mapping]

    public init(mappings: [Mapping]) { self.mappings = mappings }
    public init() { self.init(mappings: []) }

    public static func path(in paths: HomePaths) -> String { paths.reverseProxyMapping }

    enum CodingKeys: String, CodingKey { case mappings = "reverse_proxy_mappings" }

    public static let listName = CodingKeys.mappings.rawValue

    public var rows: [Mapping] {
        get { mappings }
        set { mappings = newValue }
    }

    public static func misfit(in row: Mapping) -> (key: String, problem: String)? {
        func fault(_ key: Mapping.CodingKeys, _ problem: String) -> (key: String, problem: String) {
            (key.rawValue, problem)
        }
        if let address = row.address, !RegistryText.isHost(address) {
            return fault(.address, "it is no host or IP (without port or brackets)")
        }
        if row.blindPort == 0 { return fault(.blindPort, "a port is a whole number from 1 to 65535") }
        if row.target.isEmpty { return fault(.target, "it is empty") }
        if let name = row.toldAs, name.isEmpty || !NodeRecord.isText(name) {
            return fault(.toldAs, "a name has 1 to \(NodeRecord.maximumText) bytes on one line")
        }
        guard row.relay.map(RegistryText.isHostAndPort) ?? true, (row.relay == nil) == (row.state == .waiting) else {
            return fault(.relay, "it is no host:port (IPv6 in brackets) with a port from 1 to 65535")
        }
        if let name = row.name, !MappingWish.isName(name) {
            return fault(.name, "a mapping's name is a letter, and up to 31 letters, digits, '-', '_' and '.'")
        }
        guard row.proxyProtocol.covers(row.type == .udp ? .udp : .tcp) else {
            return fault(.proxyProtocol, "v1 has no form for datagrams")
        }
        return nil
    }

    /// One public port of one mapping.
    public struct Mapping: Hashable, Sendable {
        public enum Transport: String, Codable, Hashable, Sendable {
            case tcp = "TCP"
            case udp = "UDP"
        }

        /// How far the agreement is (docs/protocol.md), or what became of it.
        public enum State: String, Codable, Hashable, Sendable {
            case requested, bound, committed, active, verified, refused, unreachable, offline
            case targetDown = "target-down"
            /// The node has no relay to ask for it.
            case waiting
        }

        /// How what visitors send gets from the relay to the peer.
        public struct Way: Hashable, Sendable {
            public enum Carrier: String, Codable, Hashable, Sendable {
                case datagrams
                /// A data channel, because no UDP gets through between the two.
                case stream
            }

            /// That of data channels.
            public var encryption: ChannelEncryption?
            /// That of datagrams, in rows for UDP.
            public var carrier: Carrier?
            /// Visitors' flows at all ports of the mapping at the moment of asking, in its first row for UDP; `nil` in
            /// the file.
            public var flows: Int?

            public init() {}
        }

        /// Whose list the row is in.
        public enum Role: String, Codable, Hashable, Sendable { case peer, relay }

        /// The relay's name.
        public var serverName: String
        /// The public host or IP that a visitor dials, without port or brackets; `nil` while unknown.
        public var address: String?
        public var type: Transport
        /// The public port that a visitor dials; `nil` while none is agreed.
        public var blindPort: UInt16?
        public var state: State
        /// Where it leads, for people ("127.0.0.1:8080", "server port").
        public var target: String
        public var mapping: MappingID
        /// host:port of the relay, IPv6 in brackets; `nil` where there is none yet.
        public var relay: String?
        public var role: Role
        public var peerName: String
        public var peerKey: NodeKey
        /// Who reached the port from outside.
        public var verifiedBy: [String] = []
        /// Why it is in this state, where there is something to say.
        public var reason: String?
        public var leaseExpires: WallTime?
        /// The file in the home of the peer that holds what relay and peer signed.
        public var receipt: String?
        /// Nothing is known of it without a session.
        public var way = Way()
        /// By what name the peer's record tells others of it while it is verified; `nil` where it does not.
        public var toldAs: String?
        /// What its user calls it; `nil` where it has no name, and at a relay.
        public var name: String?
        /// Visitors that the relay lets in.
        public var visitors = NetworkFilter.everybody
        /// How the target is told who each visitor is; off at a relay, which does not know.
        public var proxyProtocol = ProxyProtocol.off

        public init(
            _ mapping: MappingID, _ type: Transport, of peer: NamedNode, at serverName: String, role: Role,
            state: State, target: String
        ) {
            self.mapping = mapping
            self.type = type
            peerName = peer.name
            peerKey = peer.key
            self.serverName = serverName
            self.role = role
            self.state = state
            self.target = target
        }
    }
}

/// A node by what it is called and what it is.
public struct NamedNode: Hashable, Sendable {
    public var name: String
    public var key: NodeKey

    public init(name: String, key: NodeKey) {
        self.name = name
        self.key = key
    }
}
