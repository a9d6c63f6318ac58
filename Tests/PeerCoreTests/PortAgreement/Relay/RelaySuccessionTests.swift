import PeerWire
import SimulationSupport
import Testing

@testable import PeerCore

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
        #expect(Set(bench.saved.keys) == [claim(Self.new)])
        let retirement = Retirement(
            former: Self.old, next: Self.new, account: Grant.mesh.membership, hadPossessions: true)
        #expect(bench.retired == [retirement])
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

    @Test func `a key is handed over once: another successor gets nothing, and neither does the one who tries again`()
        throws
    {
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
        #expect(bench.core.formerKeys(of: Self.newer) == [Self.old], "the one in between was never seen here")
        let newest = NodeKey.number(4)
        start(3, newest, formerly: [Self.newer])
        #expect(agree(3) == ports)
        #expect(bench.core.formerKeys(of: newest) == [Self.old, Self.newer])
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

    // MARK: Changes that are no news

    func grant(_ network: String) -> Grant { Grant(membership: .mesh(network: network)) }

    @discardableResult
    func change(
        _ session: UInt64, _ key: NodeKey, formerly: [NodeKey], _ grant: Grant = .mesh
    ) -> [RelayCore.Action] {
        bench.give(
            .sessionProven(.number(session), key: key, introduction: .of(1), grant: grant, formerly: formerly))
    }

    func retirements(_ actions: [RelayCore.Action]) -> Int {
        actions.count { if case .retire = $0 { true } else { false } }
    }

    @Test func `a change of a key that has nothing here is no news, however many there are`() {
        for number in 0..<4_150 {
            let base = 10_000 + number * 5
            let actions = change(
                UInt64(number), .wide(base), formerly: (1...4).map { .wide(base + $0) }, grant("192.0.2.0/24"))
            #expect(retirements(actions) == 0)
            bench.give(.sessionEnded(.number(UInt64(number))))
        }
        #expect(bench.retired == [] && bench.core.formerKeys(of: .wide(10_000)) == [])
    }

    @Test func `a session alone makes it news, and so does a token, shown or made for it`() {
        start(1, Self.old)
        #expect(retirements(change(2, Self.new, formerly: [Self.old])) == 1)
        #expect(bench.retired.last?.hadPossessions == false)
        let token = Grant(membership: .token(id: "t"))
        change(3, .number(20), formerly: [], token)
        bench.give(.sessionEnded(.number(3)))
        #expect(retirements(change(4, .number(21), formerly: [.number(20)])) == 1)
        #expect(bench.retired.last?.hadPossessions == true)
        bench.give(.sessionEnded(.number(4)))
        // The token is the next one's by now.
        #expect(retirements(change(5, .number(22), formerly: [.number(21)])) == 1)
        bench.give(.tokenMade(.number(30)))
        #expect(retirements(change(6, .number(31), formerly: [.number(30)])) == 1)
        #expect(bench.core.isSucceeded(.number(20), byAnotherThan: .number(9)))
        #expect(!bench.core.isSucceeded(.number(20), byAnotherThan: .number(22)))
        #expect(!bench.core.isSucceeded(.number(99), byAnotherThan: .number(22)))
    }

    @Test func `changes of one membership go before those of another, and what had leases outlives what had none`()
        throws
    {
        let (victim, loud) = (grant("198.51.100.0/24"), grant("192.0.2.0/24"))
        change(1, Self.old, formerly: [], victim)
        _ = try #require(agree(1))
        change(2, Self.new, formerly: [Self.old], victim)
        // One of the loud membership that had a port.
        change(3, .number(50), formerly: [], loud)
        _ = try #require(agree(3, 3))
        change(4, .number(51), formerly: [.number(50)], loud)
        // Each key has a session when the next one comes.
        var most = 0
        for number in 0..<2_000 {
            change(UInt64(100 + number), .wide(10_000 + number), formerly: [.wide(9_999 + number)], loud)
            most = max(most, bench.retired.count)
        }
        #expect(most == 1 + RetiredKeys.maximumOfAccount)
        #expect(bench.retired.contains { $0.former == Self.old } && bench.retired.contains { $0.former == .number(50) })
        #expect(!bench.retired.contains { $0.former == .wide(10_000) })
        #expect(ends(change(9_001, Self.old, formerly: [])) == [.number(9_001): .superseded])
        #expect(ends(change(9_002, .number(50), formerly: [])) == [.number(9_002): .superseded])
        // And so it is for whoever starts with what the disk has.
        var later = RelayCore(policy: bench.core.policy, seed: 1)
        _ = later.restore(Array(bench.saved.values), retired: bench.retired, at: .start)
        for key in [Self.old, .number(50)] {
            let actions = later.handle(
                .sessionProven(.number(1), key: key, introduction: .of(4), grant: .mesh), at: .zero, wall: .start)
            #expect(ends(actions) == [.number(1): .superseded])
        }
    }

    @Test func `where all places are taken the oldest goes of the membership that has most`() {
        var keys = RetiredKeys()
        func add(_ number: Int, _ account: Grant.Membership?) -> NodeKey? {
            keys.add(
                Retirement(former: .wide(number), next: .wide(1), account: account, hadPossessions: true))?.former
        }
        #expect(add(2, .token(id: "quiet")) == nil)
        // Of an earlier version, on nobody's account.
        for number in 0..<15_000 { #expect(add(100_000 + number, nil) == nil) }
        for number in 0..<1_383 {
            let forgotten = add(200_000 + number, .mesh(network: "192.0.2.0/24"))
            #expect(forgotten == (number < 1_024 ? nil : .wide(200_000 + number - 1_024)))
        }
        for number in 0..<359 { #expect(add(300_000 + number, .mesh(network: "n")) == nil) }
        #expect(keys.count == RetiredKeys.maximum)
        #expect(add(400_000, .token(id: "new")) == .wide(100_000))
        #expect(keys[.wide(2)] == .wide(1) && keys[.wide(100_000)] == nil && keys[.wide(400_000)] != nil)
        #expect(keys.count == RetiredKeys.maximum)
    }
}

extension NodeKey {
    fileprivate static func wide(_ number: Int) -> NodeKey {
        let bytes = withUnsafeBytes(of: UInt64(number).bigEndian) { Array($0) }
        return NodeKey(bytes: bytes + [UInt8](repeating: 0xa5, count: 24))!
    }
}
