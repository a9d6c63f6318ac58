public import PeerWire

/// Who is let in, by address: `deny` wins over `allow`, and an empty `allow` is everybody.
///
/// An answer costs one look-up for each length of prefix that occurs, however many networks there are.
public struct NetworkFilter: Hashable, Sendable {
    public static let everybody = NetworkFilter()

    public let allow: [Network]
    public let deny: [Network]
    private let allowed: NetworkSet
    private let denied: NetworkSet

    public init(allow: [Network] = [], deny: [Network] = []) {
        self.allow = allow
        self.deny = deny
        allowed = NetworkSet(allow)
        denied = NetworkSet(deny)
    }

    /// In words: `only 10.0.0.0/8, not 10.1.0.0/16`; `nil`: everybody.
    public var words: String? {
        func list(_ word: String, _ networks: [Network]) -> String? {
            networks.isEmpty ? nil : "\(word) \(networks.map(\.description).joined(separator: " "))"
        }
        let words = [list("only", allow), list("not", deny)].compactMap { $0 }
        return words.isEmpty ? nil : words.joined(separator: ", ")
    }

    /// Nothing to look at.
    public var isForEverybody: Bool { allow.isEmpty && deny.isEmpty }

    public func admits(_ address: HostAddress) -> Bool {
        !denied.contains(address) && (allow.isEmpty || allowed.contains(address))
    }

    /// What two lists of one thing make together (a relay's and a mapping's): let in only by both.
    public func admits(_ address: HostAddress, and other: NetworkFilter) -> Bool {
        admits(address) && other.admits(address)
    }

    public static func == (left: Self, right: Self) -> Bool { left.allow == right.allow && left.deny == right.deny }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(allow)
        hasher.combine(deny)
    }
}

/// Networks, sorted by the lengths of their prefixes so that finding one is a look-up of an address cut to each length.
private struct NetworkSet: Sendable {
    private var groups: [(prefixLength: Int, networks: Set<Network>)] = []

    init(_ networks: [Network]) {
        groups = Dictionary(grouping: networks, by: \.prefixLength).map { ($0, Set($1)) }
            .sorted { $0.prefixLength < $1.prefixLength }
    }

    func contains(_ address: HostAddress) -> Bool {
        groups.contains { group in
            // An IPv4 network of /24 and an IPv6 one are in one group, and are told apart by the address.
            group.prefixLength <= address.width
                && group.networks.contains(Network(of: address, prefixLength: group.prefixLength))
        }
    }
}
