import PeerCore
import PeerDataPlane
import PeerReactor
import PeerWire
import Synchronization
import Testing

@testable import PeerServices

@Suite("Lanes", .serialized, .timeLimit(.minutes(1)))
final class LaneGroupTests {
    private final class Lane {
        let number: Int
        let loop: EventLoop
        var seen: [Int] = []
        init(_ number: Int, on loop: EventLoop) { (self.number, self.loop) = (number, loop) }

        func traffic() -> [String: TrafficCounters] {
            var counters = TrafficCounters()
            counters.connections = UInt64(number + 1)
            counters.open = number
            return ["shared": counters, "own \(number)": counters]
        }
    }

    private final class Seen: Sendable {
        let all = Mutex<[Int]>([])
        let traffic = Mutex<[[String: TrafficCounters]]>([])
    }

    private let time = OwnedTime()
    private let control: EventLoop
    private let group: LaneGroup<Lane>
    private let seen = Seen()

    init() throws {
        control = try time.loop()
        let loops = [try time.loop(), try time.loop(), try time.loop()]
        group = LaneGroup(on: loops) { Lane($0, on: $1) }
    }

    deinit { time.stop() }

    @Test("do what they are told on their own loops, in the order in which it was said")
    func order() throws {
        let seen = seen
        for value in 0..<100 {
            group.on(1) { lane in
                lane.loop.preconditionInLoop()
                lane.seen.append(value)
                if value == 99 { seen.all.withLock { $0 = lane.seen } }
            }
        }
        try time.eventually("done") { seen.all.withLock { $0.count == 100 } }
        #expect(seen.all.withLock { $0 } == Array(0..<100))
    }

    @Test("are told all together, or some of them")
    func several() throws {
        let seen = seen
        group.onAll { lane in seen.all.withLock { $0.append(lane.number) } }
        group.on([0, 2]) { lane in seen.all.withLock { $0.append(10 + lane.number) } }
        try time.eventually("done") { seen.all.withLock { $0.count == 5 } }
        #expect(seen.all.withLock { $0.sorted() } == [0, 1, 2, 10, 12])
        #expect(group.count == 3)
    }

    @Test("count each for itself, and one answer has the sums")
    func counters() throws {
        let (group, control, seen) = (group, control, seen)
        try OnLoop(on: control) {}.run { _ in
            group.gather(on: control, { $0.traffic() }) { traffic in seen.traffic.withLock { $0.append(traffic) } }
        }
        try time.eventually("answered") { seen.traffic.withLock { !$0.isEmpty } }
        let all = seen.traffic.withLock { $0 }
        #expect(all.count == 1)
        #expect(all[0]["shared"]?.connections == 6 && all[0]["shared"]?.open == 3)
        #expect(all[0]["own 2"]?.connections == 3)
    }

    @Test("that are not there yet are told nothing")
    func none() {
        let none = LaneGroup<Lane>()
        none.onAll { _ in Issue.record("there is one") }
        #expect(none.count == 0)
    }
}
