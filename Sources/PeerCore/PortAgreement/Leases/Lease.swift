public import PeerWire

/// A peer key's claim on public ports of this relay. It outlives the session; only the same key may use it.
public struct Lease: Hashable, Sendable {
    public var key: NodeKey
    public var mapping: MappingID
    public var ports: PortRange
    public var protocols: TransportProtocols
    /// What the peer calls itself, for listings.
    public var peerName: String
    /// Where the peer's mapping leads, as the peer describes it, for listings ("127.0.0.1:8080").
    public var target: String
    /// While the key has a live session the lease does not expire; afterwards it lasts until then.
    public var expires: WallTime
    /// Whose limit of ports it counts against; `nil` where nobody wrote that down.
    public var account: Grant.Membership?

    public init(
        key: NodeKey, mapping: MappingID, ports: PortRange, protocols: TransportProtocols, peerName: String,
        target: String, expires: WallTime
    ) {
        self.key = key
        self.mapping = mapping
        self.ports = ports
        self.protocols = protocols
        self.peerName = peerName
        self.target = target
        self.expires = expires
    }
}
