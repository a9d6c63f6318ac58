public import PeerWire

/// What this node knows of the relays that it was told to use: their keys, and why they let it in. By address, as it
/// is dialled. Secrets are in here.
public struct KnownRelays: Hashable, Sendable {
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
        /// The one before, where a link told of another: shown as well, until the relay has proven one of them.
        public var formerMeshKey: MeshKey?
        /// Issued by this relay.
        public var token: String?
        /// The user allows that it takes anybody and proves nothing but its key.
        public var acceptsOpen: Bool
        /// Keys that it handed over to the present one, the oldest first: tokens may name them. At most
        /// `maximumFormerKeys`.
        public var formerKeys: [NodeKey]
        /// A session stood with that key: it is no slip of a join link.
        public var isProven: Bool

        public init(
            key: NodeKey? = nil, source: Source? = nil, meshKey: MeshKey? = nil, token: String? = nil,
            acceptsOpen: Bool = false, formerKeys: [NodeKey] = [], isProven: Bool = false
        ) {
            self.formerKeys = formerKeys
            self.isProven = isProven
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
        for key in [relay.meshKey, relay.formerMeshKey].compactMap({ $0 }) + own + others where !keys.contains(key) {
            keys.append(key)
        }
        var names = [key]
        if isPinned || relay.key == key { names += [relay.key].compactMap { $0 } + relay.formerKeys }
        return PeerHandshake.Credentials(
            meshKeys: keys,
            token: relay.token.flatMap { token in names.contains { isTokenFor(token, $0) } ? token : nil },
            isKeyKnown: relay.key == key, acceptsOpen: relay.acceptsOpen, history: history)
    }

    /// The key that the relay has proven, where a join link names another one. One that the relay handed over to the
    /// present one is no other: the link is only older.
    public func contradiction(to link: JoinLink, at address: String) -> NodeKey? {
        guard let relay = relays[address], relay.isProven, let key = relay.key else { return nil }
        return link.relay == key || relay.formerKeys.contains(link.relay) ? nil : key
    }

    // MARK: Changes; `false` when nothing changed, or there is no room

    /// A join link is the user's word: it goes before what was pinned, but not before what the relay has proven
    /// (`contradiction`).
    @discardableResult
    public mutating func join(_ link: JoinLink, at address: String) -> Bool {
        guard contradiction(to: link, at: address) == nil else { return false }
        return change(address) { relay in
            if !relay.formerKeys.contains(link.relay) {
                if relay.key != link.relay { (relay.formerKeys, relay.isProven) = ([], false) }
                relay.key = link.relay
                relay.source = .joinLink
            }
            guard let meshKey = link.meshKey else { return relay.acceptsOpen = true }
            // It may be mistyped, or older than what the relay has told since.
            if relay.formerMeshKey == nil, relay.meshKey != meshKey { relay.formerMeshKey = relay.meshKey }
            relay.meshKey = meshKey
            if relay.formerMeshKey == meshKey { relay.formerMeshKey = nil }
        }
    }

    @discardableResult
    public mutating func join(withToken token: String, at address: String) -> Bool {
        change(address) { $0.token = token }
    }

    @discardableResult
    public mutating func acceptOpen(at address: String) -> Bool { change(address) { $0.acceptsOpen = true } }

    /// The relay proved its key and its right in a session: the key is pinned, unless there is one, and of two mesh
    /// keys the one that it proved stays.
    @discardableResult
    public mutating func learn(_ key: NodeKey, meshKey: MeshKey? = nil, at address: String) -> Bool {
        change(address) { relay in
            if let meshKey, [relay.meshKey, relay.formerMeshKey].contains(meshKey) {
                (relay.meshKey, relay.formerMeshKey) = (meshKey, nil)
            }
            if relay.key == nil { (relay.key, relay.source) = (key, .firstUse) }
            if relay.key == key { relay.isProven = true }
        }
    }

    /// The user's word on a relay's key; `nil`: whatever it proves next.
    @discardableResult
    public mutating func trust(_ key: NodeKey?, at address: String) -> Bool {
        change(address) { relay in
            if relay.key != key { (relay.formerKeys, relay.isProven) = ([], false) }
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

    /// The relay is used no longer: its key, its token and its mesh key are forgotten. Where this node goes on using
    /// others, the mesh key may be what lets it in there: then that stays, and nothing else. With the last relay such
    /// remainders go too.
    ///
    /// - Parameter usesOthers: other relays are used, named or chosen.
    /// - Returns: whether its mesh key is still known.
    @discardableResult
    public mutating func leave(_ address: String, usesOthers: Bool) -> Bool {
        let former = relays.removeValue(forKey: address)
        guard usesOthers else {
            relays = relays.filter { $0.value != Relay(meshKey: $0.value.meshKey) }
            return false
        }
        guard let meshKey = former?.meshKey else { return false }
        if !relays.contains(where: { $0.value.meshKey == meshKey }) { relays[address] = Relay(meshKey: meshKey) }
        return true
    }

    /// Puts back what was known of a relay; `nil`: nothing was.
    public mutating func restore(_ relay: Relay?, at address: String) { relays[address] = relay }

    private mutating func change(_ address: String, _ body: (inout Relay) -> Void) -> Bool {
        guard relays[address] != nil || relays.count < Self.maximumRelays else { return false }
        let former = self[address]
        var relay = former
        body(&relay)
        relays[address] = relay
        return relay != former
    }
}
