import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A relay that lets its peers go.
@Suite final class RelayDrainTests {
    var bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_099)!))

    deinit {
        bench.checkInvariants()
        for violation in bench.violations { Issue.record("\(violation)") }
    }

    private func start(_ session: UInt64, key: UInt8, instance: UInt8 = 1) -> [RelayCore.Action] {
        bench.give(.sessionProven(.number(session), key: .number(key), introduction: .of(instance), grant: .mesh))
    }

    private func isEnd(_ action: RelayCore.Action, _ session: UInt64, _ reason: CloseReason) -> Bool {
        if case .end(.number(session), reason, _) = action { true } else { false }
    }

    @Test func `those that are here are told once, and those who are new are sent elsewhere`() {
        _ = start(1, key: 1)
        _ = start(2, key: 2)
        #expect(
            bench.give(.drain(true)) == [.send(.number(1), .draining(true)), .send(.number(2), .draining(true))])
        #expect(bench.give(.drain(true)).isEmpty)
        #expect(bench.core.isDraining)
        let refused = start(3, key: 3)
        #expect(refused.count == 1 && isEnd(refused[0], 3, .limitReached))
        // Whoever is here may come back within his session's time, and is told again.
        let again = start(4, key: 1)
        #expect(again.contains(.welcome(.number(4))) && again.last == .send(.number(4), .draining(true)))

        #expect(bench.give(.drain(false)).contains(.send(.number(2), .draining(false))))
        #expect(start(5, key: 3).contains(.welcome(.number(5))))
    }

    @Test func `when the time is over the rest is sent away with its visitors, and its leases stay`() {
        _ = start(1, key: 1)
        _ = bench.give(.received(.number(1), .wants(7, .any(count: 1))))
        _ = bench.give(.received(.number(1), .commit(.number(7), attempt: 1)))
        #expect(bench.core.standings.count == 1)
        #expect(bench.give(.drained).isEmpty)
        _ = bench.give(.drain(true))
        let actions = bench.give(.drained)
        #expect(actions.contains(.abortVisitors(.number(1))))
        #expect(actions.contains { isEnd($0, 1, .leaving) })
        #expect(bench.core.sessionCount == 0)
        #expect(bench.core.standings.count == 1)
    }
}
