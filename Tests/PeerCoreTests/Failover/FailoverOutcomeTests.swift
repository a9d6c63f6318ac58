import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// What visitors get at a relay decides, not what its session says.
@Suite struct FailoverOutcomeTests {
    typealias Action = Failover.Action

    /// Nodes and time, played through: who is connected to answers at once, and serves as it is said to.
    struct Play {
        var failover: Failover
        /// What mappings become at each relay, so long after its session stands.
        var outcomes: [NodeKey: @Sendable (_ stoodFor: Instant.Span) -> [MappingOutcome]] = [:]
        /// Their data channels do not stand.
        var broken: Set<NodeKey> = []
        /// Relays of last time.
        var former: Set<NodeKey> = []
        var ranked: [(key: NodeKey, cost: Instant.Span)]
        var now = Instant.zero
        var since: [NodeKey: Instant] = [:]
        var doubted: [NodeKey] = []
        var published: [(at: Instant, keys: [NodeKey])] = []
        var connected: [(at: Instant, key: NodeKey)] = []
        var left: [(at: Instant, key: NodeKey, reason: Failover.Reason)] = []

        init(_ relays: Int, named: NodeKey? = nil) {
            failover = Failover()
            ranked = (1...relays).map { (NodeKey.number(UInt8($0)), .milliseconds(UInt64($0) * 4)) }
            if let named {
                since[named] = now
                take(failover.joined(named, at: now))
            }
        }

        mutating func take(_ actions: [Action]) {
            for action in actions {
                switch action {
                case .connect(let key):
                    connected.append((now, key))
                    since[key] = now
                    take(failover.established(key, at: now))
                case .leave(let key, let reason):
                    left.append((now, key, reason))
                    since[key] = nil
                case .doubt(let key, _): doubted.append(key)
                case .publish(let keys): published.append((now, keys))
                }
            }
        }

        mutating func run(seconds: UInt64, step: UInt64 = 100) {
            for _ in 0..<(seconds * 1_000 / step) {
                now = now + .milliseconds(step)
                for key in since.keys { take(failover.heard(key, at: now)) }
                var told: [NodeKey: RelayOutcome] = [:]
                for (key, start) in since {
                    let carriesNothing = broken.contains(key)
                    told[key] = RelayOutcome(outcomes[key]?(now - start) ?? [], carriesNothing: carriesNothing)
                }
                take(failover.ranked(ranked, former: former, at: now))
                take(failover.served(told, at: now))
                take(failover.timePassed(at: now))
            }
        }
    }

    static func key(_ number: UInt8) -> NodeKey { .number(number) }
    /// Reached half a second after the session.
    @Sendable static func good(_ span: Instant.Span) -> [MappingOutcome] {
        span < .milliseconds(500) ? [.pending] : [.works]
    }
    /// Its firewall drops: that is certain after thirteen seconds.
    @Sendable static func closed(_ span: Instant.Span) -> [MappingOutcome] {
        span < .seconds(13) ? [.pending] : [.fails(.unreachable)]
    }

    @Test func `beside two whose ports are closed a third serves within four seconds, and they are left`() {
        var play = Play(4)
        for number in UInt8(1)...2 { play.outcomes[Self.key(number)] = Self.closed }
        for number in UInt8(3)...4 { play.outcomes[Self.key(number)] = Self.good }
        play.run(seconds: 60)
        #expect(play.failover.published == [Self.key(3), Self.key(4)])
        // They were named while nothing was known of anybody, and not once another one served.
        let proven = play.published.first { $0.keys == [Self.key(3)] || $0.keys == [Self.key(3), Self.key(4)] }
        #expect(proven.map { $0.at <= .zero + .seconds(4) } == true, "\(play.published)")
        #expect(play.published.drop { $0.keys.first != Self.key(3) }.allSatisfy { !$0.keys.contains(Self.key(1)) })
        #expect(Set(play.left.map(\.key)) == [Self.key(1), Self.key(2)])
        #expect(play.left.allSatisfy { $0.reason == .useless })
        // The first is so much nearer that it is looked at once more after its pause.
        #expect(play.doubted == [Self.key(1), Self.key(2), Self.key(1)])
        #expect(
            play.failover.use(of: Self.key(1), at: play.now).map { if case .shunned = $0 { true } else { false } }
                == true)
    }

    @Test func `one that was left is looked at again with growing pauses, and kept when it serves`() {
        var play = Play(3)
        play.outcomes[Self.key(1)] = Self.closed
        for number in UInt8(2)...3 { play.outcomes[Self.key(number)] = Self.good }
        play.run(seconds: 600, step: 500)
        // It is the nearest, but not clearly better than who serves: nobody moves for it.
        #expect(play.connected.count { $0.key == Self.key(1) } == 1)

        play = Play(3)
        for number in UInt8(1)...3 { play.outcomes[Self.key(number)] = Self.closed }
        play.run(seconds: 600, step: 500)
        #expect(play.connected.count < 60, "\(play.connected.count)")
        play.outcomes[Self.key(2)] = Self.good
        play.run(seconds: 400, step: 500)
        #expect(play.failover.published == [Self.key(2)])
    }

    @Test func `a relay of last time that serves nobody any more is waited for no longer, and nobody moves for it`() {
        var play = Play(8)
        play.former = [Self.key(1), Self.key(2)]
        play.outcomes[Self.key(1)] = Self.closed
        for number in UInt8(2)...8 { play.outcomes[Self.key(number)] = Self.good }
        let all = play.ranked
        play.ranked.removeFirst()
        play.run(seconds: 5)
        play.ranked = all
        play.run(seconds: 175)
        #expect(play.connected.map(\.key) == [Self.key(2), Self.key(3), Self.key(1)], "\(play.connected)")
        #expect(Set(play.failover.published) == [Self.key(2), Self.key(3)])
    }

    @Test func `where nobody serves all are tried in turn, ever less often, and none is named as proven`() {
        var play = Play(20)
        for number in UInt8(1)...20 { play.outcomes[Self.key(number)] = { _ in [.fails(.unreachable)] } }
        play.run(seconds: 3_600, step: 1_000)
        #expect(play.connected.count >= 8 && play.connected.count <= 60, "\(play.connected.count)")
        #expect(play.failover.held.count <= 5)
    }

    @Test func `the only good one among twenty is found, wherever it stands`() {
        for place in UInt8(1)...12 {
            var play = Play(12)
            for number in UInt8(1)...12 { play.outcomes[Self.key(number)] = { _ in [.fails(.unreachable)] } }
            play.outcomes[Self.key(place)] = Self.good
            play.run(seconds: 600, step: 500)
            #expect(play.failover.published == [Self.key(place)], "\(place)")
        }
    }

    @Test func `one that the user named and that does not serve has a further one beside it, and is not left`() {
        var play = Play(3, named: Self.key(1))
        play.outcomes[Self.key(1)] = Self.closed
        for number in UInt8(2)...3 { play.outcomes[Self.key(number)] = Self.good }
        play.run(seconds: 60)
        #expect(play.failover.published == [Self.key(2), Self.key(3)])
        #expect(play.failover.held.contains(Self.key(1)) && play.left.isEmpty)
    }

    @Test func `where one mapping is refused and another works, a further relay comes and the first serves until then`()
    {
        var play = Play(3)
        play.outcomes[Self.key(1)] = { _ in [.works, .fails(.refused)] }
        for number in UInt8(2)...3 { play.outcomes[Self.key(number)] = { _ in [.works, .works] } }
        play.run(seconds: 5)
        #expect(play.failover.published.prefix(2) == [Self.key(2), Self.key(3)])
        play.run(seconds: 120)
        #expect(play.failover.held == [Self.key(2), Self.key(3)])

        // With nobody else it stays, and is named after the one that serves all.
        play = Play(2)
        play.outcomes[Self.key(1)] = { _ in [.works, .fails(.refused)] }
        play.outcomes[Self.key(2)] = { _ in [.works, .works] }
        play.run(seconds: 120)
        #expect(play.failover.published == [Self.key(2), Self.key(1)])
    }

    @Test func `one that closes later is replaced, and comes back when it opens`() {
        var play = Play(2)
        for number in UInt8(1)...2 { play.outcomes[Self.key(number)] = Self.good }
        play.run(seconds: 100)
        #expect(play.failover.published == [Self.key(1), Self.key(2)])
        play.outcomes[Self.key(1)] = { _ in [.pending] }
        play.run(seconds: 4)
        #expect(play.failover.published == [Self.key(2)])
        play.outcomes[Self.key(1)] = Self.good
        play.run(seconds: 1)
        #expect(Set(play.failover.published) == [Self.key(1), Self.key(2)])
        #expect(play.left.isEmpty)
    }

    @Test func `where services are down, or nothing is exposed, nobody is left for it`() {
        for outcomes in [[], [MappingOutcome.idle]] {
            var play = Play(3)
            for number in UInt8(1)...3 { play.outcomes[Self.key(number)] = { _ in outcomes } }
            play.run(seconds: 300, step: 500)
            #expect(play.connected.count == 2 && play.left.isEmpty)
            #expect(play.failover.published == [Self.key(1), Self.key(2)])
        }
    }

    @Test func `a mapping that comes later unpublishes nobody while it is agreed`() {
        var play = Play(2)
        for number in UInt8(1)...2 { play.outcomes[Self.key(number)] = Self.good }
        play.run(seconds: 100)
        let before = play.published.count
        for number in UInt8(1)...2 { play.outcomes[Self.key(number)] = { _ in [.works, .pending] } }
        play.run(seconds: 2)
        for number in UInt8(1)...2 { play.outcomes[Self.key(number)] = { _ in [.works, .works] } }
        play.run(seconds: 10)
        #expect(play.published.count == before && play.connected.count == 2)
    }
}
