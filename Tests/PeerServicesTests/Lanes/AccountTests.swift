import PeerMesh
import PeerReactor
import Testing

@testable import PeerServices

@Suite("The account of a membership")
struct AccountTests {
    private let start = Instant(nanoseconds: 5_000_000_000)

    private func account(connections: Int? = nil, perSecond: Int? = nil, rate: Int? = nil) -> Account {
        Account(
            Grant.Limits(connections: connections, connectionsPerSecond: perSecond, bytesPerSecond: rate), at: start)
    }

    @Test func `is needed only for what lanes count`() {
        #expect(!Account.isNeeded(for: Grant.Limits(keys: 1, leases: 1, mappings: 1)))
        #expect(Account.isNeeded(for: Grant.Limits(connections: 1)))
        #expect(Account.isNeeded(for: Grant.Limits(connectionsPerSecond: 1)))
        #expect(Account.isNeeded(for: Grant.Limits(bytesPerSecond: 1)))
    }

    @Test func `gives as many seats as there may be connections, and each again when its visitor has gone`() {
        let account = account(connections: 3)
        var seats = (0..<3).compactMap { _ in account.admit(at: start) }
        #expect(seats.count == 3)
        #expect(account.admit(at: start) == nil)
        seats.removeLast()
        seats.append(contentsOf: [account.admit(at: start), account.admit(at: start)].compactMap { $0 })
        #expect(seats.count == 3)
        seats = []
        #expect(account.isIdle(at: start))
    }

    @Test func `lets so many newcomers in a second`() {
        let account = account(perSecond: 10)
        let admitted = (0..<50).filter { _ in account.admit(at: start) != nil }.count
        #expect(admitted == 10)
        let later = (0..<50).filter { _ in account.admit(at: start + .milliseconds(500)) != nil }.count
        #expect(later == 5)
    }

    @Test func `holds each direction to its rate, to the byte`() {
        let account = account(rate: 1_000_000)
        var now = start
        var taken = [0, 0]
        // As a forwarder does: takes what it gets, reads half of it, and comes again when it is told to.
        for _ in 0..<20_000 {
            for direction in 0...1 {
                let got = account.take(upTo: 65_536, direction == 0, at: now)
                account.putBack(got / 2, direction == 0)
                taken[direction] += got - got / 2
            }
            now = now + .milliseconds(1)
        }
        // 20 seconds, and a burst of one.
        for sum in taken { #expect((20_900_000...21_000_000).contains(sum), "\(sum)") }
    }

    @Test func `saves bytes up until a read is worth it, and says when`() {
        let account = account(rate: 1_000_000)
        #expect(account.take(upTo: 2_000_000, true, at: start) == 1_000_000)
        #expect(account.take(upTo: 65_536, true, at: start + .milliseconds(1)) == 0)
        let ready = account.ready(true)
        #expect(ready == start + .microseconds(16_384))
        #expect(account.take(upTo: 65_536, true, at: ready) == 16_384)
        // The other direction has its own.
        #expect(account.take(upTo: 65_536, false, at: start) == 65_536)
    }

    @Test func `a low rate does not wait for much`() {
        let account = account(rate: 100)
        #expect(account.take(upTo: 65_536, true, at: start) == 100)
        #expect(account.ready(true) == start + .milliseconds(50))
        #expect(account.take(upTo: 65_536, true, at: start + .milliseconds(50)) == 5)
    }

    @Test func `takes other limits on while it is used`() {
        let account = account(connections: 1, rate: 10)
        let seat = account.admit(at: start)
        account.change(Grant.Limits(connections: 2), at: start)
        #expect(account.allowance == nil)
        #expect(account.take(upTo: 65_536, true, at: start) == 65_536)
        let second = account.admit(at: start)
        #expect(seat != nil && second != nil && account.admit(at: start) == nil)
        account.change(Grant.Limits(connections: 1, bytesPerSecond: 50), at: start)
        #expect(account.allowance != nil)
        #expect(account.admit(at: start) == nil)
    }

    @Test func `is kept while anybody uses it, and then forgotten`() {
        var accounts = Accounts()
        let membership = Grant.Membership.token(id: "a")
        let limits = Grant.Limits(connections: 1, bytesPerSecond: 100)
        let account = accounts.account(for: membership, limits, at: start)
        var seat = account?.admit(at: start)
        #expect(accounts.account(for: membership, limits, at: start) === account)
        accounts.timePassed(at: start) { _ in false }
        #expect(accounts.account(for: membership, limits, at: start) === account, "somebody is here")
        seat = nil
        _ = account?.take(upTo: 100, true, at: start)
        accounts.timePassed(at: start) { _ in false }
        #expect(accounts.account(for: membership, limits, at: start) === account, "a new one would have a burst again")
        accounts.timePassed(at: start + .seconds(2)) { _ in true }
        #expect(accounts.account(for: membership, limits, at: start) === account, "a session is here")
        accounts.timePassed(at: start + .seconds(4)) { _ in false }
        #expect(accounts.account(for: membership, limits, at: start) !== account)
        #expect(accounts.account(for: .token(id: "b"), Grant.Limits(), at: start) == nil)
        #expect(seat == nil)
    }
}
