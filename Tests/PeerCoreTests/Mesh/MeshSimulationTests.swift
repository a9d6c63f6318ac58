import PeerCore
import PeerWire
import Testing

/// Gossip, dial-back, ranking and failover together. `P2PRC_LONG=1` runs more seeds; `P2PRC_SEED=7` runs
/// one, and tells.
@Suite struct MeshSimulationTests {
    static let isTold = Environment.seed != nil || Environment.isLong
    /// Seconds.
    static let round = 5

    static func replay(_ world: MeshWorld) -> String {
        "\(world.violation ?? "")\nreplay it with P2PRC_SEED=\(world.seed)"
    }

    /// Rounds until it holds; `nil` after so many.
    static func rounds(_ world: MeshWorld, atMost limit: Int, _ holds: () -> Bool) -> Int? {
        for round in 0...limit {
            if holds() { return round }
            if isTold { for line in world.stragglers { print(round, line) } }
            world.advance(seconds: Self.round)
        }
        return nil
    }

    @Test(arguments: Environment.seed.map { $0..<($0 + 1) } ?? 0..<(Environment.isLong ? 200 : 2))
    func `a hundred nodes find each other, agree, and no lie gets through`(seed: UInt64) throws {
        try Self.run(MeshWorld.Plan(nodes: 100, peers: 30, flood: 200), seed: seed)
    }

    @Test(.enabled(if: Environment.seed == nil)) func `a thousand nodes do`() throws {
        var plan = MeshWorld.Plan(nodes: 1_000, peers: 20, flood: 240)
        plan.limits.table.capacity = 2_400
        plan.limits.table.reserved = 600
        try Self.run(plan, seed: 1)
    }

    /// Tables of 600 rows: ten thousand full ones would take half a day without optimisation.
    @Test(.enabled(if: Environment.isLong)) func `ten thousand nodes do`() throws {
        var plan = MeshWorld.Plan(nodes: 10_000, publicShare: 2, liarShare: 1, peers: 20, publishers: 50, flood: 120)
        plan.limits.table.capacity = 2_800
        plan.limits.table.reserved = 600
        try Self.run(plan, seed: 1)
    }

    @Test(arguments: Environment.seed.map { $0..<($0 + 1) } ?? 0..<(Environment.isLong ? 100 : 2))
    func `a relay whose peers are all behind NAT is proven by them, whatever a fifth of them says`(seed: UInt64) {
        // Liars are the last of each hundred: eight of these forty.
        var plan = MeshWorld.Plan(nodes: 40, publicShare: 0, liarShare: 68, peers: 20, flood: 60)
        plan.isNamed = true
        let world = MeshWorld(seed: seed, plan: plan)
        world.startAll(within: 5)
        world.advance(seconds: 60)
        let relay = world.nodes[0]
        #expect(relay.reach.standing == .reachable([relay.address]), "\(Self.replay(world))")
        #expect(world.peers.count == 16)
        for peer in world.peers {
            #expect(peer.failover.published == [relay.key], "\(peer.number): \(Self.replay(world))")
        }
        // An hour later too: what was said at first is long forgotten.
        if Environment.isLong {
            world.advance(seconds: 3_600)
            #expect(relay.reach.standing == .reachable([relay.address]), "\(Self.replay(world))")
            #expect(relay.reach.statements.allSatisfy { world.wall.seconds - $0.time < RelayProof.lifetime })
            for peer in world.peers { #expect(peer.failover.published == [relay.key], "\(Self.replay(world))") }
        }
        world.check()
        #expect(world.violation == nil, "\(Self.replay(world))")
    }

    static func run(_ plan: MeshWorld.Plan, seed: UInt64) throws {
        let clock = ContinuousClock.now
        func note(_ text: String) { if isTold { print(ContinuousClock.now - clock, text) } }
        let world = MeshWorld(seed: seed, plan: plan)
        // Their one seed answers two hundred exchanges a second.
        let starting = max(5, plan.nodes / 100)
        world.startAll(within: starting)
        world.advance(seconds: starting + 15)
        note("started, \(world.steps) steps, \(world.exchanges) exchanges")
        let all = world.rows
        // All have one seed, which answers four hundred questions a second: so it takes longer for ten thousand.
        let found = rounds(world, atMost: plan.nodes > 1_000 ? 60 : 12) {
            world.missing(since: all) * 1_000 < all.count * world.honest.count
        }
        #expect(found != nil, "\(world.missing(since: all)) rows are missing; \(replay(world))")
        note("found after \(found ?? -1)")

        // One new record.
        let author = try #require(world.honest.dropFirst(world.honest.count / 2).first { $0.gossip.ownRecord != nil })
        author.mappingNumber = 4_711
        world.publish(author, force: false)
        let news = try #require(author.gossip.ownRecord)
        let spread = rounds(world, atMost: 12) { world.spread(of: news) >= 0.99 }
        #expect(spread != nil, "\(world.spread(of: news)) have the news; \(replay(world))")
        note("news after \(spread ?? -1)")

        // Cut in two; both halves have news; healed.
        for node in world.nodes { node.side = node.number % 2 }
        world.isCut = true
        for node in world.honest.prefix(60) {
            node.mappingNumber += 1
            world.publish(node, force: false)
        }
        world.advance(seconds: 15)
        let before = world.rows
        #expect(world.missing(since: before) > 0)
        world.isCut = false
        let healed = rounds(world, atMost: 12) { world.missing(since: before) == 0 }
        #expect(healed != nil, "\(world.missing(since: before)) rows are missing; \(replay(world))")
        note("healed after \(healed ?? -1)")

        // Relays that are the first of somebody die, a third of all; everybody settles on others.
        let relays = world.nodes.count { $0.isPublic }
        let used = Set(world.peers.compactMap { $0.failover.published.first?.tag })
        let victims = Set(used.sorted().prefix(relays / 3))
        #expect(!victims.isEmpty)
        for relay in world.nodes where relay.number > 0 && victims.contains(relay.key.tag) { world.crash(relay) }
        world.advance(seconds: 25)
        for peer in world.peers {
            #expect(!peer.failover.published.isEmpty, "\(peer.number) has no session; \(replay(world))")
            #expect(peer.failover.published.allSatisfy { world.isServing($0) }, "\(replay(world))")
        }
        // With a loss as high as this, now and then a session is taken for silent.
        let doubled = world.peers.count { $0.failover.healthy.count == 2 }
        #expect(doubled * 10 >= world.peers.count * 8, "\(doubled) of \(world.peers.count) have two sessions")
        // And come back with what was on their disks, under the same names.
        for relay in world.nodes where !relay.isUp { world.restart(relay) }
        world.advance(seconds: 10)
        let last = world.rows
        let settled = rounds(world, atMost: 12) { world.missing(since: last) == 0 }
        #expect(settled != nil, "\(world.missing(since: last)) rows are missing; \(replay(world))")

        world.check(everyNth: plan.nodes / 100)
        #expect(world.violation == nil, "\(replay(world))")
        let forged = world.honest.reduce(0) { $0 + ($1.gossip.counts.refused[.forged] ?? 0) }
        #expect(forged > 0)
        #expect(world.largestRound < 100 * 1_024, "a round of \(world.largestRound) bytes")
        note(
            "settled after \(settled ?? -1) rounds, largest round \(world.largestRound) bytes, "
                + "\(world.exchanges) exchanges, \(world.steps) steps, \(forged) forged")
    }
}
