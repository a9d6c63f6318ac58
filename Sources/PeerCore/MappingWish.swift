public import PeerWire

/// What a user asked to have exposed, kept over restarts until `unmap`.
public struct MappingWish: Hashable, Sendable {
    public enum Target: Hashable, Sendable {
        /// What this node itself serves on its server port.
        case serverPort
        /// A host and its first port, as the user named it; a mapping of n ports leads to n ports from there on.
        case service(host: String, port: UInt16)
    }

    /// Whether something may be the name of a mapping: a letter, then up to 31 letters, digits and `-_.`; so it is
    /// never taken for a port, and nothing that names mappings by themselves.
    public static func isName(_ text: String) -> Bool {
        func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte | 0x20) }
        let bytes = text.utf8
        guard let first = bytes.first, isLetter(first), bytes.count <= 32, MappingID(text) == nil else { return false }
        return bytes.allSatisfy { isLetter($0) || (0x30...0x39).contains($0) || "-_.".utf8.contains($0) }
    }

    /// Whom it lets in, in words; `nil`: everybody.
    public var visitors: String? { NetworkFilter(allow: allow, deny: deny).words }

    public var id: MappingID
    public var target: Target
    public var protocols: TransportProtocols
    public var ports: PortWish
    /// Visitors that the relay lets in; empty: everybody.
    public var allow: [Network]
    /// Visitors that it does not, whatever `allow` says.
    public var deny: [Network]
    /// By what name the node's record tells others of it; empty: not at all.
    public var announcedAs = ""
    /// What its user calls it here; empty: nothing. No two mappings of a node have the same name.
    public var name: String

    /// Its public ports always accept, and the target is dialled when a visitor comes: for services that listen only
    /// for a moment. Otherwise a port whose target does not answer refuses.
    public var isOnDemand = false
    /// How the target is told who each visitor is.
    public var proxyProtocol = ProxyProtocol.off

    public init(
        id: MappingID, target: Target, protocols: TransportProtocols, ports: PortWish, allow: [Network] = [],
        deny: [Network] = [], name: String = ""
    ) {
        self.name = name
        self.id = id
        self.target = target
        self.protocols = protocols
        self.ports = ports
        self.allow = allow
        self.deny = deny
    }

    /// Whether this node looks itself whether the target answers.
    public var isWatched: Bool { target != .serverPort && !isOnDemand }
}
