public import PeerWire

extension HostAddress {
    /// The network that counts as one account: whoever has one address of it easily has others (IPv4 /24, IPv6 /48).
    public var accountNetwork: String { Network(of: self, prefixLength: isIPv6 ? 48 : 24).description }
}

extension Grant.Membership: CustomStringConvertible {
    /// Who proved the mesh key from this address.
    public static func mesh(from address: HostAddress) -> Self { .mesh(network: address.accountNetwork) }
    /// Who came to an open relay from this address.
    public static func openRelay(from address: HostAddress) -> Self { .openRelay(network: address.accountNetwork) }

    /// A kind and a name with a blank between them, as the IP table keeps it.
    public var description: String {
        switch self {
        case .mesh(let network): "mesh \(network)"
        case .token(let id): "token \(id)"
        case .openRelay(let network): "open-relay \(network)"
        }
    }

    /// Reads what `description` writes.
    public init?(_ text: String) {
        guard let blank = text.firstIndex(of: " ") else { return nil }
        let name = String(text[text.index(after: blank)...])
        guard !name.isEmpty else { return nil }
        switch text[..<blank] {
        case "mesh": self = .mesh(network: name)
        case "token": self = .token(id: name)
        case "open-relay": self = .openRelay(network: name)
        default: return nil
        }
    }
}

extension Grant {
    /// Its port ranges in order, with those that touch joined; `nil`: all.
    var joinedPorts: [PortRange]? {
        ports.map(PortRange.joined)
    }

    /// Whether it lets these ports be had, all of them.
    public func allows(_ wanted: PortRange) -> Bool { joinedPorts?.contains { $0.contains(wanted) } ?? true }

    public func allows(_ wanted: TransportProtocols) -> Bool { protocols.map { wanted.isSubset(of: $0) } ?? true }

    /// Where whoever wants any port of a relay gets one.
    func places(within relay: PublicPorts) -> [PortRange] {
        guard let joinedPorts else { return [relay.usual] }
        return joinedPorts.flatMap { own in
            relay.ranges.compactMap { PortRange(first: max(own.first, $0.first), last: min(own.last, $0.last)) }
        }
    }

    /// Its ports for people; `nil` when it has none but all.
    var portsText: String? { joinedPorts.map { $0.map(\.description).joined(separator: ", ") } }

    public func hasExpired(at wall: WallTime) -> Bool { expires.map { $0 <= wall } ?? false }
}

extension Grant.Limits {
    /// With the others' ceilings where this has none.
    func completed(by other: Grant.Limits) -> Grant.Limits {
        Grant.Limits(
            keys: keys ?? other.keys, leases: leases ?? other.leases, mappings: mappings ?? other.mappings,
            connections: connections ?? other.connections,
            connectionsPerSecond: connectionsPerSecond ?? other.connectionsPerSecond,
            bytesPerSecond: bytesPerSecond ?? other.bytesPerSecond,
            datagramsPerSecond: datagramsPerSecond ?? other.datagramsPerSecond)
    }
}
