public import PeerWire

/// Whose a lease is: the key, and which of its mappings.
public struct Claim: Hashable, Sendable {
    public var key: NodeKey
    public var mapping: MappingID

    public init(key: NodeKey, mapping: MappingID) {
        self.key = key
        self.mapping = mapping
    }

    /// Some order, the same in every process.
    static func precedes(_ left: Claim, _ right: Claim) -> Bool {
        if left.key == right.key { return left.mapping.value < right.mapping.value }
        return left.key.bytes.lexicographicallyPrecedes(right.key.bytes)
    }
}

/// All leases of a relay. A port number belongs to at most one claim for each protocol.
public struct LeaseTable: Sendable {
    private var leases: [Claim: Lease] = [:]
    private var mappings: [NodeKey: Set<MappingID>] = [:]
    private var tcp: [UInt16: Claim] = [:]
    private var udp: [UInt16: Claim] = [:]

    public init() {}

    public var all: some Collection<Lease> { leases.values }
    public var count: Int { leases.count }

    public subscript(claim: Claim) -> Lease? { leases[claim] }

    /// What a key has, in some order that is always the same.
    func claims(of key: NodeKey) -> [Claim] {
        (mappings[key] ?? []).sorted { $0.value < $1.value }.map { Claim(key: key, mapping: $0) }
    }

    /// The first claim that stands in the way of these ports, if any.
    public func owner(of ports: PortRange, _ protocols: TransportProtocols) -> Claim? {
        for port in ports.ports {
            if protocols.contains(.tcp), let claim = tcp[port] { return claim }
            if protocols.contains(.udp), let claim = udp[port] { return claim }
        }
        return nil
    }

    /// What is left of these ranges without the ports that others lease.
    func gaps(in ranges: [PortRange], _ protocols: TransportProtocols, except claim: Claim) -> [PortRange] {
        let others = leases.filter { $0.key != claim && !$0.value.protocols.isDisjoint(with: protocols) }
        let taken = others.values.map(\.ports).sorted { $0.first < $1.first }
        return ranges.flatMap { range in
            var gaps: [PortRange] = []
            var first = Int(range.first)
            for ports in taken where range.overlaps(ports) {
                if first < Int(ports.first), let gap = PortRange(first: UInt16(first), last: ports.first - 1) {
                    gaps.append(gap)
                }
                first = max(first, Int(ports.last) + 1)
            }
            if first <= Int(range.last), let gap = PortRange(first: UInt16(first), last: range.last) {
                gaps.append(gap)
            }
            return gaps
        }
    }

    /// Enters a lease, in the place of an earlier one of the same claim. `false`, and nothing changed, when another
    /// claim has one of the ports.
    @discardableResult
    public mutating func enter(_ lease: Lease) -> Bool {
        let claim = Claim(key: lease.key, mapping: lease.mapping)
        let former = remove(claim)
        guard owner(of: lease.ports, lease.protocols) == nil else {
            if let former { enter(former) }
            return false
        }
        leases[claim] = lease
        mappings[claim.key, default: []].insert(claim.mapping)
        for port in lease.ports.ports {
            if lease.protocols.contains(.tcp) { tcp[port] = claim }
            if lease.protocols.contains(.udp) { udp[port] = claim }
        }
        return true
    }

    @discardableResult
    public mutating func remove(_ claim: Claim) -> Lease? {
        guard let lease = leases.removeValue(forKey: claim) else { return nil }
        mappings[claim.key]?.remove(claim.mapping)
        if mappings[claim.key]?.isEmpty == true { mappings[claim.key] = nil }
        for port in lease.ports.ports {
            if lease.protocols.contains(.tcp) { tcp[port] = nil }
            if lease.protocols.contains(.udp) { udp[port] = nil }
        }
        return lease
    }

    public mutating func prolong(_ claim: Claim, until expires: WallTime) { leases[claim]?.expires = expires }

    /// The clock by which they end was set anew: what is left of each stays what it is.
    public mutating func shift(by seconds: Int64) {
        for claim in leases.keys { leases[claim]?.expires.seconds &+= seconds }
    }

    public mutating func charge(_ claim: Claim, to account: Grant.Membership) { leases[claim]?.account = account }

    /// Claims whose lease has run out.
    public func expired(at now: WallTime) -> [Claim] { leases.filter { $0.value.expires <= now }.map(\.key) }
}
