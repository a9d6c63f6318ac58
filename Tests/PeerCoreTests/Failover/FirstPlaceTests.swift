import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// How often visitors find another relay first.
@Suite struct FirstPlaceTests {
    /// Two relays; the first is `near` away while it is good, and `far` otherwise, the second always `other`.
    struct Road {
        var failover = Failover()
        var log = SampleLog()
        var now = Instant.zero
        var changes: [(at: UInt64, first: NodeKey)] = []
        let relays = [NodeKey.number(1), .number(2)]

        init() {
            _ = failover.ranked([(relays[0], .milliseconds(5)), (relays[1], .milliseconds(25))], at: now)
            for key in relays { take(failover.established(key, at: now)) }
            changes = []
        }

        mutating func take(_ actions: [Failover.Action]) {
            for case .publish(let list) in actions {
                guard let first = list.first, first != changes.last?.first else { continue }
                if changes.isEmpty, first == relays[0] { continue }
                changes.append((now.nanoseconds / 1_000_000, first))
            }
        }

        mutating func run(seconds: UInt64, latency: (_ second: UInt64) -> UInt64?) {
            for step in 0..<(seconds * 2) {
                now = now + .milliseconds(500)
                let milliseconds = latency(step / 2)
                if let milliseconds { log.add(ProbeSample(at: now, roundTrip: .milliseconds(milliseconds))) }
                for key in relays where key != relays[0] || milliseconds != nil { take(failover.heard(key, at: now)) }
                let cost = RelayFigures(log, at: now).cost ?? .milliseconds(5)
                take(
                    failover.ranked(
                        [(relays[0], cost), (relays[1], .milliseconds(25))].sorted { $0.1 < $1.1 }, at: now))
                take(failover.timePassed(at: now))
            }
        }
    }

    @Test func `a link that is good and bad by turns changes the first address three times in three minutes`() {
        var road = Road()
        road.run(seconds: 180) { $0 / 15 % 2 == 0 ? 5 : 65 }
        #expect((1...3).contains(road.changes.count), "\(road.changes)")
        #expect(road.failover.published.first == road.relays[1])
        // Good for as long as it has to be, it is first again.
        road.run(seconds: 45) { _ in 5 }
        #expect(road.failover.published.first == road.relays[0])
    }

    @Test func `a single change is followed at once, there and back`() {
        var road = Road()
        road.run(seconds: 60) { _ in 5 }
        road.run(seconds: 60) { _ in 65 }
        road.run(seconds: 60) { _ in 5 }
        #expect(road.changes.count == 2, "\(road.changes)")
        #expect(road.changes[0].at <= 60_000 + 9_000 && road.changes[1].at <= 120_000 + 1_000, "\(road.changes)")
    }

    @Test
    func `one that loses the first place again and again waits twice as long each time, and five minutes at most`() {
        var road = Road()
        var waits: [UInt64] = []
        for _ in 0..<6 {
            road.run(seconds: 20) { _ in 65 }
            let began = road.now.nanoseconds / 1_000_000
            var seconds = 0
            while road.failover.published.first != road.relays[0], seconds < 400 {
                road.run(seconds: 1) { _ in 5 }
                seconds += 1
            }
            waits.append((road.now.nanoseconds / 1_000_000 - began) / 1_000)
        }
        #expect(waits[0] <= 1)
        for (wait, expected) in zip(waits.dropFirst(), [30, 60, 120, 240, 300] as [UInt64]) {
            #expect(wait >= expected && wait <= expected + 2, "\(waits)")
        }
    }

    @Test func `one that falls silent again and again serves at once, and is not first at once`() {
        var road = Road()
        for _ in 0..<2 {
            road.run(seconds: 10) { _ in 5 }
            road.run(seconds: 4) { _ in nil }
        }
        #expect(road.failover.published == [road.relays[1]])
        road.run(seconds: 2) { _ in 5 }
        #expect(road.failover.published == [road.relays[1], road.relays[0]])
        road.run(seconds: 30) { _ in 5 }
        #expect(road.failover.published == [road.relays[0], road.relays[1]])
    }

    @Test func `with nobody else it is first whatever it did, and losses are forgotten`() {
        var road = Road()
        for _ in 0..<6 {
            road.run(seconds: 5) { _ in 5 }
            road.run(seconds: 4) { _ in nil }
        }
        road.run(seconds: 3) { _ in 5 }
        _ = road.failover.lost(road.relays[1], at: road.now)
        #expect(road.failover.published == [road.relays[0]])
        for _ in 0..<1_400 {
            road.now = road.now + .milliseconds(500)
            road.take(road.failover.heard(road.relays[0], at: road.now))
            road.take(road.failover.timePassed(at: road.now))
        }
        #expect(road.failover.published == [road.relays[0]])
    }
}
