import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct FailoverTests {
    static let keys = (1...6).map { NodeKey.number($0) }

    static func ranked(_ costs: [UInt64]) -> [(key: NodeKey, cost: Instant.Span)] {
        zip(keys, costs).map { ($0, .milliseconds($1)) }.sorted { $0.1 < $1.1 }
    }

    /// Sessions to relays 1 and 2, long established; more are there.
    static func settled(_ costs: [UInt64] = [10, 20, 30, 40]) -> Failover {
        var failover = Failover()
        _ = failover.ranked(ranked(costs), at: .zero)
        _ = failover.established(keys[0], at: .at(100))
        _ = failover.established(keys[1], at: .at(100))
        for key in keys[0...1] { _ = failover.heard(key, at: .at(100_000)) }
        _ = failover.ranked(ranked(costs), at: .at(100_000))
        return failover
    }

    @Test func `sessions go to the two best, and the best is published first`() {
        var failover = Failover()
        #expect(
            failover.ranked(Self.ranked([20, 10, 30]), at: .zero) == [.connect(Self.keys[1]), .connect(Self.keys[0])])
        #expect(failover.established(Self.keys[0], at: .at(50)) == [.publish([Self.keys[0]])])
        // Not clearly better: 10 ms less, and half.
        #expect(failover.established(Self.keys[1], at: .at(90)) == [.publish([Self.keys[1], Self.keys[0]])])
        #expect(failover.ranked(Self.ranked([14, 10, 30]), at: .at(100)).isEmpty)
    }

    @Test func `a silent relay is unpublished and replaced after a second, and comes back if it speaks`() {
        var failover = Self.settled()
        _ = failover.heard(Self.keys[1], at: .at(101_100))
        #expect(failover.nextDeadline(after: .at(101_100)) == .at(101_200))
        #expect(failover.timePassed(at: .at(101_199)).isEmpty)
        #expect(
            failover.timePassed(at: .at(101_200)) == [.connect(Self.keys[2]), .publish([Self.keys[1]])])
        #expect(failover.heard(Self.keys[0], at: .at(101_300)) == [.publish([Self.keys[0], Self.keys[1]])])
    }

    @Test func `a relay that stays silent is let go`() {
        var failover = Self.settled()
        var actions: [Failover.Action] = []
        for at in stride(from: UInt64(100_000), through: 111_000, by: 500) {
            actions += failover.heard(Self.keys[1], at: .at(at))
            actions += failover.timePassed(at: .at(at))
            if actions.contains(.connect(Self.keys[2])), !failover.order.contains(Self.keys[2]) {
                actions += failover.established(Self.keys[2], at: .at(at))
            }
            actions += failover.heard(Self.keys[2], at: .at(at))
        }
        #expect(actions.contains(.leave(Self.keys[0], .silent)))
        #expect(failover.published == [Self.keys[1], Self.keys[2]])
    }

    @Test func `when all are silent the last ones stay published`() {
        var failover = Self.settled([10, 20])
        let actions = failover.timePassed(at: .at(102_000))
        #expect(actions.isEmpty)
        #expect(failover.published == [Self.keys[0], Self.keys[1]])
    }

    @Test func `a lost relay is replaced by the next best at once, and not dialled again at once`() {
        var failover = Self.settled()
        #expect(
            failover.lost(Self.keys[0], at: .at(100_100)) == [.connect(Self.keys[2]), .publish([Self.keys[1]])])
        #expect(failover.refused(Self.keys[2], at: .at(100_200)) == [.connect(Self.keys[3])])
        #expect(failover.lost(Self.keys[3], at: .at(100_300)).isEmpty)
        // Two seconds later all may be tried again.
        #expect(failover.timePassed(at: .at(102_299)).contains(.connect(Self.keys[0])))
    }

    @Test func `a relay that fails again and again is left alone ever longer`() {
        var failover = Failover()
        var attempts: [UInt64] = []
        for at in stride(from: UInt64(0), to: 3_600_000, by: 500) {
            for action in failover.ranked(Self.ranked([10]), at: .at(at)) where action == .connect(Self.keys[0]) {
                attempts.append(at)
                _ = failover.refused(Self.keys[0], at: .at(at))
            }
        }
        #expect((10...25).contains(attempts.count), "\(attempts)")
    }

    @Test func `a session that does not stand in time is given up`() {
        var failover = Failover()
        _ = failover.ranked(Self.ranked([10, 20, 30]), at: .zero)
        _ = failover.established(Self.keys[0], at: .at(100))
        _ = failover.heard(Self.keys[0], at: .at(5_000))
        let actions = failover.timePassed(at: .at(5_000))
        #expect(actions == [.leave(Self.keys[1], .tooSlow), .connect(Self.keys[2])])
    }

    @Test func `a draining relay is left only after another stands, and unpublished at once`() {
        var failover = Self.settled()
        #expect(
            failover.draining(Self.keys[0], at: .at(100_100)) == [.connect(Self.keys[2]), .publish([Self.keys[1]])])
        #expect(failover.established(Self.keys[2], at: .at(100_200)) == [.publish([Self.keys[1], Self.keys[2]])])
        for key in Self.keys[0...2] { _ = failover.heard(key, at: .at(101_300)) }
        #expect(failover.timePassed(at: .at(101_400)).isEmpty)
        for key in Self.keys[0...2] { _ = failover.heard(key, at: .at(102_100)) }
        #expect(failover.timePassed(at: .at(102_200)) == [.leave(Self.keys[0], .drained)])
    }

    @Test func `a draining relay without a successor is left in the end`() {
        var failover = Failover()
        _ = failover.ranked(Self.ranked([10]), at: .zero)
        _ = failover.established(Self.keys[0], at: .at(100))
        _ = failover.draining(Self.keys[0], at: .at(1_000))
        #expect(failover.published == [Self.keys[0]])
        for second in UInt64(1)...60 {
            _ = failover.heard(Self.keys[0], at: .at(second * 1_000))
            #expect(!failover.timePassed(at: .at(second * 1_000)).contains(.leave(Self.keys[0], .drained)))
        }
        _ = failover.heard(Self.keys[0], at: .at(61_000))
        #expect(
            failover.timePassed(at: .at(61_000)) == [.leave(Self.keys[0], .drained), .publish([])])
    }

    @Test func `a clearly better relay comes before the worse one is left`() {
        var failover = Self.settled([10, 60, 70])
        let better = Self.ranked([10, 60, 15])
        #expect(failover.ranked(better, at: .at(100_500)) == [.connect(Self.keys[2])])
        #expect(
            failover.established(Self.keys[2], at: .at(100_600)) == [
                .publish([Self.keys[0], Self.keys[2], Self.keys[1]])
            ])
        for key in Self.keys[0...2] { _ = failover.heard(key, at: .at(101_500)) }
        #expect(failover.timePassed(at: .at(101_600)).isEmpty)
        for key in Self.keys[0...2] { _ = failover.heard(key, at: .at(102_500)) }
        #expect(failover.timePassed(at: .at(102_600)) == [.publish([Self.keys[0], Self.keys[2]])])
        // And it is not come back to while that is so. It serves those who have the older list, and is left then.
        var actions: [Failover.Action] = []
        for at in stride(from: UInt64(103_000), through: 163_000, by: 500) {
            for key in Self.keys[0...2] { actions += failover.heard(key, at: .at(at)) }
            actions += failover.ranked(better, at: .at(at))
            if at <= 162_000 { #expect(actions.isEmpty) }
        }
        #expect(actions == [.leave(Self.keys[1], .replaced)])
    }

    /// Sessions to relays 1 and 3, and to 2, which is not needed any more.
    static func withSpare() -> Failover {
        var failover = settled([10, 60, 70])
        _ = failover.ranked(ranked([10, 60, 15]), at: .at(100_000))
        _ = failover.established(keys[2], at: .at(100_000))
        for key in keys[0...2] { _ = failover.heard(key, at: .at(103_000)) }
        _ = failover.timePassed(at: .at(103_000))
        return failover
    }

    @Test func `what is not needed any more takes over at once when another one fails`() {
        var failover = Self.withSpare()
        #expect(failover.published == [Self.keys[0], Self.keys[2]])
        #expect(failover.lost(Self.keys[0], at: .at(103_100)) == [.publish([Self.keys[2], Self.keys[1]])])
    }

    @Test func `what is not needed and falls silent is left at once`() {
        var failover = Self.withSpare()
        for key in [Self.keys[0], Self.keys[2]] { _ = failover.heard(key, at: .at(104_200)) }
        #expect(failover.timePassed(at: .at(104_200)) == [.leave(Self.keys[1], .replaced)])
    }

    @Test func `figures that waver move nothing`() {
        var failover = Self.settled([10, 20, 22, 25])
        var random = SeededGenerator(seed: 1)
        var moves = 0
        for at in stride(from: UInt64(100_000), to: 700_000, by: 1_000) {
            for key in Self.keys[0...1] { _ = failover.heard(key, at: .at(at)) }
            let costs = [10, 20, 22, 25].map { $0 + random.next() % 6 }
            moves += failover.ranked(Self.ranked(costs), at: .at(at)).count
            moves += failover.timePassed(at: .at(at)).count
        }
        #expect(moves == 0)
    }

    static let outcomes: [RelayOutcome] = [
        .init(), .init([.works]), .init([.pending]), .init([.works, .pending]), .init([.fails(.unreachable)]),
        .init([.works, .fails(.refused)]),
    ]

    @Test func `whatever happens, sessions and memory stay within their bounds`() {
        for seed in UInt64(0)..<200 {
            var random = SeededGenerator(seed: seed)
            func any(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
            var failover = Failover()
            var live: Set<NodeKey> = []
            var open: Set<NodeKey> = []
            var published: [NodeKey] = []
            var now = Instant.zero
            for _ in 0..<400 {
                now = now + .milliseconds(UInt64(any(1_500)))
                let key = Self.keys[any(Self.keys.count)]
                let actions: [Failover.Action] =
                    switch any(10) {
                    case 8, 9: failover.served([key: Self.outcomes[any(Self.outcomes.count)]], at: now)
                    case 0: failover.ranked(Self.ranked((0..<6).map { _ in UInt64(any(100)) }), at: now)
                    case 1, 2:
                        open.contains(key) ? failover.established(key, at: now) : []
                    case 3: failover.lost(key, at: now)
                    case 4: failover.refused(key, at: now)
                    case 5: failover.draining(key, at: now)
                    case 6: failover.heard(key, at: now)
                    default: failover.timePassed(at: now)
                    }
                for action in actions {
                    switch action {
                    case .connect(let key):
                        #expect(!failover.published.contains(key))
                        open.insert(key)
                    case .leave(let key, _): open.remove(key)
                    case .doubt(let key, _): #expect(live.contains(key))
                    case .publish(let list): published = list
                    }
                }
                open.formIntersection(failover.held)
                live = Set(failover.order)
                #expect(failover.held.count <= 2 * failover.limits.sessions + 1, "seed \(seed)")
                #expect(Set(published) == Set(failover.published) && live.isSuperset(of: published), "seed \(seed)")
                #expect(live.isEmpty == published.isEmpty, "seed \(seed)")
                #expect(Set(published).count == published.count, "seed \(seed)")
            }
        }
    }

    // MARK: Relays that the user named

    @Test func `a named relay counts, and is never left for a better one`() {
        var failover = Failover()
        #expect(failover.joined(Self.keys[3], at: .zero) == [.publish([Self.keys[3]])])
        #expect(failover.ranked(Self.ranked([10, 20, 30, 400]), at: .at(10)) == [.connect(Self.keys[0])])
        #expect(failover.established(Self.keys[0], at: .at(50)) == [.publish([Self.keys[0], Self.keys[3]])])
        var actions: [Failover.Action] = []
        for at in stride(from: UInt64(100), to: 60_000, by: 500) {
            for key in [Self.keys[0], Self.keys[3]] { actions += failover.heard(key, at: .at(at)) }
            actions += failover.ranked(Self.ranked([10, 20, 30, 400]), at: .at(at))
            actions += failover.timePassed(at: .at(at))
        }
        #expect(actions.isEmpty)
    }

    @Test func `a named relay that is silent is replaced, and takes its place back`() {
        var failover = Failover()
        _ = failover.joined(Self.keys[0], at: .zero)
        _ = failover.joined(Self.keys[1], at: .zero)
        _ = failover.ranked(Self.ranked([10, 20, 30]), at: .zero)
        _ = failover.heard(Self.keys[1], at: .at(1_100))
        #expect(failover.timePassed(at: .at(1_200)) == [.connect(Self.keys[2]), .publish([Self.keys[1]])])
        #expect(failover.isSilent(Self.keys[0]) && !failover.isSilent(Self.keys[1]))
        // It is not this that gives it up, however long it is silent.
        #expect(failover.lost(Self.keys[0], at: .at(3_000)).isEmpty)
        _ = failover.established(Self.keys[2], at: .at(3_100))
        var actions = failover.joined(Self.keys[0], at: .at(4_000))
        for at in stride(from: UInt64(4_000), to: 67_000, by: 500) {
            for key in Self.keys[0...2] { actions += failover.heard(key, at: .at(at)) }
            actions += failover.timePassed(at: .at(at))
        }
        #expect(actions.contains(.leave(Self.keys[2], .replaced)))
        #expect(failover.published == [Self.keys[0], Self.keys[1]])
    }

    @Test func `a relay that drains is left at once when nobody else is to be had, and taken back when it stays`() {
        var failover = Failover()
        _ = failover.joined(Self.keys[0], at: .zero)
        _ = failover.joined(Self.keys[1], at: .zero)
        for key in Self.keys[0...1] { _ = failover.heard(key, at: .at(5_000)) }
        #expect(
            failover.draining(Self.keys[0], at: .at(5_000))
                == [.leave(Self.keys[0], .drained), .publish([Self.keys[1]])])
        #expect(failover.joined(Self.keys[0], at: .at(6_000)) == [.publish([Self.keys[1], Self.keys[0]])])
        // The only one: it keeps its place for a minute.
        _ = failover.lost(Self.keys[1], at: .at(6_100))
        #expect(failover.draining(Self.keys[0], at: .at(6_200)).isEmpty)
        #expect(failover.published == [Self.keys[0]])
        #expect(failover.staying(Self.keys[0], at: .at(6_300)).isEmpty)
        _ = failover.heard(Self.keys[0], at: .at(70_000))
        #expect(failover.timePassed(at: .at(70_000)).isEmpty)
    }

    @Test func `time passes quietly beside a named relay that stays silent`() {
        var failover = Failover()
        _ = failover.joined(Self.keys[0], at: .zero)
        _ = failover.timePassed(at: .at(1_200))
        #expect(failover.nextDeadline(after: .at(20_000)) == .at(21_000))
    }
}
