internal import PeerCore
internal import PeerWire

/// Has leases written down, each from the first time to the last on the account that it began on: so the writes of one
/// lease keep their order. Belongs to the control loop.
struct LeaseWriter {
    private let store: any LeaseStore
    private var accounts: [Claim: Grant.Membership] = [:]

    init(_ store: any LeaseStore) { self.store = store }

    /// Leases of a former run.
    mutating func restored(_ leases: [Lease]) {
        for lease in leases { accounts[Claim(key: lease.key, mapping: lease.mapping)] = lease.account }
    }

    /// Whether no more writes of an account wait than others can stand.
    func hasRoom(for account: Grant.Membership) -> Bool { store.hasRoom(for: account) }

    /// - Parameter done: called on any thread, with `false` where the disk did not take it.
    mutating func save(_ lease: Lease, _ done: @escaping @Sendable (Bool) -> Void) {
        let claim = Claim(key: lease.key, mapping: lease.mapping)
        let account = accounts[claim] ?? lease.account
        accounts[claim] = account
        store.save(lease, for: account, done)
    }

    mutating func remove(_ claim: Claim) { store.remove(claim, for: accounts.removeValue(forKey: claim)) }

    /// A key was handed over to another one.
    mutating func retire(_ retirement: Retirement) {
        guard retirement.hadPossessions else { return store.retire(retirement, inLineWith: retirement.account) }
        // What is about to move stays in its line: it is written down anew before it goes from its old place.
        let moved = accounts.filter { $0.key.key == retirement.former }
        for (claim, account) in moved { accounts[Claim(key: retirement.next, mapping: claim.mapping)] = account }
        store.retire(retirement, inLineWith: moved.first?.value ?? retirement.account)
    }

    func forgetRetired(_ former: NodeKey, on account: Grant.Membership?) {
        store.forgetRetired(former, on: account)
    }
}
