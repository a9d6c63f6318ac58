import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A start: which relays are chosen, and after how long.
@Suite struct FirstChoiceTests {
    typealias Outlook = FirstChoice.Outlook

    static func key(_ number: UInt8) -> NodeKey { .number(number) }

    /// What a node learns of a relay after its start, in milliseconds.
    struct Arrival {
        var key: UInt8
        var cost: UInt64
        /// It answers from then on, and before that as it is said here.
        var at: UInt64
        var before: Outlook? = .away
    }

    /// What it comes to.
    final class Found {
        var published: [NodeKey] = []
    }

    /// When each session was asked for.
    private func play(
        _ arrivals: [Arrival], former: Set<UInt8>, _ end: Found = Found(), sessions: Int = 2, seconds: UInt64 = 30
    ) -> [(key: NodeKey, at: UInt64)] {
        var limits = Failover.Limits()
        limits.sessions = sessions
        var failover = Failover(limits)
        var choice = FirstChoice(sessions: sessions, at: .zero)
        var connected: [(key: NodeKey, at: UInt64)] = []
        func take(_ actions: [Failover.Action], _ at: UInt64) {
            for case .connect(let key) in actions {
                connected.append((key, at))
                take(failover.established(key, at: .at(at)), at)
            }
        }
        for at in stride(from: UInt64(0), to: seconds * 1_000, by: 100) {
            let isLoyal = !choice.isOver(at: .at(at))
            let there = arrivals.filter { $0.at <= at }
            let found = there.map { (key: Self.key($0.key), cost: Instant.Span.milliseconds($0.cost)) }
                .sorted { $0.cost < $1.cost }
            let outlooks = arrivals.filter { $0.at > at && former.contains($0.key) }.compactMap(\.before)
            let offer = choice.offer(
                found, former: isLoyal ? Set(former.map(Self.key)) : [], outlooks: outlooks, waitsForNamed: false,
                at: .at(at))
            for key in failover.held { _ = failover.heard(key, at: .at(at)) }
            take(failover.ranked(offer.ranked, kept: offer.kept, former: offer.former, at: .at(at)), at)
            take(failover.timePassed(at: .at(at)), at)
            end.published = failover.published
        }
        return connected
    }

    @Test func `with no leases the nearest are chosen two seconds and a half after the first one was found`() {
        let chosen = play(
            [.init(key: 1, cost: 12, at: 500), .init(key: 2, cost: 10, at: 600), .init(key: 3, cost: 4, at: 2_000)],
            former: [])
        #expect(chosen.map(\.key) == [Self.key(3), Self.key(2)] && chosen.allSatisfy { $0.at == 3_000 })
    }

    @Test func `relays of last time are chosen, unless another is better by 10 ms and a third`() {
        var chosen = play(
            [.init(key: 1, cost: 14, at: 500), .init(key: 2, cost: 12, at: 500), .init(key: 3, cost: 10, at: 500)],
            former: [1, 2])
        #expect(chosen.map(\.key) == [Self.key(2), Self.key(1)] && chosen.allSatisfy { $0.at == 3_000 })
        chosen = play(
            [.init(key: 1, cost: 60, at: 500), .init(key: 2, cost: 12, at: 500), .init(key: 3, cost: 10, at: 500)],
            former: [1, 2])
        #expect(chosen.map(\.key) == [Self.key(2), Self.key(3)])
    }

    @Test func `one that comes up some seconds later has its place kept, and the others serve meanwhile`() {
        let chosen = play(
            [.init(key: 1, cost: 14, at: 8_000), .init(key: 2, cost: 12, at: 500), .init(key: 3, cost: 10, at: 500)],
            former: [1, 2])
        #expect(chosen.map(\.key) == [Self.key(2), Self.key(1)])
        #expect(chosen.map(\.at) == [3_000, 8_000])
    }

    @Test func `where none of last time answers one other serves at once, and the second place is kept for 10 s`() {
        let chosen = play(
            [
                .init(key: 1, cost: 14, at: .max), .init(key: 2, cost: 12, at: .max), .init(key: 3, cost: 10, at: 500),
                .init(key: 4, cost: 20, at: 500),
            ], former: [1, 2])
        #expect(chosen.map(\.key) == [Self.key(3), Self.key(4)])
        #expect(chosen.map(\.at) == [3_000, 10_500])
    }

    @Test func `one that stood in for those of last time gives its place back when both come up in time`() {
        let found = Found()
        let chosen = play(
            [.init(key: 1, cost: 14, at: 6_000), .init(key: 2, cost: 12, at: 7_000), .init(key: 3, cost: 11, at: 500)],
            former: [1, 2], found)
        #expect(chosen.map(\.key) == [Self.key(3), Self.key(1), Self.key(2)])
        #expect(chosen.map(\.at) == [3_000, 6_000, 7_000])
        #expect(Set(found.published) == [Self.key(1), Self.key(2)])
    }

    @Test func `those that come up a minute later take their places back, unless whoever stood in is clearly better`() {
        let found = Found()
        func play(_ cost: UInt64, at: UInt64) -> [NodeKey] {
            self.play(
                [
                    .init(key: 1, cost: cost, at: at), .init(key: 2, cost: 12, at: at + 1_000),
                    .init(key: 3, cost: 11, at: 500), .init(key: 4, cost: 11, at: 500),
                ], former: [1, 2], found, seconds: 300
            ).map(\.key)
        }
        #expect(play(14, at: 60_000) == [3, 4, 1, 2].map(Self.key))
        #expect(Set(found.published) == [Self.key(1), Self.key(2)])
        #expect(play(60, at: 60_000) == [3, 4, 2].map(Self.key))
        #expect(found.published.contains(Self.key(2)) && !found.published.contains(Self.key(1)))
        // After three minutes they count like any other.
        #expect(play(14, at: 200_000) == [3, 4].map(Self.key))
    }

    @Test func `one that is being measured is waited for, also where it is the only one that is wanted`() {
        let chosen = play(
            [.init(key: 1, cost: 14, at: 5_000, before: .measured), .init(key: 2, cost: 10, at: 500)], former: [1],
            sessions: 1)
        #expect(chosen.map(\.key) == [Self.key(1)] && chosen[0].at == 5_000)
        // One that does not answer is not.
        let other = play(
            [.init(key: 1, cost: 14, at: 5_000), .init(key: 2, cost: 10, at: 500)], former: [1], sessions: 1)
        #expect(other.first?.key == Self.key(2) && other.first?.at == 3_000)
    }

    @Test func `one that nobody knows any more is not waited for`() {
        let chosen = play(
            [
                .init(key: 1, cost: 14, at: .max, before: nil), .init(key: 2, cost: 12, at: 500),
                .init(key: 3, cost: 10, at: 500),
            ], former: [1, 2])
        #expect(chosen.map(\.key) == [Self.key(2), Self.key(3)] && chosen.allSatisfy { $0.at == 3_000 })
    }
}
