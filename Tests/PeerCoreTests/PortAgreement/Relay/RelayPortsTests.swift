import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A relay that is told of each port of a mapping.
@Suite struct RelayPortsTests {
    typealias Action = RelayCore.Action
    static let claim = Claim(key: .number(1), mapping: .number(1))
    let bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, count: 2_000)!, leaseSeconds: 60))

    private func say(_ message: PeerMessage) -> [Action] { bench.give(.received(.number(1), message)) }

    private func join() {
        bench.give(.sessionProven(.number(1), key: .number(1), introduction: .of(1), grant: .mesh))
    }

    /// Three ports that are agreed; how each is to be goes with the commit.
    private func agree(_ states: [MappingState]?) -> [Action] {
        join()
        _ = say(.wants(1, .any(count: 3)))
        return say(.commit(.number(1), attempt: 1, ports: states.map { PortStates($0) }))
    }

    private func report(_ state: MappingState, _ states: [MappingState]) -> [Action] {
        say(.report(.number(1), state: state, ports: PortStates(states)))
    }

    @Test func `ports that are to refuse never accept`() {
        let actions = agree([.targetDown, .committed, .targetDown])
        #expect(actions.contains(.listen(Self.claim, .number(1), .everybody, only: [1])))
        bench.checkInvariants()
        #expect(bench.violations.isEmpty)
    }

    @Test func `where all are to refuse nothing listens until one is to accept`() {
        let actions = agree([.targetDown, .targetDown, .targetDown])
        #expect(!actions.contains { if case .listen = $0 { true } else { false } })
        #expect(report(.targetDown, [.targetDown]).isEmpty)
        #expect(
            report(.active, [.targetDown, .targetDown, .active]).first
                == .listen(Self.claim, .number(1), .everybody, only: [2]))
        #expect(bench.violations.isEmpty)
    }

    @Test func `each report changes only what is new in it, and an opened port is answered`() {
        _ = agree(nil)
        #expect(report(.active, [.active, .targetDown, .targetDown]) == [.pause(Self.claim, only: [1, 2])])
        #expect(report(.verified, [.verified, .targetDown, .targetDown]).isEmpty)
        let opened = report(.verified, [.verified, .targetDown, .active])
        #expect(opened.first == .listen(Self.claim, .number(1), .everybody, only: [2]))
        #expect(opened.count == 2 && opened.last?.message == .active(.number(1), attempt: 1, host: "relay.example.org"))
        #expect(report(.verified, [.targetDown, .targetDown, .verified]) == [.pause(Self.claim, only: [0])])
        #expect(say(.report(.number(1), state: .targetDown)) == [.pause(Self.claim)])
        #expect(report(.active, [.active]).first == .listen(Self.claim, .number(1), .everybody))
        #expect(bench.violations.isEmpty)
    }

    @Test func `an older peer says one thing of all, and more ports than there are change nothing`() {
        _ = agree(nil)
        #expect(say(.report(.number(1), state: .verified)).isEmpty)
        #expect(report(.verified, [.verified, .verified, .verified, .targetDown, .targetDown]).isEmpty)
        #expect(bench.core.standings.first?.stage == .active && bench.violations.isEmpty)
    }

    @Test func `many ports in a row are looked for between the leases`() {
        join()
        _ = say(.wants(1, .exactly(PortRange(first: 1_900, count: 1)!)))
        _ = say(.commit(.number(1), attempt: 1))
        // Only above the lease there is room for so many.
        let offered = say(.wants(2, .any(count: 1_024)))
        guard case .offer(let offer)? = offered.compactMap(\.message).last else {
            Issue.record("no offer: \(offered)")
            return
        }
        #expect(offer.ports.first > 1_900 && offer.ports.count == 1_024)
        #expect(
            say(.wants(3, .any(count: 1_025))).compactMap(\.message).contains {
                if case .refusal(_, .limitReached, let detail) = $0 { detail.contains("1024") } else { false }
            })
    }
}
