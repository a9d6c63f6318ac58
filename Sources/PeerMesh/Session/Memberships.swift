public import PeerWire

/// What this node knows of the relays that it was told to use: their keys, and why they let it in. By address, as it
/// is dialled. Secrets are in here.
public struct Memberships: Hashable, Sendable {
    /// How a relay's key came to be known.
    public enum Source: String, Sendable, CaseIterable {
        case joinLink = "join link"
        case firstUse = "first use"
        case trust = "trust"
    }

    public struct Relay: Hashable, Sendable {
        /// `nil`: whatever key it proves at the next session is pinned.
        public var key: NodeKey?
        public var source: Source?
        public var meshKey: MeshKey?
        /// Issued by this relay.
        public var token: String?
        /// The user allows that it takes anybody and proves nothing but its key.
        public var acceptsOpen: Bool
        /// Keys that it handed over to the present one, the oldest first: tokens may name them. At most
        /// `maximumFormerKeys`.
        public var formerKeys: [NodeKey]

        public init(
            key: NodeKey? = nil, source: Source? = nil, meshKey: MeshKey? = nil, token: String? = nil,
            acceptsOpen: Bool = false, formerKeys: [NodeKey] = []
        ) {
            self.formerKeys = formerKeys
            self.key = key
            self.source = source
            self.meshKey = meshKey
            self.token = token
            self.acceptsOpen = acceptsOpen
        }
    }

    /// What a relay's key is to this node.
    public enum Verdict: Hashable, Sendable {
        case known
        /// Never seen at this address.
        case new
        /// Another one was pinned.
        case changed(from: NodeKey)
    }

    public static let maximumRelays = 1_024
    public static let maximumFormerKeys = 8

    public private(set) var relays: [String: Relay]

    public init(relays: [String: Relay] = [:]) { self.relays = relays }

    public subscript(address: String) -> Relay { relays[address] ?? Relay() }

    public func verdict(on key: NodeKey, at address: String) -> Verdict {
        guard let pinned = relays[address]?.key else { return .new }
        return pinned == key ? .known : .changed(from: pinned)
    }

    /// What to show to a relay whose key is `key`: the mesh key that came with its join link, or all that this node
    /// knows; a proof of a key tells nothing to one who does not have it.
    ///
    /// - Parameters:
    ///   - own: the keys of this node's own mesh.
    ///   - history: how this node came to its own key.
    ///   - isPinned: the handshake is given the pinned key and shows nothing of this before the relay explained how it
    ///     came from that to the present one.
    ///   - isTokenFor: whether a token names that relay; to any other it is not shown.
    public func credentials(
        for key: NodeKey, at address: String, own: [MeshKey], history: KeyHistory = KeyHistory(),
        isPinned: Bool = false, isTokenFor: (String, NodeKey) -> Bool
    ) -> PeerHandshake.Credentials {
        let relay = self[address]
        var keys: [MeshKey] = []
        let others = relays.sorted { $0.key < $1.key }.compactMap(\.value.meshKey)
        for key in [relay.meshKey].compactMap({ $0 }) + own + others where !keys.contains(key) { keys.append(key) }
        var names = [key]
        if isPinned || relay.key == key { names += [relay.key].compactMap { $0 } + relay.formerKeys }
        return PeerHandshake.Credentials(
            meshKeys: keys, token: relay.token.flatMap { token in names.contains { isTokenFor(token, $0) } ? token : nil },
            isKeyKnown: relay.key == key, acceptsOpen: relay.acceptsOpen, history: history)
    }

    // MARK: Changes; `false` when nothing changed, or there is no room

    /// A join link is the user's word: it goes before what was pinned.
    @discardableResult
    public mutating func join(_ link: JoinLink, at address: String) -> Bool {
        change(address) { relay in
            if relay.key != link.relay { relay.formerKeys = [] }
            relay.key = link.relay
            relay.source = .joinLink
            if let meshKey = link.meshKey { relay.meshKey = meshKey } else { relay.acceptsOpen = true }
        }
    }

    @discardableResult
    public mutating func join(withToken token: String, at address: String) -> Bool {
        change(address) { $0.token = token }
    }

    @discardableResult
    public mutating func acceptOpen(at address: String) -> Bool { change(address) { $0.acceptsOpen = true } }

    /// The relay proved its key and its right in a session: the key is pinned, unless there is one.
    @discardableResult
    public mutating func learn(_ key: NodeKey, at address: String) -> Bool {
        change(address) { relay in
            guard relay.key == nil else { return }
            relay.key = key
            relay.source = .firstUse
        }
    }

    /// The user's word on a relay's key; `nil`: whatever it proves next.
    @discardableResult
    public mutating func trust(_ key: NodeKey?, at address: String) -> Bool {
        change(address) { relay in
            if relay.key != key { relay.formerKeys = [] }
            relay.key = key
            relay.source = key == nil ? nil : .trust
        }
    }

    /// The relay's key was handed over to another one, as it has proven: that one is pinned in its place.
    ///
    /// - Parameter formerKeys: those that led to it, the oldest first; nothing changes unless the pinned one is there.
    @discardableResult
    public mutating func follow(_ formerKeys: [NodeKey], to key: NodeKey, at address: String) -> Bool {
        guard let pinned = relays[address]?.key, pinned != key, let start = formerKeys.firstIndex(of: pinned) else {
            return false
        }
        return change(address) { relay in
            relay.formerKeys = Array((relay.formerKeys + formerKeys[start...]).suffix(Self.maximumFormerKeys))
            relay.key = key
        }
    }

    /// The mesh has a new key.
    @discardableResult
    public mutating func renew(_ meshKey: MeshKey, at address: String) -> Bool {
        change(address) { $0.meshKey = meshKey }
    }

    @discardableResult
    public mutating func forget(_ address: String) -> Bool { relays.removeValue(forKey: address) != nil }

    private mutating func change(_ address: String, _ body: (inout Relay) -> Void) -> Bool {
        guard relays[address] != nil || relays.count < Self.maximumRelays else { return false }
        let former = self[address]
        var relay = former
        body(&relay)
        relays[address] = relay
        return relay != former
    }
}
