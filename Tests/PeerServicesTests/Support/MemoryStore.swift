import PeerCore
import PeerServices
import PeerWire
import Synchronization

/// A relay's leases, in memory; a disk that takes nothing while it is broken.
final class MemoryStore: LeaseStore {
    private struct State {
        var leases: [Claim: Lease] = [:]
        var isBroken = false
    }

    private let state = Mutex(State())

    var leases: [Lease] { state.withLock { Array($0.leases.values) } }
    func breaks(_ isBroken: Bool) { state.withLock { $0.isBroken = isBroken } }

    func hasRoom(for account: Grant.Membership) -> Bool { true }

    func save(_ lease: Lease, for account: Grant.Membership?, _ done: @escaping @Sendable (Bool) -> Void) {
        let isSaved = state.withLock { state in
            guard !state.isBroken else { return false }
            state.leases[Claim(key: lease.key, mapping: lease.mapping)] = lease
            return true
        }
        done(isSaved)
    }

    func remove(_ claim: Claim, for account: Grant.Membership?) { state.withLock { $0.leases[claim] = nil } }

    func retire(_ retirement: Retirement, inLineWith account: Grant.Membership?) {
        state.withLock { state in
            for (claim, lease) in state.leases where claim.key == retirement.former {
                var lease = lease
                lease.key = retirement.next
                state.leases[claim] = nil
                state.leases[Claim(key: lease.key, mapping: lease.mapping)] = lease
            }
        }
    }

    func forgetRetired(_ former: NodeKey, on account: Grant.Membership?) {}
}
