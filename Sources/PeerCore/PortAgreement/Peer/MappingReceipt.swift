public import PeerWire

/// The relay's end of a receipt: what it promises for a mapping that was agreed.
extension Receipt.Terms {
    /// - Parameters:
    ///   - lease: as it was written down for this agreement.
    ///   - grant: of the session that holds the lease. Where it ends before the lease, the receipt ends with it.
    ///   - host: what visitors are told to dial.
    /// - Returns: `nil` when a receipt cannot say that (a host with blanks); the mapping then goes without one.
    public init?(lease: Lease, grant: Grant, relay: NodeKey, host: String, now: WallTime) {
        let expires = grant.expires.map { min($0, lease.expires) } ?? lease.expires
        self.init(
            between: Parties(relay: relay, peer: lease.key), mapping: lease.mapping, protocols: lease.protocols,
            host: host, ports: lease.ports, during: Period(issued: now.seconds, expires: expires.seconds),
            limits: Limits(grant.limits))
    }
}

extension Receipt.Terms.Limits {
    /// A limit below nothing allows nothing.
    public init(_ limits: Grant.Limits) {
        self.init()
        keys = limits.keys.map(Self.number)
        leases = limits.leases.map(Self.number)
        mappings = limits.mappings.map(Self.number)
        connections = limits.connections.map(Self.number)
        connectionsPerSecond = limits.connectionsPerSecond.map(Self.number)
        bytesPerSecond = limits.bytesPerSecond.map(Self.number)
    }

    private static func number(_ limit: Int) -> UInt64 { UInt64(max(0, limit)) }
}

/// The peer's end of a receipt: what it agreed with a relay about one mapping, and so is ready to sign.
public struct AgreedMapping: Hashable, Sendable {
    /// Proven by the session that the receipt comes through.
    public var relay: NodeKey
    /// Its own.
    public var peer: NodeKey
    public var mapping: MappingID
    public var protocols: TransportProtocols
    /// As offered and committed.
    public var ports: PortRange
    /// As told with `active`.
    public var host: String

    public init(
        relay: NodeKey, peer: NodeKey, mapping: MappingID, protocols: TransportProtocols, ports: PortRange, host: String
    ) {
        self.relay = relay
        self.peer = peer
        self.mapping = mapping
        self.protocols = protocols
        self.ports = ports
        self.host = host
    }

    /// What keeps the peer from signing. The times are the relay's to say: clocks differ, and a wrong one stops nobody.
    public enum Objection: Error, Hashable, Sendable, CustomStringConvertible {
        case otherRelay, otherPeer, otherMapping, otherProtocols, otherHost, otherPorts
        /// It ends before it begins.
        case alreadyOver
        /// The signature is not the relay's.
        case notSigned

        public var description: String {
            switch self {
            case .otherRelay: "the receipt names another relay than the one that sent it"
            case .otherPeer: "the receipt names another peer"
            case .otherMapping: "the receipt is for another mapping"
            case .otherProtocols: "the receipt says another protocol than was agreed"
            case .otherHost: "the receipt says another public host than was agreed"
            case .otherPorts: "the receipt says other public ports than were agreed"
            case .alreadyOver: "the receipt is over when it begins"
            case .notSigned: "the relay's signature does not fit the receipt"
            }
        }
    }

    /// `nil`: it says what was agreed, and the relay has signed it, so the peer may sign too.
    public func objection(to draft: Receipt.Draft) -> Objection? {
        let terms = draft.terms
        if terms.relay != relay { return .otherRelay }
        if terms.peer != peer { return .otherPeer }
        if terms.mapping != mapping { return .otherMapping }
        if terms.protocols != protocols { return .otherProtocols }
        if terms.host != host { return .otherHost }
        if terms.ports != ports { return .otherPorts }
        if terms.expires <= terms.issued { return .alreadyOver }
        return draft.isSignedByRelay ? nil : .notSigned
    }
}
