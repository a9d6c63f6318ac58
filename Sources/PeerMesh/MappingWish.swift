public import PeerWire

/// What a user asked to have exposed, kept over restarts until `unmap`.
public struct MappingWish: Hashable, Sendable {
    public enum Target: Hashable, Sendable {
        /// What this node itself serves on its server port.
        case serverPort
        /// A host and its first port, as the user named it; a mapping of n ports leads to n ports from there on.
        case service(host: String, port: UInt16)
    }

    public var id: MappingID
    public var target: Target
    public var protocols: TransportProtocols
    public var ports: PortWish
    /// Visitors that the relay lets in; empty: everybody.
    public var allow: [Network]
    /// Visitors that it does not, whatever `allow` says.
    public var deny: [Network]
    /// By what name the node's record tells others of it; empty: not at all.
    public var tell: String

    public init(
        id: MappingID, target: Target, protocols: TransportProtocols, ports: PortWish, allow: [Network] = [],
        deny: [Network] = [], tell: String = ""
    ) {
        self.id = id
        self.target = target
        self.protocols = protocols
        self.ports = ports
        self.allow = allow
        self.deny = deny
        self.tell = tell
    }
}
