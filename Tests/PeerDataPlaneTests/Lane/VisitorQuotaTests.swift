import PeerCore
import PeerReactor
import Testing

@testable import PeerDataPlane

@Suite("The quota of a membership")
struct VisitorQuotaTests {
    private let start = Instant(nanoseconds: 5_000_000_000)

    private func quota(connections: Int? = nil, perSecond: Int? = nil, rate: Int? = nil) -> VisitorQuota {
        VisitorQuota(
            Grant.Limits(connections: connections, connectionsPerSecond: perSecond, bytesPerSecond: rate), at: start)
    }

    @Test func `is needed only for what lanes count`() {
        #expect(!VisitorQuota.isNeeded(for: Grant.Limits(keys: 1, leases: 1, mappings: 1)))
        #expect(VisitorQuota.isNeeded(for: Grant.Limits(connections: 1)))
        #expect(VisitorQuota.isNeeded(for: Grant.Limits(connectionsPerSecond: 1)))
        #expect(VisitorQuota.isNeeded(for: Grant.Limits(bytesPerSecond: 1)))
    }

    @Test func `gives as many slots as there may be connections, and each again when its visitor has gone`() {
        let quota = quota(connections: 3)
        var slots = (0..<3).compactMap { _ in quota.admit(at: start) }
        #expect(slots.count == 3)
        #expect(quota.admit(at: start) == nil)
        slots.removeLast()
        slots.append(contentsOf: [quota.admit(at: start), quota.admit(at: start)].compactMap { $0 })
        #expect(slots.count == 3)
        slots = []
        #expect(quota.isIdle(at: start))
    }

    @Test func `lets so many newcomers in a second`() {
        let quota = quota(perSecond: 10)
        let admitted = (0..<50).filter { _ in quota.admit(at: start) != nil }.count
        #expect(admitted == 10)
        let later = (0..<50).filter { _ in quota.admit(at: start + .milliseconds(500)) != nil }.count
        #expect(later == 5)
    }

    @Test func `holds each direction to its rate, to the byte`() {
        let quota = quota(rate: 1_000_000)
        var now = start
        var taken = [0, 0]
        // As a forwarder does: takes what it gets, reads half of it, and comes again when it is told to.
        for _ in 0..<20_000 {
            for direction in 0...1 {
                let got = quota.take(upTo: 65_536, direction == 0, at: now)
                quota.putBack(got / 2, direction == 0)
                taken[direction] += got - got / 2
            }
            now = now + .milliseconds(1)
        }
        // 20 seconds, and a burst of one.
        for sum in taken { #expect((20_900_000...21_000_000).contains(sum), "\(sum)") }
    }

    @Test func `saves bytes up until a read is worth it, and says when`() {
        let quota = quota(rate: 1_000_000)
        #expect(quota.take(upTo: 2_000_000, true, at: start) == 1_000_000)
        #expect(quota.take(upTo: 65_536, true, at: start + .milliseconds(1)) == 0)
        let ready = quota.ready(true)
        #expect(ready == start + .microseconds(16_384))
        #expect(quota.take(upTo: 65_536, true, at: ready) == 16_384)
        // The other direction has its own.
        #expect(quota.take(upTo: 65_536, false, at: start) == 65_536)
    }

    @Test func `a low rate does not wait for much`() {
        let quota = quota(rate: 100)
        #expect(quota.take(upTo: 65_536, true, at: start) == 100)
        #expect(quota.ready(true) == start + .milliseconds(50))
        #expect(quota.take(upTo: 65_536, true, at: start + .milliseconds(50)) == 5)
    }

    @Test func `takes other limits on while it is used`() {
        let quota = quota(connections: 1, rate: 10)
        let slot = quota.admit(at: start)
        quota.change(Grant.Limits(connections: 2), at: start)
        #expect(quota.allowance == nil)
        #expect(quota.take(upTo: 65_536, true, at: start) == 65_536)
        let second = quota.admit(at: start)
        #expect(slot != nil && second != nil && quota.admit(at: start) == nil)
        quota.change(Grant.Limits(connections: 1, bytesPerSecond: 50), at: start)
        #expect(quota.allowance != nil)
        #expect(quota.admit(at: start) == nil)
    }

    @Test func `is kept while anybody uses it, and then forgotten`() {
        var quotas = VisitorQuotas()
        let membership = Grant.Membership.token(id: "a")
        let limits = Grant.Limits(connections: 1, bytesPerSecond: 100)
        let quota = quotas.quota(for: membership, limits, at: start)
        var slot = quota?.admit(at: start)
        #expect(quotas.quota(for: membership, limits, at: start) === quota)
        quotas.timePassed(at: start) { _ in false }
        #expect(quotas.quota(for: membership, limits, at: start) === quota, "somebody is here")
        slot = nil
        _ = quota?.take(upTo: 100, true, at: start)
        quotas.timePassed(at: start) { _ in false }
        #expect(quotas.quota(for: membership, limits, at: start) === quota, "a new one would have a burst again")
        quotas.timePassed(at: start + .seconds(2)) { _ in true }
        #expect(quotas.quota(for: membership, limits, at: start) === quota, "a session is here")
        quotas.timePassed(at: start + .seconds(4)) { _ in false }
        #expect(quotas.quota(for: membership, limits, at: start) !== quota)
        #expect(quotas.quota(for: .token(id: "b"), Grant.Limits(), at: start) == nil)
        #expect(slot == nil)
    }
}
