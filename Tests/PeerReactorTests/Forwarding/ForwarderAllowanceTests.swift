import PeerCore
import Testing

@testable import PeerReactor

/// So many bytes a second in each direction, in pieces of at least 1,000.
final class Rate: ByteAllowance {
    private let buckets: Locked<[RateBucket]>

    init(perSecond rate: Int) {
        buckets = Locked([RateBucket](repeating: RateBucket(perSecond: rate, at: SystemClock.now), count: 2))
    }

    func take(upTo wanted: Int, _ isLeftToRight: Bool, at now: Instant) -> Int {
        let index = isLeftToRight ? 1 : 0
        return buckets.withLock { buckets in
            buckets[index].available(at: now) < 1_000 ? 0 : buckets[index].take(upTo: wanted, at: now)
        }
    }

    func putBack(_ count: Int, _ isLeftToRight: Bool) {
        buckets.withLock { $0[isLeftToRight ? 1 : 0].putBack(count) }
    }

    func ready(_ isLeftToRight: Bool) -> Instant { buckets.withLock { $0[isLeftToRight ? 1 : 0].ready(1_000) } }
}

@Suite("A forwarder with an allowance", .serialized)
struct ForwarderAllowanceTests {
    @Test("carries every byte both ways, no faster than allowed, and ends cleanly")
    func rate() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop)
        try passage.hold(to: Rate(perSecond: 2_000_000))
        let pattern = Pattern(seed: 21)
        let begin = SystemClock.now
        for end in [passage.visitor, passage.service] {
            _ = inBackground {
                _ = pattern.write(3_000_000, to: end, chunks: 1...70_000, seed: 1)
                end.endWriting()
            }
        }
        let atService = inBackground { pattern.read(from: passage.service, chunks: 1...70_000, seed: 2) }
        let atVisitor = inBackground { pattern.read(from: passage.visitor, chunks: 1...70_000, seed: 3) }
        #expect(try atService.next("at the service") == Pattern.Reading(bytes: 3_000_000))
        #expect(try atVisitor.next("at the visitor") == Pattern.Reading(bytes: 3_000_000))
        #expect(try passage.ended.next("end") == "clean")
        // 2 MB are a burst; the third takes half a second.
        #expect(SystemClock.now - begin >= .milliseconds(490))
        #expect(try passage.counted.next("counters") == [3_000_000, 3_000_000])
    }

    @Test("is let go again when the allowance is taken away, also in the middle of a wait")
    func release() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop)
        try passage.hold(to: Rate(perSecond: 2_000))
        let pattern = Pattern(seed: 22)
        _ = inBackground {
            _ = pattern.write(5_000_000, to: passage.visitor, chunks: 70_000...70_000, seed: 1)
            passage.visitor.endWriting()
        }
        let atService = inBackground { pattern.read(from: passage.service, chunks: 1...70_000, seed: 2) }
        try eventually("the burst went through") { try passage.bytesLeftToRight >= 2_000 }
        try passage.hold(to: nil)
        #expect(try atService.next("at the service") == Pattern.Reading(bytes: 5_000_000))
        try passage.abort()
    }

    @Test("passes the last words before a reset on, whatever the allowance is")
    func lastWords() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop)
        try passage.hold(to: Rate(perSecond: 2_000))
        passage.service.send([UInt8](repeating: 7, count: 6_000))
        try eventually("the burst went through") { try passage.bytesRightToLeft >= 2_000 }
        passage.service.reset()
        #expect(try passage.ended.next("end") == "aborted")
        #expect(passage.visitor.drain().bytes.count == 6_000)
    }

    @Test("counts what waits in its buffers, and nothing once it has ended")
    func buffered() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let passage = try Passage(on: loop, smallBuffers: true)
        let pattern = Pattern(seed: 23)
        // Slowly enough that it is copied, and never spliced.
        try passage.hold(to: Rate(perSecond: 100_000_000))
        _ = inBackground { pattern.write(3_000_000, to: passage.visitor, chunks: 4_000...4_000, seed: 1) }
        try eventually("something waits") { try loop.run { loop.buffered } > 0 }
        let waiting = try loop.run { loop.buffered }
        #expect(waiting <= 65_536)
        try passage.abort()
        let left = try loop.run { loop.buffered }
        #expect(left == 0)
    }
}
