import PeerMesh
import PeerWire
import Testing

/// A peer that comes back under another key, which its former one was handed over to.
@Suite final class RelaySuccessionTests {
    static let old = NodeKey.number(1), new = NodeKey.number(2), newer = NodeKey.number(3)
    let bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_099)!, leaseSeconds: 3_600))

    deinit {
        bench.checkInvariants()
        for violation in bench.violations { Issue.record("\(violation)") }
    }

    @discardableResult
    func start(
        _ session: UInt64, _ key: NodeKey, instance: UInt8 = 1, formerly: [NodeKey] = []
    ) -> [RelayCore.Action] {
        let actions = bench.give(
            .sessionProven(
                .number(session), key: key, introduction: .of(instance), grant: .mesh, formerly: formerly))
        bench.checkInvariants()
        return actions
    }

    func agree(_ session: UInt64, _ mapping: UInt64 = 1, _ wish: PortWish = .any(count: 1)) -> PortRange? {
        for action in bench.give(.received(.number(session), .wants(mapping, wish))) {
            guard case .offer(let offer)? = action.message else { continue }
            bench.give(.received(.number(session), .commit(offer.mapping, attempt: offer.attempt)))
            return offer.ports
        }
        return nil
    }

    func claim(_ key: NodeKey, _ mapping: UInt64 = 1) -> Claim { Claim(key: key, mapping: .number(mapping)) }

    func ends(_ actions: [RelayCore.Action]) -> [SessionID: CloseReason] {
        var ends: [SessionID: CloseReason] = [:]
        for case .end(let id, let reason, _) in actions { ends[id] = reason }
        return ends
    }

    @Test func `ports move to the new key, on the disk too, and are held all the while`() throws {
        start(1, Self.old)
        let ports = try #require(agree(1))
        let actions = start(2, Self.new, formerly: [Self.old])
        #expect(ends(actions) == [.number(1): .leaving], "the same process comes back")
        #expect(!actions.contains(.free(claim(Self.old))) && !actions.contains(.abortVisitors(.number(1))))
        #expect(bench.held[claim(Self.new)]?.ports == ports && bench.held[claim(Self.old)] == nil)
        #expect(Set(bench.saved.keys) == [claim(Self.new)] && bench.retired == [Self.old: Self.new])
        #expect(agree(2) == ports)
        #expect(bench.listening == [claim(Self.new): .number(2)])
    }

    @Test func `the former key opens nothing any more, now and after a restart`() throws {
        start(1, Self.old)
        let ports = try #require(agree(1))
        start(2, Self.new, formerly: [Self.old])
        #expect(ends(start(3, Self.old, instance: 3)) == [.number(3): .superseded])
        #expect(bench.core.session(.number(2)) != nil)
        let later = RelayCore(policy: bench.core.policy, seed: 1)
        var restarted = later
        _ = restarted.restore(Array(bench.saved.values), retired: bench.retired, at: .start)
        let actions = restarted.handle(
            .sessionProven(.number(4), key: Self.old, introduction: .of(4), grant: .mesh), at: .zero, wall: .start)
        #expect(ends(actions) == [.number(4): .superseded])
        #expect(restarted.lease(of: claim(Self.new))?.ports == ports)
        #expect(restarted.formerKeys(of: Self.new) == [Self.old])
    }

    @Test func `another process with the former key is fenced, and its visitors are broken off`() throws {
        start(1, Self.old, instance: 1)
        _ = try #require(agree(1))
        let actions = start(2, Self.new, instance: 2, formerly: [Self.old])
        #expect(actions.contains(.abortVisitors(.number(1))))
        #expect(ends(actions) == [.number(1): .superseded])
    }

    @Test func `a key is handed over once: another successor gets nothing, and neither does the one who tries again`() throws {
        start(1, Self.old)
        let ports = try #require(agree(1))
        start(2, Self.new, formerly: [Self.old])
        #expect(agree(2) == ports)
        let thief = start(3, Self.newer, instance: 3, formerly: [Self.old])
        #expect(thief == [.welcome(.number(3))])
        #expect(bench.listening == [claim(Self.new): .number(2)])
        #expect(start(4, Self.new, formerly: [Self.old]).contains(.welcome(.number(4))))
        #expect(bench.core.lease(of: claim(Self.new))?.ports == ports)
    }

    @Test func `two changes at once, and one after the other, lead to the last key`() throws {
        start(1, Self.old)
        let ports = try #require(agree(1))
        start(2, Self.newer, formerly: [Self.old, Self.new])
        #expect(agree(2) == ports)
        #expect(bench.core.formerKeys(of: Self.newer) == [Self.old, Self.new])
        let newest = NodeKey.number(4)
        start(3, newest, formerly: [Self.newer])
        #expect(agree(3) == ports)
        #expect(bench.core.formerKeys(of: newest) == [Self.old, Self.new, Self.newer])
        #expect(bench.core.formerKeys(of: Self.old).isEmpty)
        #expect(ends(start(5, Self.newer, instance: 5)) == [.number(5): .superseded])
    }

    @Test func `a circle of keys moves nothing and ends`() throws {
        start(1, Self.old)
        _ = try #require(agree(1))
        start(2, Self.new, formerly: [Self.old])
        // The key that was given up comes as the successor of its successor.
        #expect(ends(start(3, Self.old, instance: 3, formerly: [Self.new])) == [.number(3): .superseded])
        #expect(bench.core.formerKeys(of: Self.new) == [Self.old])
    }

    @Test func `what the new key has already is not replaced, and a lease being written down moves too`() throws {
        start(1, Self.old)
        let ports = try #require(agree(1, 7))
        start(2, Self.new, instance: 2)
        let own = try #require(agree(2, 7))
        #expect(own != ports)
        start(3, Self.new, instance: 2, formerly: [Self.old])
        #expect(agree(3, 7) == own)
        #expect(bench.core.lease(of: claim(Self.old, 7))?.ports == ports, "it runs out")

        bench.savesAtOnce = false
        start(4, .number(8), instance: 4)
        let fresh = try #require(agree(4, 1))
        start(5, .number(9), instance: 4, formerly: [.number(8)])
        while !bench.saving.isEmpty { bench.finishSaving() }
        bench.savesAtOnce = true
        #expect(agree(5, 1) == fresh)
    }
}
