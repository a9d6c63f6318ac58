import PeerCore
import Synchronization
import Testing

@testable import PeerReactor

@Suite("Timers")
struct TimersTests {
    @Test("fire by their deadlines, not by the order in which they were made")
    func order() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let told = Awaited<Int>()
        try loop.run {
            for delay in [30, 10, 20, 5, 25] {
                loop.schedule(after: .milliseconds(UInt64(delay))) { told.tell(delay) }
            }
        }
        #expect(try (0..<5).map { _ in try told.next("timer") } == [5, 10, 20, 25, 30])
    }

    @Test("do not fire before their time, and not long after it")
    func punctual() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let told = Awaited<Instant.Span>()
        try loop.run {
            let start = SystemClock.now
            loop.schedule(after: .milliseconds(50)) { told.tell(SystemClock.now - start) }
        }
        let span = try told.next("timer")
        #expect(span >= .milliseconds(50))
        #expect(span < .seconds(2))
    }

    @Test("that were cancelled do not fire, and let go of what they hold at once")
    func cancel() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let told = Awaited<String>()
        try loop.run {
            final class Held {}
            var held: Held? = Held()
            weak let observed = held
            let timer = loop.schedule(after: .milliseconds(5)) { [held] in
                _ = held
                told.tell("cancelled")
            }
            held = nil
            #expect(observed != nil)
            timer.cancel()
            #expect(observed == nil)
            loop.schedule(after: .milliseconds(10)) { told.tell("kept") }
        }
        #expect(try told.next("timer") == "kept")
    }

    @Test("may cancel each other while they fire, and make new ones")
    func fromWithin() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let told = Awaited<String>()
        try loop.run {
            var victim: LoopTimer?
            loop.schedule(after: .milliseconds(5)) {
                victim?.cancel()
                loop.schedule(after: .zero) { told.tell("made within") }
            }
            victim = loop.schedule(after: .milliseconds(5)) { told.tell("victim") }
        }
        #expect(try told.next("timer") == "made within")
        #expect(told.count == 0)
    }

    @Test("by the thousand all fire, none before its time")
    func many() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let told = Awaited<Int>()
        try loop.run {
            var random = TestRandom(seed: 1)
            var left = 20_000
            var early = 0
            for _ in 0..<left {
                let delay = Instant.Span.microseconds(UInt64.random(in: 1_000...200_000, using: &random))
                let start = SystemClock.now
                loop.schedule(after: delay) {
                    if SystemClock.now - start < delay { early += 1 }
                    left -= 1
                    if left == 0 { told.tell(early) }
                }
            }
        }
        #expect(try told.next("all timers") == 0)
    }

    @Test("that are made and cancelled all the time do not pile up")
    func cancelledDoNotPileUp() {
        var heap = TimerHeap()
        var largest = 0
        for number in 0..<100_000 {
            let timer = LoopTimer(deadline: Instant(nanoseconds: UInt64(1_000_000 + number))) {}
            heap.insert(timer)
            timer.cancel()
            largest = max(largest, heap.count)
        }
        #expect(largest < 1_000)
        #expect(heap.popDue(at: .zero) == nil)
    }

    @Test("leave the heap sorted, whatever goes in and is cancelled", arguments: 0..<20)
    func againstAModel(_ seed: Int) {
        var random = TestRandom(seed: UInt64(seed))
        var heap = TimerHeap()
        var live: [LoopTimer] = []
        for _ in 0..<2_000 {
            if Int.random(in: 0..<3, using: &random) < 2 || live.isEmpty {
                let timer = LoopTimer(deadline: Instant(nanoseconds: UInt64.random(in: 0..<500, using: &random))) {}
                heap.insert(timer)
                live.append(timer)
            } else if Bool.random(using: &random) {
                live.remove(at: Int.random(in: 0..<live.count, using: &random)).cancel()
            } else {
                let earliest = live.map(\.deadline).min() ?? .zero
                let popped = heap.popDue(at: earliest)
                #expect(popped?.deadline == earliest)
                live.removeAll { $0 === popped }
            }
        }
        var last = Instant.zero
        while let timer = heap.popDue(at: Instant(nanoseconds: .max)) {
            #expect(timer.deadline >= last)
            last = timer.deadline
            live.removeAll { $0 === timer }
        }
        #expect(live.isEmpty)
    }
}
