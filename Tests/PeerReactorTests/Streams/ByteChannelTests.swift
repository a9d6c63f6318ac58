import Glibc
import PeerCore
import Synchronization
import Testing

@testable import PeerReactor

@Suite("A byte channel", .serialized)
struct ByteChannelTests {
    private final class Opened: Sendable {
        let other: TestSocket
        let channel: LoopBound<ByteChannel>
        let received = Mutex<[UInt8]>([])
        let closed = Awaited<String>()

        init(on loop: EventLoop, smallBuffers: Bool = false) throws {
            let (stream, other) = try TestSocket.pair(smallBuffers: smallBuffers)
            self.other = other
            let parcel = Handed(stream)
            channel = try loop.run {
                LoopBound(ByteChannel(on: loop, parcel.value.open()!), on: loop)
            }
        }

        func start() {
            // Weakly: the channel of a loop that stopped is never closed, and would keep this.
            channel.value.start { [weak self] event in
                guard let self else { return }
                switch event {
                case .received(let bytes): received.withLock { $0 += bytes }
                case .closed(let reason): closed.tell(reason)
                }
            }
        }
    }

    private func open(on loop: EventLoop, smallBuffers: Bool = false) throws -> Opened {
        let opened = try Opened(on: loop, smallBuffers: smallBuffers)
        try loop.run { opened.start() }
        return opened
    }

    @Test("hands over what comes, and says when the other end closed")
    func receives() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let opened = try open(on: loop)
        let bytes = Pattern(seed: 1).bytes(3_000_000)
        opened.other.send(bytes)
        opened.other.close()
        #expect(try opened.closed.next("end") == "the connection was closed")
        #expect(opened.received.withLock { $0 == bytes })
    }

    @Test("hands over what came before it was started")
    func receivedEarly() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let opened = try Opened(on: loop)
        opened.other.send([1, 2])
        try loop.run { opened.start() }
        try eventually("bytes came") { opened.received.withLock { $0 } == [1, 2] }
    }

    @Test("says when the connection broke")
    func broke() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let opened = try open(on: loop)
        opened.other.reset()
        #expect(try opened.closed.next("end") == "Connection reset by peer")
    }

    @Test("queues what the other end does not take yet, in order")
    func queues() throws {
        // Whoever reads slowly is given up after a second, which never passes here.
        let loop = try EventLoop.started(clock: ManualClock(wall: WallTime(seconds: 0)))
        defer { loop.stop() }
        let opened = try open(on: loop, smallBuffers: true)
        let pattern = Pattern(seed: 2)
        try loop.run {
            for part in 0..<100 {
                opened.channel.value.send(pattern.withBytes(at: part * 20_000, 20_000) { Array($0) })
            }
            opened.channel.value.closeAfterFlush()
        }
        #expect(pattern.read(from: opened.other, chunks: 1...60_000, seed: 1) == Pattern.Reading(bytes: 2_000_000))
    }

    @Test("says when what had to wait is with the system, and not when nothing had to")
    func drained() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let opened = try Opened(on: loop, smallBuffers: true)
        let drained = Mutex(0)
        try loop.run {
            opened.channel.value.start(onDrained: { drained.withLock { $0 += 1 } }) { _ in }
            opened.channel.value.send([1, 2, 3])
            #expect(opened.channel.value.queuedByteCount == 0)
        }
        #expect(opened.other.receive(exactly: 3) == [1, 2, 3])
        try loop.run {}
        #expect(drained.withLock { $0 } == 0)
        let pattern = Pattern(seed: 4)
        try loop.run {
            opened.channel.value.send(pattern.bytes(500_000))
            #expect(opened.channel.value.queuedByteCount > 0)
        }
        #expect(opened.other.receive(exactly: 500_000) == pattern.bytes(500_000))
        try eventually("it is told once") { drained.withLock { $0 } == 1 }
    }

    @Test("that limits what has not gone out has little in the system when the other end does not read")
    func limitsUnsent() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let taken = try [nil, 16_384].map { limit in
            let opened = try Opened(on: loop)
            opened.other.limitBuffers(to: 4_096)
            return try loop.run {
                if let limit { opened.channel.value.limitUnsent(to: limit) }
                opened.channel.value.start { _ in }
                var sent = 0
                while opened.channel.value.queuedByteCount == 0, sent < 100_000_000 {
                    opened.channel.value.send([UInt8](repeating: 1, count: 1_000))
                    sent += 1_000
                }
                return sent
            }
        }
        // Without the limit it is what the socket's buffers hold.
        #expect(taken[1] < taken[0] - 1_000_000, "\(taken)")
    }

    @Test("delivers all before it closes, also to one who has ended its own direction")
    func flushesAfterHalfClose() throws {
        // Whoever reads slowly is given up after a second, which never passes here.
        let loop = try EventLoop.started(clock: ManualClock(wall: WallTime(seconds: 0)))
        defer { loop.stop() }
        let opened = try open(on: loop, smallBuffers: true)
        let pattern = Pattern(seed: 3)
        try loop.run {
            opened.channel.value.send(pattern.bytes(1_000_000))
            opened.channel.value.closeAfterFlush()
        }
        opened.other.endWriting()
        // The channel sees that end before the bytes are gone.
        try loop.run {}
        #expect(pattern.read(from: opened.other, chunks: 1...60_000, seed: 1) == Pattern.Reading(bytes: 1_000_000))
    }

    @Test("waits no longer than a second for one who reads nothing")
    func flushLimit() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let opened = try open(on: loop, smallBuffers: true)
        let seconds = try duration {
            try loop.run {
                opened.channel.value.send([UInt8](repeating: 1, count: 3_000_000))
                opened.channel.value.closeAfterFlush()
            }
            try eventually("a broken connection") { !opened.other.send([1]) }
        }
        #expect(seconds > 0.9)
        #expect(seconds < 5)
        #expect(opened.closed.count == 0)
    }

    @Test("cuts off a reader that lets too much pile up, and tells so after the sending, not while")
    func bounded() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let opened = try open(on: loop, smallBuffers: true)
        let toldWhileSending = try loop.run {
            for _ in 0..<10 { opened.channel.value.send([UInt8](repeating: 1, count: 1 << 20)) }
            return opened.closed.count
        }
        #expect(toldWhileSending == 0)
        #expect(try opened.closed.next("end") == "the other end does not read")
        #expect(opened.other.drain().end == .reset)
    }

    @Test("tells of a connection that broke while it sends after the sending, not while, and once")
    func breaksWhileSending() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let opened = try open(on: loop)
        let hold = Awaited<Void>()
        let told = Awaited<Int>()
        loop.execute {
            _ = try? hold.next("go-ahead")
            for _ in 0..<3 { opened.channel.value.send([1]) }
            told.tell(opened.closed.count)
        }
        opened.other.reset()
        hold.tell(())
        #expect(try told.next("end of sending") == 0)
        _ = try opened.closed.next("end")
        try loop.run {}
        #expect(opened.closed.count == 0)
    }

    @Test("keeps no more than what waits, however long its queue is never empty")
    func queueStaysSmall() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let opened = try open(on: loop, smallBuffers: true)
        var largest = 0
        try loop.run { opened.channel.value.send([UInt8](repeating: 1, count: 400_000)) }
        for _ in 0..<200 {
            // As much goes in as comes out.
            #expect(opened.other.receive(exactly: 20_000).count == 20_000)
            let size = try loop.run {
                opened.channel.value.send([UInt8](repeating: 1, count: 20_000))
                let queue = Mirror(reflecting: opened.channel.value).children.first { $0.label == "queue" }?.value
                return (queue as? [UInt8])?.count ?? -1
            }
            largest = max(largest, size)
        }
        #expect(largest > 0)
        #expect(largest < 1_500_000)
    }

    @Test("gives its stream away with nothing lost, to the same loop or another", arguments: [true, false])
    func takenOver(_ isSame: Bool) throws {
        let loop = try EventLoop.started()
        let second = isSame ? loop : try EventLoop.started()
        defer {
            loop.stop()
            second.stop()
        }
        let opened = try open(on: loop)
        let came = Awaited<[UInt8]>()
        let parcel = try loop.run { Handed(StreamParcel(opened.channel.value.takeStream(for: second))) }
        opened.other.send([1, 2, 3])
        try second.run {
            let channel = try ReadyChannel(
                on: second, parcel.value.open()!, isRegistered: isSame, expecting: .init(byteCount: 3)
            ) { channel, bytes in
                came.tell(bytes ?? [])
                channel.close()
            }
            _ = channel
        }
        #expect(try came.next("bytes") == [1, 2, 3])
        #expect(opened.closed.count == 0)
    }

    @Test("one that is held reads no more than a turn, and goes on when it is told to, to the last byte")
    func held() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let opened = try Opened(on: loop)
        let turns = Mutex(0)
        let bytes = Pattern(seed: 4).bytes(3_000_000)
        try loop.run {
            opened.channel.value.start(onTurn: { [weak opened] in
                // Each piece takes three turns to be worked through.
                let isDone = turns.withLock { turns in
                    turns += 1
                    return turns % 3 == 0
                }
                if !isDone { opened?.channel.value.hold() }
            }) { [weak opened] event in
                guard let opened else { return }
                switch event {
                case .received(let bytes):
                    let count = opened.received.withLock { received in
                        received += bytes
                        return received.count
                    }
                    if bytes.count > ByteChannel.turn { opened.closed.tell("\(bytes.count) bytes in one turn") }
                    opened.channel.value.hold(for: count < 300_000 ? .milliseconds(1) : .zero)
                case .closed(let reason): opened.closed.tell(reason)
                }
            }
        }
        opened.other.send(bytes)
        opened.other.close()
        #expect(try opened.closed.next("end") == "the connection was closed")
        #expect(opened.received.withLock { $0 == bytes })
        #expect(turns.withLock { $0 } >= 3 * 3_000_000 / ByteChannel.turn)
    }

    @Test("others have their turn between those of many that are never through")
    func fairness() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let busy = try (0..<50).map { _ in try Opened(on: loop) }
        let turns = Mutex([Int](repeating: 0, count: busy.count))
        for (index, opened) in busy.enumerated() {
            try loop.run {
                opened.channel.value.start(onTurn: { [weak opened] in
                    turns.withLock { $0[index] += 1 }
                    usleep(1_000)
                    opened?.channel.value.hold()
                }) { [weak opened] _ in opened?.channel.value.hold() }
            }
            opened.other.send([1])
        }
        try eventually("all are at work") { turns.withLock { $0.allSatisfy { $0 > 0 } } }
        // Those that were there first have had more; from here on all have the same.
        let before = turns.withLock { $0 }
        // A turn of all of them would take 50 ms.
        var waits: [Duration] = []
        for _ in 0..<20 {
            waits.append(try ContinuousClock().measure { try loop.run {} })
        }
        #expect(waits.sorted()[10] < .milliseconds(25), "\(waits)")
        let counts = turns.withLock { zip($0, before).map { $0 - $1 } }
        #expect(counts.max()! - counts.min()! <= 2, "\(counts)")
    }

    @Test("is let go of when it is over")
    func leavesNothing() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (stream, other) = try TestSocket.pair()
        let parcel = Handed(stream)
        let observed = try loop.run {
            let channel = ByteChannel(on: loop, parcel.value.open()!)
            channel.start { _ in _ = channel }
            return WeakReference(channel)
        }
        #expect(!observed.isGone)
        other.close()
        try eventually("the channel is gone") { try loop.run { observed.isGone } }
    }
}
