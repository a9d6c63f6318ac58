import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// How much one session, and one membership, may have a relay do.
@Suite final class RelayWorkloadTests {
    var bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 10_000, last: 29_999)!))

    deinit {
        bench.checkInvariants()
        for violation in bench.violations { Issue.record("\(violation)") }
    }

    func start(_ session: UInt64, key: UInt8, instance: UInt8 = 1, grant: Grant = .mesh) {
        let actions = bench.give(
            .sessionProven(.number(session), key: .number(key), introduction: .of(instance), grant: grant))
        #expect(actions.contains(.welcome(.number(session))))
    }

    func say(_ session: UInt64, _ message: PeerMessage) -> [RelayCore.Action] {
        bench.give(.received(.number(session), message))
    }

    /// Asks, commits where something is offered, and tells whether it is active then.
    func agree(_ session: UInt64, _ mapping: UInt64, _ wish: PortWish = .any(count: 1)) -> RefusalReason? {
        for action in say(session, .wants(mapping, wish)) {
            if case .refusal(_, let reason, _)? = action.message { return reason }
            guard case .offer(let offer)? = action.message else { continue }
            for answer in say(session, .commit(offer.mapping, attempt: offer.attempt)) {
                if case .refusal(_, let reason, _)? = answer.message { return reason }
            }
        }
        return nil
    }

    func release(_ session: UInt64, _ mapping: UInt64) { _ = say(session, .release(.number(mapping))) }

    /// What touches the system, by the number of ports.
    static func touched(_ actions: [RelayCore.Action]) -> Int {
        actions.reduce(0) { sum, action in if case .hold(_, let ports, _) = action { sum + ports.count } else { sum } }
    }

    @Test func `who asks without end is told so, and the system is left alone`() {
        start(1, key: 1)
        var touched = 0
        var refused = 0
        for round in 0..<20_000 {
            // New mappings each time, 64 ports each.
            let mapping = UInt64(round)
            let actions = say(1, .wants(mapping, .any(count: 64)))
            touched += Self.touched(actions)
            if case .refusal(_, .limitReached, _)? = actions.last?.message { refused += 1 }
            release(1, mapping)
            bench.now = bench.now + .milliseconds(1)
        }
        // 20 s: the burst, and the rate.
        #expect(touched <= 4_096 + 20 * 128 && touched >= 20 * 128)
        #expect(refused > 19_800)
    }

    @Test func `one session of a membership leaves the others of it half of the ports`() {
        start(1, key: 1)
        start(2, key: 2)
        for second in UInt64(0)..<60 {
            for step in UInt64(0)..<200 {
                _ = agree(1, second * 1_000 + step, .any(count: 64))
                release(1, second * 1_000 + step)
                bench.now = bench.now + .milliseconds(5)
            }
            #expect(agree(2, second) == nil)
            release(2, second)
        }
    }

    @Test func `sessions of one membership have a limit together, those of another have their own`() {
        for key in UInt8(1)...60 { start(UInt64(key), key: key) }
        let other = Grant(membership: .mesh(network: "198.51.100.0/24"))
        start(100, key: 100, grant: other)
        var touched = 0
        for round in UInt64(0)..<100 {
            for key in UInt64(1)...60 {
                touched += Self.touched(say(key, .wants(round, .any(count: 64))))
                release(key, round)
            }
        }
        #expect(touched == 8_192)
        #expect(agree(100, 1, .any(count: 64)) == nil)
        bench.now = bench.now + .seconds(1)
        #expect(agree(1, 1_000, .any(count: 64)) == nil)
    }

    @Test func `a thousand mappings come back at once, again and again, whether the relay or the peer began anew`() {
        start(1, key: 1)
        for mapping in UInt64(1)...1_000 { #expect(agree(1, mapping) == nil) }
        for round in UInt8(2)...3 {
            bench.now = bench.now + .seconds(2)
            start(UInt64(round), key: 1, instance: round)
            for mapping in UInt64(1)...1_000 { #expect(agree(UInt64(round), mapping) == nil) }
        }
        let before = bench.listening.count
        bench = RelayBench(bench.core.policy, at: bench.now, saved: bench.saved)
        bench.restore()
        start(9, key: 1, instance: 9)
        for mapping in UInt64(1)...1_000 { #expect(agree(9, mapping) == nil) }
        #expect(bench.listening.count == before)
    }

    @Test func `its frames are read as they come for a return, and at a steady pace from a flood`() {
        start(1, key: 1)
        start(2, key: 2)
        var read = 0
        for round in 0..<20_000 {
            while bench.readFrame(of: .number(1)) == nil { read += 1 }
            if round % 500 == 0 { #expect(bench.readFrame(of: .number(2)) == nil) }
            bench.now = bench.now + .milliseconds(1)
        }
        #expect(read >= 5 * 1_024 && read <= 16_384 + 20 * 1_024)
        while bench.readFrame(of: .number(1)) == nil {}
        let span = bench.readFrame(of: .number(1))
        #expect(span.map { $0 > .zero && $0 <= .milliseconds(1) } == true)
        // One that is gone waits for nothing.
        #expect(bench.readFrame(of: .number(77)) == nil)
    }

    @Test func `one mapping goes and comes sixteen times at once, then twice a second`() {
        start(1, key: 1)
        var done = 0
        for _ in 0..<1_000 {
            if agree(1, 1) == nil { done += 1 }
            release(1, 1)
            bench.now = bench.now + .milliseconds(10)
        }
        #expect(done >= 16 + 19 && done <= 16 + 22)
        // Another one is not concerned.
        #expect(agree(1, 2) == nil)
    }

    @Test func `ports that close and open again on a peer's word cost as much as ports that are asked for`() {
        start(1, key: 1)
        #expect(agree(1, 1, .any(count: 64)) == nil)
        var opened = 0
        var closed = 0
        for _ in 0..<20_000 {
            for state in [MappingState.targetDown, .active] {
                for action in say(1, .report(.number(1), state: state, isLeaving: false)) {
                    switch action {
                    case .listen: opened += 64
                    case .pause, .pauseGently: closed += 64
                    default: break
                    }
                }
            }
            bench.now = bench.now + .milliseconds(1)
        }
        // 20 s: the burst, and the rate.
        #expect(opened + closed <= 4_096 + 20 * 128 + 64 && opened + closed >= 20 * 128)
    }

    @Test func `what was agreed stays untouched when it is asked for once too often`() {
        start(1, key: 1)
        for _ in 0..<18 { #expect(agree(1, 1, .exactly(.only(10_007))) == nil) }
        let claim = Claim(key: .number(1), mapping: .number(1))
        #expect(bench.core.standing(of: claim)?.stage == .active)
        let actions = say(1, .wants(1, .exactly(.only(10_007))))
        #expect(actions.count == 1)
        #expect(bench.core.standing(of: claim)?.stage == .active && bench.listening[claim] != nil)
    }

    @Test func `a port of something else is asked for once in five seconds, by whoever wants any`() {
        bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_099)!), busy: Set(1_000...1_098))
        for key in UInt8(1)...20 { start(UInt64(key), key: key) }
        #expect(agree(1, 1) == nil)
        var touched = 0
        for key in UInt64(2)...20 { touched += Self.touched(say(key, .wants(1, .any(count: 1)))) }
        #expect(touched <= 99)
        bench.busy = [1_050]
        // Whoever wants this very port has the system asked.
        #expect(agree(2, 2, .exactly(.only(1_000))) == nil)
        bench.now = bench.now + .seconds(5)
        #expect(agree(3, 3) == nil)
    }

    @Test func `a target that flaps faster than its ports may be opened has them open in the end`() {
        start(1, key: 1)
        #expect(agree(1, 1, .any(count: 64)) == nil)
        let claim = Claim(key: .number(1), mapping: .number(1))
        var opened = 0
        for _ in 0..<1_000 {
            _ = say(1, .report(.number(1), state: .targetDown))
            #expect(bench.listening[claim] == nil)
            for action in say(1, .report(.number(1), state: .active)) {
                if case .listen = action { opened += 1 }
            }
        }
        #expect(opened <= 4_096 / 64)
        #expect(bench.listening[claim] == nil)
        bench.now = bench.now + .seconds(1)
        _ = bench.give(.timePassed)
        #expect(bench.listening[claim] == .number(1))
        // Down while it waits for its turn: then it stays closed.
        for _ in 0..<10 {
            _ = say(1, .report(.number(1), state: .targetDown))
            _ = say(1, .report(.number(1), state: .active))
        }
        _ = say(1, .report(.number(1), state: .targetDown))
        bench.now = bench.now + .seconds(4)
        _ = bench.give(.timePassed)
        #expect(bench.listening[claim] == nil)
    }

    @Test func `a token shown again that allows the same changes nothing`() {
        let grant = Grant.token("one")
        start(1, key: 1, grant: grant)
        #expect(agree(1, 1) == nil)
        #expect(bench.give(.grantRenewed(.number(1), grant)).isEmpty)
        let other = Grant.token("one", ports: [PortRange(first: 10_000, last: 29_999)!])
        #expect(!bench.give(.grantRenewed(.number(1), other)).isEmpty)
    }
}
