import Glibc
import PeerCore
import PeerReactor
import PeerWire
import Testing

@testable import PeerDataPlane

@Suite("A stream of datagrams", .serialized)
struct DatagramStreamTests {
    /// A stream with small buffers whose other end reads when the test does.
    private final class Bench {
        let clock = ManualClock(wall: WallTime(seconds: 0))
        let loop: EventLoop
        private let other: Int32
        private(set) var stream: DatagramStream?
        private var input: [UInt8] = []

        init() throws {
            var ends: [Int32] = [-1, -1]
            let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
            try #require(socketpair(AF_UNIX, type, 0, &ends) == 0)
            var (size, limit) = (Int32(8_192), timeval(tv_sec: 20, tv_usec: 0))
            setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, 4)
            setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            try #require(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
            let fd = ends[0]
            other = ends[1]
            loop = try EventLoop(clock: clock)
            try loop.start()
            let loop = loop
            stream = try loop.on {
                DatagramStream(
                    on: loop, Stream(Descriptor(fd)), isRegistered: false, received: { _ in }, closed: { _ in })
            }
        }

        /// Frames that begin with these numbers, in one turn.
        func send(_ numbers: Range<Int>, of count: Int = 200) throws {
            try loop.on { [self] in
                for number in numbers {
                    let isSent = stream?.send(count) { place in
                        memset(place, 0, count)
                        place.storeBytes(of: UInt32(number), as: UInt32.self)
                    }
                    #expect(isSent == true)
                }
            }
        }

        /// The numbers of what comes, up to this one.
        func receive(until last: Int) throws -> [Int] {
            var numbers: [Int] = []
            while numbers.last != last {
                var bytes = [UInt8](repeating: 0, count: 65_536)
                let count = recv(other, &bytes, bytes.count, 0)
                guard count > 0 else { throw TimedOut(description: "\(last) did not come") }
                input += bytes[..<count]
                var start = 0
                input.withUnsafeMutableBytes { all in
                    while let frame = StreamedFrame.first(in: .init(rebasing: all[start...])) {
                        numbers.append(Int(frame.loadUnaligned(as: UInt32.self)))
                        start += StreamedFrame.headerByteCount + frame.count
                    }
                }
                input.removeFirst(start)
            }
            return numbers
        }

        var dropped: Int { get throws { try loop.on { [self] in Int(loop.datagramCounts.dropped) } } }

        deinit {
            loop.stop()
            _ = close(other)
        }
    }

    @Test("that nobody reads keeps the newest and drops the oldest, which are counted")
    func oldestFirst() throws {
        let bench = try Bench()
        try bench.send(0..<5_000)
        let limits = FrameRing.Limits()
        let dropped = try bench.dropped
        // All but those that wait, and a few that the system or the channel has.
        #expect((5_000 - limits.frames - 200...5_000 - limits.frames).contains(dropped), "\(dropped)")
        let numbers = try bench.receive(until: 4_999)
        #expect(numbers.count == 5_000 - dropped)
        #expect(numbers.suffix(limits.frames) == Array(5_000 - limits.frames..<5_000)[...])
        // The others were on their way before there was no room.
        let early = numbers.dropLast(limits.frames)
        #expect(Array(early) == Array(0..<early.count))
    }

    @Test("has at most as many bytes waiting as a second of a slow line is worth")
    func bytes() throws {
        let bench = try Bench()
        try bench.send(0..<200, of: 10_000)
        let numbers = try bench.receive(until: 199)
        let waiting = numbers.drop { $0 < 100 }
        #expect(Array(waiting) == Array(200 - waiting.count..<200))
        #expect((20...26).contains(waiting.count), "\(waiting.count)")
        #expect(try bench.dropped == 200 - numbers.count)
    }

    @Test("sends nothing that waited for longer than a second, and goes on with what is new")
    func age() throws {
        let bench = try Bench()
        try bench.send(0..<500)
        #expect(try bench.dropped == 0)
        bench.clock.advance(by: .milliseconds(1_001))
        try bench.send(1_000..<1_001)
        let numbers = try bench.receive(until: 1_000)
        // What the system and the channel had is past recall.
        #expect(numbers.count < 200, "\(numbers.count)")
        #expect(Array(numbers.dropLast()) == Array(0..<(numbers.count - 1)))
        #expect(try bench.dropped == 501 - numbers.count)
    }

    @Test("that is read loses nothing, in whatever sizes they come")
    func nothingLost() throws {
        let bench = try Bench()
        var next = 0
        for round in 0..<40 {
            let count = round.isMultiple(of: 10) ? StreamedFrame.maximumByteCount : 4 + round * 37
            try bench.send(next..<(next + 3), of: count)
            #expect(try bench.receive(until: next + 2) == [next, next + 1, next + 2])
            next += 3
        }
        #expect(try bench.dropped == 0)
    }
}
