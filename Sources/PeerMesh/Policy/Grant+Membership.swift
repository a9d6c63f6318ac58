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
        guard let ports else { return nil }
        var joined: [PortRange] = []
        for range in ports.sorted(by: { $0.first < $1.first }) {
            if let last = joined.last, Int(range.first) <= Int(last.last) + 1,
                let wider = PortRange(first: last.first, last: max(last.last, range.last))
            {
                joined[joined.count - 1] = wider
            } else {
                joined.append(range)
            }
        }
        return joined
    }

    /// Whether it lets these ports be had, all of them.
    public func allows(_ wanted: PortRange) -> Bool { joinedPorts?.contains { $0.contains(wanted) } ?? true }

    public func allows(_ wanted: TransportProtocols) -> Bool { protocols.map { wanted.isSubset(of: $0) } ?? true }

    /// What is left of a relay's range.
    func places(within relay: PortRange) -> [PortRange] {
        guard let joinedPorts else { return [relay] }
        return joinedPorts.compactMap { PortRange(first: max($0.first, relay.first), last: min($0.last, relay.last)) }
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
            bytesPerSecond: bytesPerSecond ?? other.bytesPerSecond)
    }
}
