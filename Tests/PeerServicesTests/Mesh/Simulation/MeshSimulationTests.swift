import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// Gossip, dial-back, ranking and failover together. `P2PRC_LONG=1` runs more seeds; `P2PRC_SEED=7` runs
/// one, and tells.
@Suite struct MeshSimulationTests {
    static let isTold = Environment.seed != nil || Environment.isLong
    /// Seconds.
    static let round = 5

    static func replay(_ world: MeshWorld) -> String {
        "\(world.violation ?? "")\nreplay it with SWIFT_DETERMINISTIC_HASHING=1 P2PRC_SEED=\(world.seed)"
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

    @Test(arguments: Environment.seed.map { $0..<($0 + 1) } ?? 0..<(Environment.isLong ? 100 : 1))
    func `sixty nodes find each other, agree, and no lie gets through`(seed: UInt64) throws {
        // Liars are the last of each hundred: six of these sixty.
        try Self.run(MeshWorld.Plan(nodes: 60, liarShare: 46, peers: 20, flood: 200), seed: seed)
    }

    @Test(.enabled(if: Environment.isLong && Environment.seed == nil)) func `three hundred nodes do`() throws {
        try Self.run(MeshWorld.Plan(nodes: 300, peers: 30, flood: 240), seed: 1)
    }

    @Test(.enabled(if: Environment.isLong && Environment.seed == nil)) func `a thousand nodes do`() throws {
        var plan = MeshWorld.Plan(nodes: 1_000, peers: 20, flood: 240)
        plan.limits.table.capacity = 2_400
        plan.limits.table.reserved = 600
        try Self.run(plan, seed: 1)
    }

    @Test(arguments: Environment.seed.map { $0..<($0 + 1) } ?? 0..<(Environment.isLong ? 100 : 1))
    func `a relay whose peers are all behind NAT is proven by them, whatever a fifth of them says`(seed: UInt64) {
        // Liars are the last of each hundred: eight of these forty.
        var plan = MeshWorld.Plan(nodes: 40, publicShare: 0, liarShare: 68, peers: 20, flood: 60)
        plan.isNamed = true
        let world = MeshWorld(seed: seed, plan: plan)
        world.startAll(within: 5)
        world.advance(seconds: 60)
        let relay = world.nodes[0]
        #expect(relay.standing == .reachable([relay.address]), "\(Self.replay(world))")
        #expect(world.peers.count == 16)
        for peer in world.peers {
            #expect(peer.published == [relay.key], "\(peer.number): \(Self.replay(world))")
        }
        // An hour later too: what was said at first is long forgotten.
        if Environment.isLong {
            world.advance(seconds: 3_600)
            #expect(relay.standing == .reachable([relay.address]), "\(Self.replay(world))")
            #expect(relay.statements.allSatisfy { world.wall.seconds - $0.time < RelayProof.lifetime })
            for peer in world.peers { #expect(peer.published == [relay.key], "\(Self.replay(world))") }
        }
        world.check()
        #expect(world.violation == nil, "\(Self.replay(world))")
    }

    /// A node says something else of itself; its record that says so, once it is on the disk.
    static func news(of node: MeshNode, _ world: MeshWorld) -> SignedRecord? {
        let former = node.gossip?.ownRecord?.issue ?? 0
        node.mappingNumber = 4_711
        for _ in 0..<20 {
            world.advance(seconds: 1)
            if let record = node.gossip?.ownRecord, record.issue > former { return record }
        }
        return nil
    }

    static func run(_ plan: MeshWorld.Plan, seed: UInt64) throws {
        let clock = ContinuousClock.now
        func note(_ text: String) { if isTold { print(ContinuousClock.now - clock, text) } }
        let world = MeshWorld(seed: seed, plan: plan)
        // Their one seed answers two hundred exchanges a second.
        let starting = max(5, plan.nodes / 100)
        world.startAll(within: starting)
        world.advance(seconds: starting + 15)
        note("started, \(world.steps) steps, \(world.traffic.exchanges) exchanges")
        let all = world.rows
        // All have one seed, which answers four hundred questions a second: so it takes longer for ten thousand.
        let found = rounds(world, atMost: plan.nodes > 1_000 ? 60 : 12) {
            world.missing(since: all) * 1_000 < all.count * world.honest.count
        }
        #expect(found != nil, "\(world.missing(since: all)) rows are missing; \(replay(world))")
        note("found after \(found ?? -1)")

        // One new record.
        let author = try #require(world.honest.dropFirst(world.honest.count / 2).first { $0.gossip?.ownRecord != nil })
        let news = try #require(Self.news(of: author, world))
        let spread = rounds(world, atMost: 12) { world.spread(of: news) >= 0.99 }
        #expect(spread != nil, "\(world.spread(of: news)) have the news; \(replay(world))")
        note("news after \(spread ?? -1)")

        // Cut in two; both halves have news; healed.
        for node in world.nodes { node.side = node.number % 2 }
        world.isCut = true
        for node in world.honest.prefix(60) { node.mappingNumber += 1 }
        world.advance(seconds: 15)
        let before = world.rows
        #expect(world.missing(since: before) > 0)
        world.isCut = false
        let healed = rounds(world, atMost: 12) { world.missing(since: before) == 0 }
        #expect(healed != nil, "\(world.missing(since: before)) rows are missing; \(replay(world))")
        note("healed after \(healed ?? -1)")

        // Relays that are the first of somebody die, a third of all; everybody settles on others.
        let relays = world.nodes.count { $0.isPublic }
        let used = Set(world.peers.compactMap { $0.published.first?.tag })
        let victims = Set(used.sorted().prefix(relays / 3))
        #expect(!victims.isEmpty)
        for relay in world.nodes where relay.number > 0 && victims.contains(relay.key.tag) { relay.crash() }
        world.advance(seconds: 25)
        for peer in world.peers {
            #expect(!peer.published.isEmpty, "\(peer.number) has no session; \(replay(world))")
            #expect(peer.published.allSatisfy { world.isServing($0) }, "\(replay(world))")
        }
        // With a loss as high as this, now and then a session is taken for silent.
        let doubled = world.peers.count { $0.published.count == 2 }
        #expect(doubled * 10 >= world.peers.count * 8, "\(doubled) of \(world.peers.count) have two sessions")
        // And come back with what was on their disks, under the same names.
        for relay in world.nodes where !relay.isUp { relay.start() }
        world.advance(seconds: 10)
        let last = world.rows
        let settled = rounds(world, atMost: 12) { world.missing(since: last) == 0 }
        #expect(settled != nil, "\(world.missing(since: last)) rows are missing; \(replay(world))")

        world.check(everyNth: plan.nodes / 100)
        #expect(world.violation == nil, "\(replay(world))")
        let forged = world.honest.reduce(0) { $0 + ($1.gossip?.counts.refused[.forged] ?? 0) }
        #expect(forged > 0)
        #expect(world.traffic.largestRound < 100 * 1_024, "a round of \(world.traffic.largestRound) bytes")
        note(
            "settled after \(settled ?? -1) rounds, largest round \(world.traffic.largestRound) bytes, "
                + "\(world.traffic.exchanges) exchanges, \(world.steps) steps, \(forged) forged")
    }
}
