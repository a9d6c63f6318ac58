public import PeerCore
public import PeerWire

/// `reverse_proxy_server.json`: the relays that this node knows.
public struct ServerRegistry: RegistryDocument {
    public var servers: [Server]

    public init(servers: [Server]) { self.servers = servers }
    public init() { self.init(servers: []) }

    public static func path(in paths: HomePaths) -> String { paths.reverseProxyServer }

    enum CodingKeys: String, CodingKey { case servers = "reverse_proxy_servers" }

    public static let listName = CodingKeys.servers.rawValue

    public var rows: [Server] {
        get { servers }
        set { servers = newValue }
    }

    public static func misfit(in row: Server) -> (key: String, problem: String)? {
        if RegistryText.isHostAndPort(row.address) { return nil }
        return (
            Server.CodingKeys.address.rawValue,
            "it is no host:port (IPv6 in brackets) with a port from 1 to 65535"
        )
    }

    /// One relay.
    public struct Server: Hashable, Sendable {
        public enum State: String, Codable, Hashable, Sendable {
            case connected, connecting, refused
            /// The mesh tells of it; no session goes there.
            case known
            /// The relay is this node.
            case isSelf = "self"
            /// What a node that is stopped wrote down.
            case stopped
        }

        public var name: String
        /// host:port, IPv6 in brackets.
        public var address: String
        /// Kept to the microsecond; `nil` while not measured.
        public var latency: Instant.Span?
        public var state: State
        /// `nil` while it is not known.
        public var key: NodeKey?
        /// Why it is not connected, where that is known.
        public var reason: String?
        public var lastSeen: WallTime?
        /// How data channels go there; `nil` without a session.
        public var encryption: ChannelEncryption?

        public init(
            name: String, address: String, latency: Instant.Span?, state: State, key: NodeKey?, reason: String? = nil,
            lastSeen: WallTime?
        ) {
            self.name = name
            self.address = address
            self.latency = latency
            self.state = state
            self.key = key
            self.reason = reason
            self.lastSeen = lastSeen
        }
    }
}

/// Whether somebody on the way can read and change what visitors send and get.
public enum ChannelEncryption: String, Codable, Hashable, Sendable {
    case tls
    /// He can: both ends asked for `--plain`.
    case plain
}

extension ServerRegistry.Server: Codable {
    enum CodingKeys: String, CodingKey {
        case name = "Server_name"
        case address = "Address"
        case latency = "Latency"
        case state = "State"
        case key = "Key"
        case reason = "Reason"
        case lastSeen = "Last_seen"
        case encryption = "Encryption"
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            name: try container.decode(String.self, forKey: .name),
            address: try container.decode(String.self, forKey: .address),
            latency: try container.decodeLatency(forKey: .latency),
            state: try container.decode(State.self, forKey: .state),
            key: try container.decodeNodeKeyOrNull(forKey: .key),
            reason: try container.decodeTextIfContained(forKey: .reason),
            lastSeen: try container.decodeTimeOrNull(forKey: .lastSeen))
        if container.contains(.encryption) {
            encryption = try container.decode(ChannelEncryption.self, forKey: .encryption)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(address, forKey: .address)
        try container.encode(latency.map(RegistryText.milliseconds), forKey: .latency)
        try container.encode(state, forKey: .state)
        try container.encode(key?.description, forKey: .key)
        try container.encodeIfPresent(reason, forKey: .reason)
        try container.encode(lastSeen?.rfc3339, forKey: .lastSeen)
        try container.encodeIfPresent(encryption, forKey: .encryption)
    }
}
