import PeerCore
import SimulationSupport
import Testing

/// `P2PRC_SEED=4711 swift test --filter SimulationTests` replays one run and prints what happened;
/// `P2PRC_LONG=1` runs fifty times as many.
@Suite struct SimulationTests {
    static let runs: UInt64 = Environment.isLong ? 50_000 : 1_000

    @Test(.enabled(if: Environment.seed == nil), arguments: UInt64(0)..<2)
    func `whatever crashes, breaks and comes back, ports stay with their keys and all come to rest`(half: UInt64) {
        for seed in half * Self.runs..<(half + 1) * Self.runs {
            let simulation = Simulation(seed: seed)
            simulation.run()
            if let violation = simulation.violation {
                Issue.record("\(violation)\nreplay it with P2PRC_SEED=\(seed)")
                return
            }
        }
    }

    @Test(.enabled(if: Environment.seed != nil)) func `one run, replayed`() {
        let simulation = Simulation(seed: Environment.seed!)
        simulation.run()
        for line in simulation.log { print(line) }
        if let violation = simulation.violation { Issue.record("\(violation)") }
    }

    @Test func `the same seed runs the same way`() {
        let runs = (0..<2).map { _ in
            let simulation = Simulation(seed: 12)
            simulation.run()
            return simulation.steps
        }
        #expect(runs[0] == runs[1])
    }
}
