import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A peer's path and the relay's view of it, with a network between them that a test rules.
private final class Way {
    private(set) var path: DatagramPath
    private(set) var follower = DatagramFollower()
    private(set) var now = Instant.zero + .seconds(1_000)
    private var queue = EventQueue()
    private var count: UInt64 = 0
    /// When something happened, and what.
    private(set) var changes: [(Instant, DatagramPath.Way)] = []
    private(set) var asked = 0
    private(set) var renewals = 0
    /// A router on the way holds the peer's flow for dead, until it comes from another port.
    var isForgotten = false

    var delay = Instant.Span.milliseconds(10)
    /// Larger datagrams are lost.
    var limit = 1_472
    /// Nothing comes through from the peer to the relay, from the relay to the peer.
    var isBlocked = (up: false, down: false)
    /// The peer's address as the relay sees it.
    var source = DatagramAddress(HostAddress("192.0.2.7")!, port: 40_000)

    init() { path = DatagramPath(at: now) }

    var largest: Int { path.largest }

    /// The peer sends a visitor's frame, and the relay answers if `isAnswered`.
    func send(isAnswered: Bool) {
        guard path.way == .datagrams else { return }
        path.sent(at: now)
        carry(up: true, size: 500) { way in
            way.follower.heard(way.next(), from: way.source)
            guard isAnswered else { return }
            way.carry(up: false, size: 500) { way in
                way.path.heard()
                way.path.carried(at: way.now)
            }
        }
    }

    /// The relay sends a visitor's frame to the peer.
    func deliver() {
        follower.sent(at: now)
        carry(up: false, size: 500) { way in
            way.path.heard()
            way.path.carried(at: way.now)
        }
    }

    func run(for span: Instant.Span) {
        let end = now + span
        perform(path.timePassed(at: now))
        while true {
            let due = min(path.nextDeadline, end)
            if let (instant, body) = queue.next(until: due) {
                now = max(now, instant)
                body()
                perform(path.timePassed(at: now))
                continue
            }
            guard due < end else { break }
            now = max(now, due)
            let before = path.nextDeadline
            perform(path.timePassed(at: now))
            #expect(path.nextDeadline > now || path.nextDeadline != before, "a deadline that does not pass")
            if path.nextDeadline <= now { break }
        }
        now = end
        if follower.isMissing(at: now) { perform(path.isMissed(at: now)) }
    }

    private func next() -> DatagramNumber {
        count += 1
        return DatagramNumber(epoch: 0, count: count)
    }

    private func carry(up: Bool, size: Int, _ body: @escaping (Way) -> Void) {
        guard size <= limit, !(up ? isBlocked.up : isBlocked.down), !isForgotten else { return }
        queue.add(now + delay) { [unowned self] in body(self) }
    }

    private func perform(_ actions: [DatagramPath.Action]) {
        for action in actions {
            switch action {
            case .ask(let number, let size):
                asked += 1
                let probe = DatagramFrame.Probe(
                    number: number, prefersStream: path.way == .stream, largest: UInt16(path.largest))
                carry(up: true, size: size) { way in
                    way.follower.heard(way.next(), from: way.source)
                    way.follower.told(probe)
                    let answer = DatagramFrame.Answer(number: number, source: way.source)
                    way.carry(up: false, size: size) { $0.perform($0.path.answered(answer, at: $0.now)) }
                }
            case .change(let way): changes.append((now, way))
            case .renew:
                renewals += 1
                isForgotten = false
            }
        }
    }
}

@Suite("The way of a session's datagrams")
struct DatagramPathTests {
    @Test(
        "finds the largest size that comes through both ways",
        arguments: [(1_472, 1_472), (1_452, 1_452), (1_419, 1_392), (1_200, 1_200), (8_972, 8_972), (65_507, 65_507)])
    func size(_ limit: Int, _ found: Int) {
        let way = Way()
        way.limit = limit
        way.run(for: .seconds(5))
        #expect(way.largest == found)
        way.run(for: .seconds(20))
        #expect(way.follower.largest == found)
        #expect(way.follower.prefersStream == false)
        #expect(way.changes.isEmpty)
    }

    @Test("takes the stream after 1 s without an answer, and comes back within a minute after it opens")
    func blocked() throws {
        let way = Way()
        way.isBlocked = (true, true)
        let begin = way.now
        way.run(for: .seconds(2))
        let change = try #require(way.changes.first)
        #expect(change.1 == .stream && change.0 == begin + .seconds(1))
        way.run(for: .seconds(100))
        #expect(way.changes.count == 1)
        way.isBlocked = (false, false)
        let opened = way.now
        way.run(for: .seconds(60))
        #expect(way.changes.count == 2)
        #expect(way.changes.last?.1 == .datagrams)
        #expect(way.changes.last.map { $0.0 - opened <= .seconds(21) } == true)
        #expect(way.follower.prefersStream == false)
    }

    @Test(
        "does not take an answer that it cannot hear for a way, in whichever direction it is shut",
        arguments: [true, false])
    func halfBlocked(_ up: Bool) {
        let way = Way()
        way.run(for: .seconds(5))
        way.isBlocked = (up, !up)
        way.send(isAnswered: true)
        way.run(for: .seconds(2))
        #expect(way.changes.map(\.1) == [.stream])
        way.run(for: .seconds(60))
        #expect(way.changes.count == 1)
        // What still comes to the relay says that the peer takes the stream.
        if !up { #expect(way.follower.prefersStream) }
    }

    @Test(
        "is noticed to be gone within 2 s by a peer that sends, and by one that would only hear",
        arguments: [true, false])
    func shut(_ sends: Bool) throws {
        let way = Way()
        way.run(for: .seconds(5))
        way.isBlocked = (true, true)
        let shut = way.now
        for _ in 0..<40 {
            if sends { way.send(isAnswered: true) } else { way.deliver() }
            way.run(for: .milliseconds(50))
        }
        let change = try #require(way.changes.first)
        #expect(change.1 == .stream)
        #expect(change.0 - shut <= .milliseconds(1_600))
    }

    @Test(
        "goes on from another port within 1 s where the present one's flow is held for dead", arguments: [true, false])
    func forgotten(_ sends: Bool) {
        let way = Way()
        way.run(for: .seconds(5))
        for _ in 0..<20 {
            if sends { way.send(isAnswered: true) } else { way.deliver() }
            way.run(for: .milliseconds(50))
        }
        way.isForgotten = true
        for _ in 0..<20 {
            if sends { way.send(isAnswered: true) } else { way.deliver() }
            way.run(for: .milliseconds(50))
        }
        #expect(way.renewals == 1)
        #expect(!way.isForgotten && way.changes.isEmpty)
    }

    @Test("costs few questions: while nothing is sent one in 15 to 25 s, while it is used about two a second")
    func questions() {
        let way = Way()
        way.run(for: .seconds(10))
        let begin = way.asked
        way.run(for: .seconds(300))
        // Every minute the size is proven again, too.
        #expect((15...27).contains(way.asked - begin), "\(way.asked - begin)")
        let used = way.asked
        for _ in 0..<100 {
            way.send(isAnswered: true)
            way.run(for: .milliseconds(100))
        }
        #expect((15...22).contains(way.asked - used), "\(way.asked - used)")
        let oneWay = way.asked
        for _ in 0..<100 {
            way.send(isAnswered: false)
            way.run(for: .milliseconds(100))
        }
        #expect((10...30).contains(way.asked - oneWay), "\(way.asked - oneWay)")
    }

    @Test("asks more often when a NAT has forgotten it, until it holds")
    func forgetful() {
        let way = Way()
        way.run(for: .seconds(20))
        // A NAT that forgets after 6 s: each question after a longer pause comes from another port.
        var last = way.now
        var asked = way.asked
        var changes = 0
        for _ in 0..<3_000 {
            way.run(for: .milliseconds(100))
            guard way.asked > asked else { continue }
            asked = way.asked
            if way.now - last > .seconds(6) {
                changes += 1
                way.source.port += 1
            }
            last = way.now
        }
        #expect(changes < 8, "\(changes)")
        #expect(way.follower.peer == way.source)
    }

    @Test("becomes small again where large datagrams are lost by and by, and grows when they come through")
    func smaller() {
        let way = Way()
        way.run(for: .seconds(10))
        #expect(way.largest == 1_472)
        way.limit = 1_400
        way.run(for: .seconds(70))
        #expect(way.largest == 1_392)
        #expect(way.changes.isEmpty)
        way.limit = 1_472
        way.run(for: .seconds(700))
        #expect(way.largest == 1_472)
    }

    @Test("goes to where the newest genuine datagram came from, and late ones do not lead it back")
    func moved() {
        var follower = DatagramFollower()
        let (home, away) = (
            DatagramAddress(HostAddress("192.0.2.1")!, port: 1), DatagramAddress(HostAddress("192.0.2.2")!, port: 2)
        )
        #expect(follower.peer == nil)
        follower.heard(DatagramNumber(epoch: 0, count: 5), from: home)
        follower.heard(DatagramNumber(epoch: 0, count: 7), from: away)
        follower.heard(DatagramNumber(epoch: 0, count: 6), from: home)
        #expect(follower.peer == away)
        follower.heard(DatagramNumber(epoch: 1, count: 0), from: home)
        #expect(follower.peer == home)
    }
}
