public import PeerCore
public import PeerWire

/// What the holder of a token may do at the relay that issued it: the claim `scope`.
///
/// ```
/// {"ports": ["30000-30010"], "protocols": ["tcp"], "domains": ["*.example.org"],
///  "max_connections": 100, "rate": 10000000, "max_mappings": 5, "max_leases": 5}
/// ```
/// What is left out is not limited by the token. A member that this version does not know makes the token unreadable:
/// it could be a limit, and one that is passed over is none.
public struct TokenScope: Hashable, Sendable {
    public var ports: [PortRange]?
    public var protocols: TransportProtocols?
    /// Names in lower case; `*.example.org` for all below one.
    public var domains: [String]?
    /// Visitors at once.
    public var maxConnections: Int?
    /// Bytes per second in each direction.
    public var rate: Int?
    public var maxMappings: Int?
    /// Ports leased at once.
    public var maxLeases: Int?

    public init() {}

    public func grant(id: String, expires: WallTime) -> Grant {
        Grant(
            membership: .token(id: id), ports: ports, protocols: protocols, domains: domains,
            limits: Grant.Limits(
                leases: maxLeases, mappings: maxMappings, connections: maxConnections, bytesPerSecond: rate),
            expires: expires)
    }

    /// Whether this is a name, or `*.` and a name: letters, digits and hyphens, labels of at most 63 bytes, 253 in all
    /// (RFC 1035, section 2.3.4), in lower case.
    public static func isDomainPattern(_ text: String) -> Bool {
        let name = text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        return name.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
            }
    }
}

extension TokenScope: Codable {
    private enum Member: String, CaseIterable {
        case ports, protocols, domains, rate
        case maxConnections = "max_connections"
        case maxMappings = "max_mappings"
        case maxLeases = "max_leases"
    }

    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(_ member: Member) { stringValue = member.rawValue }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encodeIfPresent(ports?.map(\.description), forKey: Key(.ports))
        try container.encodeIfPresent(protocols?.words, forKey: Key(.protocols))
        try container.encodeIfPresent(domains, forKey: Key(.domains))
        try container.encodeIfPresent(maxConnections, forKey: Key(.maxConnections))
        try container.encodeIfPresent(rate, forKey: Key(.rate))
        try container.encodeIfPresent(maxMappings, forKey: Key(.maxMappings))
        try container.encodeIfPresent(maxLeases, forKey: Key(.maxLeases))
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        for key in container.allKeys where Member(rawValue: key.stringValue) == nil {
            throw Self.corrupted(key, in: container, "is not known to this p2prc")
        }
        ports = try Self.list(.ports, container) { PortRange($0) }
        if let words = try Self.list(.protocols, container, { TransportProtocols(word: $0) }) {
            protocols = words.reduce(into: TransportProtocols()) { $0.formUnion($1) }
        }
        domains = try Self.list(.domains, container) { Self.isDomainPattern($0) ? $0 : nil }
        maxConnections = try Self.limit(.maxConnections, container)
        rate = try Self.limit(.rate, container)
        maxMappings = try Self.limit(.maxMappings, container)
        maxLeases = try Self.limit(.maxLeases, container)
    }

    private static func list<Value>(
        _ member: Member, _ container: KeyedDecodingContainer<Key>, _ read: (String) -> Value?
    ) throws -> [Value]? {
        let key = Key(member)
        // Not `decodeIfPresent`, which takes a null for an absence: that would be a limit passed over.
        guard container.contains(key) else { return nil }
        return try container.decode([String].self, forKey: key).map { text in
            guard let value = read(text) else { throw corrupted(key, in: container, "holds '\(text)'") }
            return value
        }
    }

    private static func limit(_ member: Member, _ container: KeyedDecodingContainer<Key>) throws -> Int? {
        let key = Key(member)
        guard container.contains(key) else { return nil }
        let number = try container.decode(Int.self, forKey: key)
        guard number >= 0 else { throw corrupted(key, in: container, "is below zero") }
        return number
    }

    private static func corrupted(
        _ key: Key, in container: KeyedDecodingContainer<Key>, _ what: String
    ) -> DecodingError {
        DecodingError.dataCorruptedError(forKey: key, in: container, debugDescription: "'\(key.stringValue)' \(what)")
    }
}
