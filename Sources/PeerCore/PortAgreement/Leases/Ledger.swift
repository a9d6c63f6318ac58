internal import PeerWire

/// What each membership uses of a relay: keys with a session, live mappings, ports. A claim is booked once, on the
/// account that has it now; totals never have to be counted anew.
struct Ledger: Sendable {
    struct Use: Hashable, Sendable {
        /// Node keys with a session.
        var keys = 0
        /// Mappings that a session asks for or has.
        var mappings = 0
        /// Ports that are leased, or asked for and not leased yet.
        var ports = 0
        fileprivate var isNothing: Bool { keys == 0 && mappings == 0 && ports == 0 }
    }

    private struct Entry: Sendable {
        var account: Grant.Membership
        var ports: Int
        var isLive: Bool
    }

    private var entries: [Claim: Entry] = [:]
    private var uses: [Grant.Membership: Use] = [:]
    /// The claim of an account that is not counted, where it has one.
    private var spared: [Grant.Membership: Claim] = [:]

    func use(of account: Grant.Membership) -> Use { uses[account] ?? Use() }

    /// What that membership uses apart from this claim.
    func use(of account: Grant.Membership, without claim: Claim) -> Use {
        var use = use(of: account)
        if let entry = entries[claim], entry.account == account {
            use.ports -= entry.ports
            if entry.isLive { use.mappings -= 1 }
        }
        return use
    }

    mutating func sessionOpened(_ account: Grant.Membership) { change(account) { $0.keys += 1 } }
    mutating func sessionClosed(_ account: Grant.Membership) { change(account) { $0.keys -= 1 } }

    /// Whether the one claim of an account that is not counted is this one, or not there.
    func spares(_ claim: Claim, on account: Grant.Membership) -> Bool { spared[account].map { $0 == claim } ?? true }

    /// Books a claim on an account, wherever it was booked before. `isLive`: a session asks for it or has it.
    ///
    /// - Parameter isSpared: it is the one that is not counted.
    mutating func book(_ claim: Claim, to account: Grant.Membership, ports: Int, isLive: Bool, isSpared: Bool = false) {
        erase(claim)
        guard !isSpared else {
            spared[account] = claim
            entries[claim] = Entry(account: account, ports: 0, isLive: false)
            return
        }
        entries[claim] = Entry(account: account, ports: ports, isLive: isLive)
        change(account) { use in
            use.ports += ports
            if isLive { use.mappings += 1 }
        }
    }

    mutating func erase(_ claim: Claim) {
        guard let entry = entries.removeValue(forKey: claim) else { return }
        if spared[entry.account] == claim { spared[entry.account] = nil }
        change(entry.account) { use in
            use.ports -= entry.ports
            if entry.isLive { use.mappings -= 1 }
        }
    }

    private mutating func change(_ account: Grant.Membership, _ body: (inout Use) -> Void) {
        var use = use(of: account)
        body(&use)
        // Nothing is kept of those that use nothing: names of networks and tokens come from outside.
        uses[account] = use.isNothing ? nil : use
    }
}
