public import PeerWire

/// What becomes of a node's leases when it goes on under another key.
extension RelayCore {
    /// Twice the tokens that a relay remembers, and some.
    static let maximumHolders = 32_768

    /// Keys that this relay knows to have become `key`, by however many changes.
    public func formerKeys(of key: NodeKey) -> [NodeKey] {
        retired.formers(of: key).sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    }

    /// Whether the former key has become another one than that, which alone may have what was the former's.
    public func isSucceeded(_ former: NodeKey, byAnotherThan key: NodeKey) -> Bool {
        retired[former] != nil && retired.latest(of: former) != key
    }

    /// A token is bound to the key, or was made for it: so it is the one's that it has become.
    mutating func holdsToken(_ key: NodeKey) {
        guard holders.count < Self.maximumHolders else { return }
        holders.insert(retired.latest(of: key))
    }

    /// `former` was handed over to `key`, as its holder has proven: leases move, and the former key opens nothing any
    /// more. The first successor is the only one: whoever has the former key as well cannot hand it over once more.
    ///
    /// Of a key that has nothing here nothing is remembered: anybody makes as many changes of key as it likes, and one
    /// without leases, tokens and a session takes from nobody what it could take.
    mutating func succeed(
        _ former: NodeKey, to key: NodeKey, _ instance: ProcessInstance, _ account: Grant.Membership, _ wall: WallTime
    ) -> [Action] {
        guard former != key, retired[former] == nil else { return [] }
        let holdsToken = holders.contains(former)
        let hadPossessions = holdsToken || !leases.claims(of: former).isEmpty
        guard hadPossessions || live[former] != nil else { return [] }
        var actions: [Action] = []
        if let id = live[former], let session = sessions[id] {
            if session.instance == instance {
                actions.append(.end(id, .leaving, detail: "replaced by a new session"))
            } else {
                actions += [.abortVisitors(id), .end(id, .superseded, detail: Self.retirement)]
            }
            actions += ended(id, wall)
        }
        if holdsToken {
            holders.remove(former)
            holders.insert(key)
        }
        fenced[former] = nil
        let retirement = Retirement(former: former, next: key, account: account, hadPossessions: hadPossessions)
        actions.append(.retire(retirement))
        actions += keep(retirement)
        for claim in leases.claims(of: former) { actions += move(claim, to: key) }
        return actions
    }

    /// Remembers it, and says what is forgotten for it.
    mutating func keep(_ retirement: Retirement) -> [Action] {
        retired.add(retirement).map { [.forgetRetired($0.former, for: $0.account)] } ?? []
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
