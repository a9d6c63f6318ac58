import CLinux
import Glibc
import PeerCore
import Synchronization
import Testing

@testable import PeerReactor

@Suite("The event loop")
struct EventLoopTests {
    @Test("runs jobs of one thread in their order")
    func jobsInOrder() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let seen = Mutex<[Int]>([])
        for number in 0..<10_000 { loop.execute { seen.withLock { $0.append(number) } } }
        try loop.run {}
        #expect(seen.withLock { $0 } == Array(0..<10_000))
    }

    @Test("loses no job of many threads")
    func jobsOfManyThreads() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let count = Mutex(0)
        let finished = Awaited<Void>()
        for _ in 0..<8 {
            try SystemThread.detach {
                for _ in 0..<5_000 { loop.execute { count.withLock { $0 += 1 } } }
                finished.tell(())
            }
        }
        for _ in 0..<8 { try finished.next("thread") }
        try eventually("all jobs run") { count.withLock { $0 } == 40_000 }
    }

    @Test("wakes for a job that comes while it waits, again and again")
    func wakesFromWaiting() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        for _ in 0..<2_000 { try loop.run {} }
    }

    @Test("knows its own thread")
    func knowsItsThread() throws {
        let loop = try EventLoop.started()
        let other = try EventLoop.started()
        defer {
            loop.stop()
            other.stop()
        }
        #expect(!loop.isInLoop)
        #expect(try loop.run { loop.isInLoop && !other.isInLoop })
    }

    @Test("opens what is bound to it on its own thread")
    func bound() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let bound = LoopBound([1, 2], on: loop)
        #expect(try loop.run { bound.value } == [1, 2])
    }

    @Test("traps when what is bound to it is opened elsewhere")
    func boundElsewhere() async {
        await #expect(processExitsWith: .failure) {
            let loop = try EventLoop.started()
            _ = LoopBound(1, on: loop).value
        }
    }

    @Test("calls a source again in the next turn, once for many requests, and not when it was forgotten")
    func again() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let told = Awaited<String>()
        let (stream, other) = try TestSocket.pair()
        try loop.run {
            let stream = stream.open()!
            let source = Probe({ _, _ in }, again: { told.tell("again") })
            try loop.register(stream.fd, for: source)
            loop.again(source)
            loop.again(source)
            told.tell("job")
            let kept = Handed(StreamParcel(stream))
            loop.schedule(after: .milliseconds(20)) {
                loop.again(source)
                loop.forget(source)
                _ = kept.value.open()
                loop.schedule(after: .milliseconds(20)) { told.tell("end") }
            }
        }
        #expect(try (0..<3).map { _ in try told.next("turn") } == ["job", "again", "end"])
        other.close()
    }

    @Test("looks for new events between flows that move bulk")
    func newsBetweenTurns() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let told = Awaited<String>()
        let pairs = try (0..<6).map { _ in try TestSocket.pair() }
        let (news, sender) = try TestSocket.pair()
        let parcels = Handed(pairs.map(\.stream) + [news])
        try loop.run {
            // Kept open until the process ends.
            let fds = parcels.value.map { $0.open()!.releaseDescriptor() }
            let sources = (0..<6).map { index in
                Probe(
                    { _, _ in },
                    again: {
                        if index == 0 { sender.send([1]) }
                        let begin = SystemClock.now
                        while SystemClock.now - begin < .milliseconds(1) {}
                        told.tell("bulk")
                    })
            }
            for (source, fd) in zip(sources, fds) { try loop.register(fd, for: source) }
            let small = Probe { readiness, _ in if readiness.contains(.readable) { told.tell("news") } }
            try loop.register(fds[6], for: small)
            for source in sources { loop.againWithBulk(source) }
        }
        let order = try (0..<7).map { _ in try told.next("turn") }
        #expect(order == ["bulk", "news"] + Array(repeating: "bulk", count: 5))
        withExtendedLifetime(pairs) {}
    }

    @Test("tells the one who took a descriptor over what was ready before, and the former owner nothing")
    func takesOver() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (stream, other) = try TestSocket.pair()
        other.send([1])
        let told = Awaited<String>()
        let parcel = Handed(stream)
        try loop.run {
            let stream = parcel.value.open()!
            let former = Probe { _, _ in told.tell("former") }
            let latter = Probe { readiness, tag in
                if readiness.contains(.readable) { told.tell("latter \(tag)") }
            }
            try loop.register(stream.fd, for: former)
            loop.forget(former)
            try loop.reregister(stream.fd, for: latter, tag: 3)
            // Kept open until the process ends.
            _ = stream.releaseDescriptor()
        }
        #expect(try told.next("event") == "latter 3")
        try loop.run {}
        #expect(told.count == 0)
    }

    /// Two descriptors are ready in the same turn; whichever comes first forgets the other and gives its place away.
    @Test("delivers no stale event to a source that got the place of a forgotten one", arguments: 0..<20)
    func staleEvents(_ round: Int) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (first, firstOther) = try TestSocket.pair()
        let (second, secondOther) = try TestSocket.pair()
        let (third, thirdOther) = try TestSocket.pair()
        let told = Awaited<String>()
        let parcels = Handed([first, second, third])
        try loop.run {
            let fds = parcels.value.map { $0.open()!.releaseDescriptor() }
            final class Keeper { var sources: [Probe] = [] }
            let keeper = Keeper()
            func clash(_ me: Int) -> Probe {
                Probe { readiness, _ in
                    guard readiness.contains(.readable), keeper.sources.count == 2 else { return }
                    loop.forget(keeper.sources[1 - me])
                    keeper.sources = []
                    let newcomer = Probe { readiness, tag in
                        told.tell("newcomer \(tag) \(readiness.contains(.readable))")
                    }
                    try? loop.register(fds[2], for: newcomer, tag: 9)
                }
            }
            keeper.sources = [clash(0), clash(1)]
            for index in 0..<2 { try loop.register(fds[index], for: keeper.sources[index], tag: UInt8(index)) }
            firstOther.send([1])
            secondOther.send([1])
        }
        // A new stream is writable and nothing else; the event of the forgotten one would say readable.
        #expect(try told.next("event") == "newcomer 9 false")
        try loop.run {}
        #expect(told.count == 0)
        thirdOther.close()
    }

    @Test("lets go of a source that the system refuses to watch")
    func refusedDescriptor() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let observed = try loop.run {
            // epoll watches no plain files.
            let file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
            defer { _ = close(file) }
            let source = Probe { _, _ in }
            #expect(throws: SystemError.self) { try loop.register(file, for: source) }
            #expect(!source.isRegistered)
            return WeakReference(source)
        }
        try eventually("the source is gone") { try loop.run { observed.isGone } }
    }

    @Test("lets go of everything when it stops")
    func stopping() throws {
        let loop = try EventLoop.started()
        let (stream, other) = try TestSocket.pair()
        let parcel = Handed(stream)
        try loop.run {
            let channel = ByteChannel(on: loop, parcel.value.open()!)
            channel.start { _ in }
            loop.schedule(after: .seconds(100)) { _ = channel }
        }
        loop.stop()
        #expect(other.drain().end != .timedOut)
    }
}
