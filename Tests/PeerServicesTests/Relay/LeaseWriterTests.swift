import PeerCore
import PeerWire
import Synchronization
import Testing

@testable import PeerServices

/// A store that notes what it was asked for, and on whose account.
private final class NotingStore: LeaseStore {
    enum Note: Equatable {
        case saved(MappingID, String?)
        case removed(MappingID, String?)
        case retired(String?)
        case forgotten(String?)
    }

    private let state = Mutex<(notes: [Note], isFull: Bool)>(([], false))

    var notes: [Note] { state.withLock(\.notes) }
    func fill() { state.withLock { $0.isFull = true } }

    private func note(_ note: Note) { state.withLock { $0.notes.append(note) } }

    private static func name(_ account: Grant.Membership?) -> String? { account.map { "\($0)" } }

    func hasRoom(for account: Grant.Membership) -> Bool { state.withLock { !$0.isFull } }

    func save(_ lease: Lease, for account: Grant.Membership?, _ done: @escaping @Sendable (Bool) -> Void) {
        note(.saved(lease.mapping, Self.name(account)))
        done(true)
    }

    func remove(_ claim: Claim, for account: Grant.Membership?) { note(.removed(claim.mapping, Self.name(account))) }

    func retire(_ retirement: Retirement, inLineWith account: Grant.Membership?) {
        note(.retired(Self.name(account)))
    }

    func forgetRetired(_ former: NodeKey, on account: Grant.Membership?) { note(.forgotten(Self.name(account))) }
}

@Suite("Leases are written down")
struct LeaseWriterTests {
    private let store = NotingStore()
    private let first = Grant.Membership.token(id: "first")
    private let second = Grant.Membership.token(id: "second")
    private let id = MappingID(value: 1)

    private func key(_ number: UInt8) -> NodeKey { NodeIdentity(seed: ShellBench.seed(number))!.key }

    private func lease(_ account: Grant.Membership?, of key: NodeKey? = nil) -> Lease {
        var lease = Lease(
            key: key ?? self.key(1), mapping: id, ports: PortRange(first: 20_000, count: 1)!, protocols: .tcp,
            peerName: "peer", target: "127.0.0.1:80", expires: WallTime(seconds: 1))
        lease.account = account
        return lease
    }

    @Test("in the line that they began in, also when their peer has another token by now")
    func order() {
        var writer = LeaseWriter(store)
        writer.save(lease(first)) { _ in }
        writer.save(lease(second)) { _ in }
        writer.remove(Claim(key: key(1), mapping: id))
        #expect(store.notes == [.saved(id, "\(first)"), .saved(id, "\(first)"), .removed(id, "\(first)")])
    }

    @Test("and begin in a new line when they were given back before")
    func anew() {
        var writer = LeaseWriter(store)
        writer.save(lease(first)) { _ in }
        writer.remove(Claim(key: key(1), mapping: id))
        writer.save(lease(second)) { _ in }
        #expect(store.notes.last == .saved(id, "\(second)"))
    }

    @Test("those of a former run go on in the line that they were written down with")
    func restored() {
        var writer = LeaseWriter(store)
        writer.restored([lease(first)])
        writer.save(lease(second)) { _ in }
        #expect(store.notes == [.saved(id, "\(first)")])
    }

    @Test("one of which nobody knows the account is written on none")
    func unknown() {
        var writer = LeaseWriter(store)
        writer.remove(Claim(key: key(1), mapping: id))
        writer.save(lease(nil)) { _ in }
        #expect(store.notes == [.removed(id, nil), .saved(id, nil)])
    }

    @Test("a key that is handed over takes the lines of its leases along")
    func retired() {
        var writer = LeaseWriter(store)
        writer.save(lease(first)) { _ in }
        writer.retire(Retirement(former: key(1), next: key(2), account: second, hadPossessions: true))
        writer.save(lease(second, of: key(2))) { _ in }
        #expect(store.notes == [.saved(id, "\(first)"), .retired("\(first)"), .saved(id, "\(first)")])
    }

    @Test("a key that had nothing is written in the line of its own account")
    func plain() {
        var writer = LeaseWriter(store)
        writer.save(lease(first)) { _ in }
        writer.retire(Retirement(former: key(1), next: key(2), account: second, hadPossessions: false))
        writer.retire(Retirement(former: key(3), next: key(4), account: second, hadPossessions: true))
        writer.forgetRetired(key(1), on: second)
        #expect(store.notes.dropFirst() == [.retired("\(second)"), .retired("\(second)"), .forgotten("\(second)")])
    }

    @Test("no faster than the disk takes them")
    func room() {
        let writer = LeaseWriter(store)
        #expect(writer.hasRoom(for: first))
        store.fill()
        #expect(!writer.hasRoom(for: first))
    }
}
