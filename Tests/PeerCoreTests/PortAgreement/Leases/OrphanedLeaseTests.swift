import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// Leases that the peer does not know any more, and leases that the disk has while it takes nothing new.
@Suite final class OrphanedLeaseTests {
    var bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_099)!, leaseSeconds: 3_600))

    deinit {
        bench.checkInvariants()
        for violation in bench.violations { Issue.record("\(violation)") }
    }

    private static func claim(_ key: UInt8, _ mapping: UInt64) -> Claim {
        Claim(key: .number(key), mapping: .number(mapping))
    }

    private func start(_ session: UInt64, key: UInt8, instance: UInt8, _ grant: Grant = .mesh) {
        _ = bench.give(
            .sessionProven(.number(session), key: .number(key), introduction: .of(instance), grant: grant))
    }

    /// Request and commit; the ports, or why not.
    private func agree(_ session: UInt64, _ mapping: UInt64, _ wish: PortWish) -> (ports: PortRange?, RefusalReason?) {
        for action in bench.give(.received(.number(session), .wants(mapping, wish))) {
            switch action.message {
            case .offer(let offer)?:
                let answers = bench.give(.received(.number(session), .commit(offer.mapping, attempt: offer.attempt)))
                bench.checkInvariants()
                for case .refusal(_, let reason, _)? in answers.map(\.message) { return (nil, reason) }
                return (offer.ports, nil)
            case .refusal(_, let reason, _)?: return (nil, reason)
            default: continue
            }
        }
        return (nil, nil)
    }

    /// A peer that agreed a port, and comes back without knowing that.
    private func forgetful(_ grant: Grant = .mesh) {
        start(1, key: 1, instance: 1, grant)
        #expect(agree(1, 1, .exactly(.only(1_050))).ports == .only(1_050))
        _ = bench.give(.sessionEnded(.number(1)))
        bench.now = bench.now + .seconds(60)
        start(2, key: 1, instance: 2, grant)
    }

    @Test(arguments: [PortWish.exactly(.only(1_050)), .preferably(.only(1_050))])
    func `a key has its port back for another mapping`(_ wish: PortWish) {
        forgetful()
        bench.now = bench.now + .seconds(3)
        #expect(agree(2, 2, wish).ports == .only(1_050))
        #expect(bench.saved.keys.sorted { $0.mapping.value < $1.mapping.value } == [Self.claim(1, 2)])
        #expect(bench.listening == [Self.claim(1, 2): .number(2)])
    }

    @Test func `a limit of one port does not stand in the way of that`() {
        let limits = Grant.Limits(leases: 1, mappings: 1)
        let grant = Grant(membership: .token(id: "t"), limits: limits)
        forgetful(grant)
        bench.now = bench.now + .seconds(3)
        #expect(agree(2, 2, .exactly(.only(1_050))).ports == .only(1_050))
    }

    @Test func `as long as the peer may still ask for the one it belongs to, it is not given away`() {
        forgetful()
        #expect(agree(2, 2, .exactly(.only(1_050))).1 == .portTaken)
        #expect(agree(2, 1, .any(count: 1)).ports == .only(1_050))
        // Nor one that is in use.
        bench.now = bench.now + .seconds(60)
        _ = bench.give(.received(.number(2), .ping(1)))
        #expect(agree(2, 2, .exactly(.only(1_050))).1 == .portTaken)
        #expect(bench.listening == [Self.claim(1, 1): .number(2)])
    }

    @Test func `a peer hears once of what it has not asked for, and what it gives back is free`() {
        forgetful()
        #expect(agree(2, 2, .any(count: 1)).ports != nil)
        func refusals() -> [RelayMessage] {
            _ = bench.give(.received(.number(2), .ping(1)))
            return bench.give(.timePassed).compactMap(\.message)
        }
        bench.now = bench.now + .milliseconds(1_900)
        #expect(refusals() == [])
        bench.now = bench.now + .milliseconds(200)
        #expect(
            refusals() == [
                .refusal(.number(1), reason: .withdrawn, detail: "leased, and not asked for in this session")
            ])
        bench.now = bench.now + .seconds(1)
        #expect(refusals() == [])
        _ = bench.give(.received(.number(2), .release(.number(1))))
        #expect(bench.saved.keys.map(\.mapping) == [.number(2)] && bench.held.count == 1)
    }

    @Test func `another key gets nothing of it`() {
        forgetful()
        start(3, key: 2, instance: 3)
        bench.now = bench.now + .seconds(3)
        #expect(agree(3, 2, .exactly(.only(1_050))).1 == .portLeased)
    }

    @Test func `a restarted relay with a full disk serves the leases that are on it`() {
        start(1, key: 1, instance: 1)
        #expect(agree(1, 1, .exactly(.only(1_050))).ports == .only(1_050))
        #expect(agree(1, 2, .any(count: 2)).ports != nil)
        bench = RelayBench(bench.core.policy, at: bench.now + .seconds(60), saved: bench.saved)
        bench.restore()
        bench.isDiskBroken = true
        start(2, key: 1, instance: 2)
        #expect(agree(2, 1, .exactly(.only(1_050))).ports == .only(1_050))
        #expect(agree(2, 2, .any(count: 2)).ports != nil)
        #expect(bench.listening.count == 2)
        // What is not there is promised to nobody.
        #expect(agree(2, 3, .exactly(.only(1_070))).1 == .storageFailed)
        #expect(bench.held.count == 2)
        // And once more within the same process.
        _ = bench.give(.sessionEnded(.number(2)))
        start(3, key: 1, instance: 3)
        #expect(agree(3, 1, .exactly(.only(1_050))).ports == .only(1_050))
    }
}
