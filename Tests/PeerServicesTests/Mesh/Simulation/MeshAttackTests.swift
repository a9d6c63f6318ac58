import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A mesh of honest nodes among attackers with budgets. `P2PRC_SEED=7` runs one seed, and tells; `P2PRC_LONG=1` has a
/// thousand nodes too.
@Suite struct MeshAttackTests {
    @Test(arguments: Environment.seed.map { $0..<($0 + 1) } ?? 1..<(Environment.isLong ? 20 : 2))
    func `forty nodes hold`(seed: UInt64) throws {
        var plan = MeshWorld.Plan(nodes: 40, publicShare: 16, liarShare: 0, peers: 10, flood: 0)
        plan.isSpread = true
        plan.hollow = 1
        plan.limits.table.capacity = 480
        plan.limits.table.reserved = 120
        try Self.run(plan, rows: 600, seconds: Environment.isLong ? 45 : 15, seed: seed)
    }

    @Test(.enabled(if: Environment.isLong)) func `a thousand nodes hold`() throws {
        var plan = MeshWorld.Plan(nodes: 1_000, liarShare: 0, peers: 20, flood: 0)
        plan.isSpread = true
        plan.hollow = 20
        plan.limits.table.capacity = 2_800
        plan.limits.table.reserved = 700
        try Self.run(plan, rows: 10_000, seconds: 45, seed: 1)
    }

    /// - Parameter seconds: of the attack before the news, and after them.
    static func run(_ plan: MeshWorld.Plan, rows: Int, seconds: Int, seed: UInt64) throws {
        let clock = ContinuousClock.now
        func note(_ text: String) { if MeshSimulationTests.isTold { print(ContinuousClock.now - clock, text) } }
        let world = MeshWorld(seed: seed, plan: plan)
        let replay = MeshSimulationTests.replay
        let starting = max(5, plan.nodes / 100)
        world.startAll(within: starting)
        world.advance(seconds: starting + 15)
        let all = world.rows
        let found = MeshSimulationTests.rounds(world, atMost: plan.nodes > 1_000 ? 60 : 12) {
            world.missing(since: all) == 0
        }
        #expect(found != nil, "\(world.missing(since: all)) rows are missing; \(replay(world))")
        note("found after \(found ?? -1)")

        // From the time on when all have been there for half a minute they have company.
        world.advance(seconds: 40)
        let attack = MeshAttack(
            world, [MeshAttack.manyKeys, MeshAttack.manyNetworks, MeshAttack.patient], rows: rows, seed: seed)
        world.eachSecond { attack.second($0) }
        world.advance(seconds: seconds)
        let author = try #require(world.honest.dropFirst(world.honest.count / 2).first { $0.gossip?.ownRecord != nil })
        let news = try #require(MeshSimulationTests.news(of: author, world))
        let spread = MeshSimulationTests.rounds(world, atMost: 12) { world.spread(of: news) >= 0.99 }
        #expect(spread != nil, "\(world.spread(of: news)) have the news; \(replay(world))")
        note("news after \(spread ?? -1)")
        world.advance(seconds: seconds)
        attack.isOn = false

        for line in world.losers(since: all) { note(line) }
        // Nobody is gone, and nobody went to those that carry nothing.
        #expect(world.missing(since: all) == 0, "\(world.missing(since: all)) rows are gone; \(replay(world))")
        for peer in world.peers {
            let healthy = peer.published.filter { world.isServing($0) }
            #expect(!healthy.isEmpty, "\(peer.number) is published nowhere; \(replay(world))")
            #expect(peer.published.allSatisfy { world.isServing($0) }, "\(peer.number); \(replay(world))")
        }
        // The stranger: so many times by each node, and less than a packet a second by all thousand.
        let most = world.traffic.dials.values.map(\.count).max() ?? 0
        #expect(most <= 5, "\(most) dials by one node to one host; \(replay(world))")
        let minutes = Dictionary(grouping: world.strangersDials(MeshAttack.stranger.host)) { $0 / 60 }
        let busiest = minutes.values.map(\.count).max() ?? 0
        #expect(busiest < 60 * max(1, plan.nodes / 1_000), "\(busiest) dials in a minute; \(replay(world))")
        world.check(everyNth: max(1, plan.nodes / 100))
        #expect(world.violation == nil, "\(replay(world))")
        note(
            "\(attack.called) calls, \(attack.isBusy) of them turned away; \(most) dials of one node to one host, "
                + "\(busiest) in the busiest minute of \(minutes.values.map(\.count).reduce(0, +)) to the stranger")
    }
}
