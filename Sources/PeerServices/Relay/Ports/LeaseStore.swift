public import PeerCore
public import PeerWire

/// Writes a relay's leases down, off the loops: in the order of the calls on one account, and the accounts in turn.
public protocol LeaseStore: Sendable {
    /// Whether no more writes of an account wait than others can stand.
    func hasRoom(for account: Grant.Membership) -> Bool
    func save(_ lease: Lease, for account: Grant.Membership?, _ done: @escaping @Sendable (Bool) -> Void)
    func remove(_ claim: Claim, for account: Grant.Membership?)
    /// A node key was handed over to another one, for good; before what is written for that account from now on, where
    /// the key had something that moves.
    func retire(_ retirement: Retirement, inLineWith account: Grant.Membership?)
    func forgetRetired(_ former: NodeKey, on account: Grant.Membership?)
}
