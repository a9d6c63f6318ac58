public import PeerWire

/// What a session may do at a relay, and on whose account: settled when it opens, judged by `RelayCore` and the lanes.
public struct Grant: Hashable, Sendable {
    /// Whose account it is. Node keys cost nothing to make, so limits are never counted by key alone.
    public enum Membership: Hashable, Sendable {
        /// Proved the mesh key; counted together with all that come from the same network (IPv4 /24, IPv6 /48).
        case mesh(network: String)
        /// Holds a token of this relay; `id` is its jti.
        case token(id: String)
        /// The relay is open (`--open`); counted by network like a mesh member.
        case openRelay(network: String)
    }

    /// Ceilings for one membership; `nil`: none but those of the relay itself.
    public struct Limits: Hashable, Sendable {
        /// Node keys with a session at once.
        public var keys: Int?
        /// Ports leased at once.
        public var leases: Int?
        public var mappings: Int?
        /// Visitors at once.
        public var connections: Int?
        public var connectionsPerSecond: Int?
        /// In each direction, with a burst of one second.
        public var bytesPerSecond: Int?
        /// In each direction, with a burst of one second.
        public var datagramsPerSecond: Int?

        public init(
            keys: Int? = nil, leases: Int? = nil, mappings: Int? = nil, connections: Int? = nil,
            connectionsPerSecond: Int? = nil, bytesPerSecond: Int? = nil, datagramsPerSecond: Int? = nil
        ) {
            self.keys = keys
            self.leases = leases
            self.mappings = mappings
            self.connections = connections
            self.connectionsPerSecond = connectionsPerSecond
            self.bytesPerSecond = bytesPerSecond
            self.datagramsPerSecond = datagramsPerSecond
        }
    }

    public var membership: Membership
    /// Public ports it may have; `nil`: all that the relay gives out.
    public var ports: [PortRange]?
    /// `nil`: all that the relay carries.
    public var protocols: TransportProtocols?
    /// Names it may claim, `*.example.org` for all below one; `nil`: any.
    public var domains: [String]?
    public var limits: Limits
    /// When the session must end; `nil`: never.
    public var expires: WallTime?

    public init(
        membership: Membership, ports: [PortRange]? = nil, protocols: TransportProtocols? = nil,
        domains: [String]? = nil, limits: Limits = Limits(), expires: WallTime? = nil
    ) {
        self.membership = membership
        self.ports = ports
        self.protocols = protocols
        self.domains = domains
        self.limits = limits
        self.expires = expires
    }
}
