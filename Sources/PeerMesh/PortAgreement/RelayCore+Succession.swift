public import PeerWire

/// What becomes of a node's leases when it goes on under another key.
extension RelayCore {
    static let maximumRetiredKeys = 16_384

    /// Keys that this relay knows to have become `key`, by however many changes.
    public func formerKeys(of key: NodeKey) -> [NodeKey] {
        var found: Set<NodeKey> = []
        var fresh: Set<NodeKey> = [key]
        // Each round finds keys that were not found before, so this ends.
        while !fresh.isEmpty {
            let before = retired.filter { fresh.contains($0.value) }.keys
            fresh = Set(before).subtracting(found).subtracting([key])
            found.formUnion(fresh)
        }
        return found.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    }

    /// `former` was handed over to `key`, as its holder has proven: leases move, and the former key opens nothing any
    /// more. The first successor is the only one: whoever has the former key as well cannot hand it over once more.
    mutating func succeed(_ former: NodeKey, to key: NodeKey, _ instance: ProcessInstance, _ wall: WallTime) -> [Action]
    {
        guard former != key, retired[former] == nil else { return [] }
        var actions: [Action] = []
        if let id = live[former], let session = sessions[id] {
            if session.instance == instance {
                actions.append(.end(id, .leaving, detail: "replaced by a new session"))
            } else {
                actions += [.abortVisitors(id), .end(id, .superseded, detail: Self.retirement)]
            }
            actions += ended(id, wall)
        }
        if retired.count >= Self.maximumRetiredKeys, let any = retired.keys.first { retired[any] = nil }
        retired[former] = key
        fenced[former] = nil
        actions.append(.retire(former, for: key))
        let claims = leases.all.filter { $0.key == former }.map { Claim(key: former, mapping: $0.mapping) }
        for claim in claims.sorted(by: Claim.precedes) { actions += move(claim, to: key) }
        return actions
    }

    static let retirement = "this node has another key by now"

    private mutating func move(_ claim: Claim, to key: NodeKey) -> [Action] {
        let moved = Claim(key: key, mapping: claim.mapping)
        // Nothing is taken from what the new key has already.
        guard leases[moved] == nil, var lease = leases.remove(claim) else { return [] }
        lease.key = key
        leases.enter(lease)
        written[claim] = nil
        rebook(claim)
        rebook(moved)
        var actions: [Action] = []
        if held.remove(claim) != nil {
            held.insert(moved)
            actions.append(.rename(claim, to: moved))
        }
        // Written down anew before it goes from its old place: a crash in between loses nothing.
        return actions + [.saveLease(lease), .removeLease(claim)]
    }
}
