import Glibc
import PeerCore
import PeerWire
import Testing

@testable import PeerReactor

@Suite("A visitor whose channel may be dead", .serialized)
struct PendingVisitorTests {
    static let announcement: [UInt8] = [0xa1, 0xa2, 0xa3]

    private final class Waiting: Sendable {
        let loop: EventLoop
        let visitor: TestSocket
        let needs = Awaited<Void>()
        /// "answered" or "failed".
        let outcome = Awaited<String>()
        let ended = Awaited<String>()
        let pending: LoopBound<PendingVisitor>

        /// When a channel answers, a forwarder takes over, as at a relay.
        init(on loop: EventLoop) throws {
            self.loop = loop
            let (stream, visitor) = try TestSocket.pair()
            self.visitor = visitor
            let parcel = Handed(stream)
            let (needs, outcome, ended) = (needs, outcome, ended)
            pending = try loop.run {
                let pending = PendingVisitor(
                    on: loop, visitor: parcel.value.open()!, announcement: announcement,
                    onNeed: { needs.tell(()) },
                    onSettled: { result in
                        switch consume result {
                        case .answered(let visitor, let channel, let unsent):
                            outcome.tell("answered")
                            let forwarder = ClosureForwarder(on: loop, left: visitor, right: channel, early: unsent) {
                                _, ending in ended.tell(Passage.text(ending))
                            }
                            forwarder.useFrames(on: .right) { _, _ in }
                            forwarder.start(isLeftRegistered: true, isRightRegistered: true)
                        case .failed: outcome.tell("failed")
                        }
                    })
                pending.start()
                return LoopBound(pending, on: loop)
            }
        }

        /// One more channel; the peer's end of it is returned.
        func add(smallBuffers: Bool = false) throws -> TestSocket {
            let (stream, other) = try TestSocket.pair(smallBuffers: smallBuffers)
            let parcel = Handed(stream)
            try loop.run { [self] in
                // It comes registered, as `ReadyChannel` gives it away.
                let stream = parcel.value.open()!
                let former = Probe { _, _ in }
                try loop.register(stream.fd, for: former)
                loop.forget(former)
                pending.value.add(stream)
            }
            return other
        }
    }

    @Test("goes over the first channel that answers, whatever pieces the answer comes in")
    func first() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let waiting = try Waiting(on: loop)
        let wrong = try waiting.add()
        waiting.visitor.send([1, 2])
        let opening = Self.announcement + ChannelFrame.framed([1, 2])
        #expect(wrong.receive(exactly: opening.count) == opening)
        wrong.send([ChannelFrame.Kind.alive.rawValue, 1])
        try waiting.needs.next("need of another channel")
        let peer = try waiting.add()
        #expect(peer.receive(exactly: opening.count) == opening)
        for byte in ChannelFrame.alive {
            peer.send([byte])
            try loop.run {}
        }
        #expect(try waiting.outcome.next("outcome") == "answered")
        peer.send(ChannelFrame.framed([7]))
        #expect(waiting.visitor.receive(exactly: 1) == [7])
        waiting.visitor.send([3])
        waiting.visitor.endWriting()
        #expect(peer.receive(exactly: 9) == ChannelFrame.framed([3]) + ChannelFrame.end)
        peer.send(ChannelFrame.end)
        #expect(waiting.visitor.drain().end == .clean)
        #expect(try waiting.ended.next("end") == "clean")
    }

    @Test("tries a second channel when the first is silent, and each gets each byte once")
    func second() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let waiting = try Waiting(on: loop)
        let silent = try waiting.add()
        let pattern = Pattern(seed: 1)
        waiting.visitor.send(pattern.bytes(1_000))
        let opening = Self.announcement + ChannelFrame.framed(pattern.bytes(1_000))
        #expect(silent.receive(exactly: opening.count) == opening)
        try waiting.needs.next("need of a second channel")
        let second = try waiting.add()
        #expect(second.receive(exactly: opening.count) == opening)
        waiting.visitor.send(pattern.withBytes(at: 1_000, 500) { Array($0) })
        second.send(ChannelFrame.alive)
        #expect(try waiting.outcome.next("outcome") == "answered")
        waiting.visitor.send(pattern.withBytes(at: 1_500, 500) { Array($0) })
        waiting.visitor.endWriting()
        #expect(second.receiveVisitor() == pattern.withBytes(at: 1_000, 1_000) { Array($0) })
        #expect(silent.drain().end == .reset)
    }

    @Test("asks again and again while there is no channel for it, and takes the one that comes")
    func asksAgain() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let waiting = try Waiting(on: loop)
        let dead = try waiting.add()
        for _ in 0..<3 { try waiting.needs.next("need of a channel") }
        let alive = try waiting.add()
        alive.send(ChannelFrame.alive)
        #expect(try waiting.outcome.next("outcome") == "answered")
        #expect(dead.drain().end == .reset)
    }

    @Test("asks for another channel at once when one breaks", arguments: ["end", "reset", "nonsense"])
    func breaks(_ how: String) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let waiting = try Waiting(on: loop)
        let first = try waiting.add()
        switch how {
        case "end": first.close()
        case "reset": first.reset()
        default: first.send([ChannelFrame.Kind.ready.rawValue])
        }
        let seconds = try duration { try waiting.needs.next("need of another channel") }
        #expect(seconds < 0.35)
        let second = try waiting.add()
        second.send(ChannelFrame.alive)
        #expect(try waiting.outcome.next("outcome") == "answered")
    }

    @Test("fails when every channel breaks, and is reset")
    func allFail() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let waiting = try Waiting(on: loop)
        for round in 0..<4 {
            let peer = try waiting.add()
            peer.reset()
            if round < 3 { try waiting.needs.next("need of another channel") }
        }
        #expect(try waiting.outcome.next("outcome") == "failed")
        #expect(waiting.visitor.drain().end == .reset)
        #expect(waiting.needs.count == 0)
    }

    @Test("stops asking when as many channels as may be were tried, and waits for them")
    func notEndless() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let waiting = try Waiting(on: loop)
        let peers = try (0..<4).map { _ in try waiting.add() }
        let timer = Awaited<Void>()
        try loop.run { _ = loop.schedule(after: .milliseconds(900)) { timer.tell(()) } }
        try timer.next("timer")
        #expect(waiting.needs.count == 0)
        peers[2].send(ChannelFrame.alive)
        #expect(try waiting.outcome.next("outcome") == "answered")
    }

    @Test("loses no byte, however much comes before the answer", arguments: [100, 16_384, 16_387, 500_000])
    func manyEarlyBytes(_ size: Int) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let waiting = try Waiting(on: loop)
        let peer = try waiting.add(smallBuffers: true)
        let pattern = Pattern(seed: 2)
        let written = inBackground {
            let isSent = pattern.write(size, to: waiting.visitor, chunks: 1...30_000, seed: 1)
            waiting.visitor.endWriting()
            return isSent
        }
        #expect(peer.receive(exactly: 3) == Self.announcement)
        peer.send(ChannelFrame.alive)
        let isWhole = peer.receiveVisitor() == pattern.bytes(size)
        #expect(isWhole)
        #expect(try written.next("end of writing"))
    }

    @Test("that ends its direction while it waits still gets its answer")
    func halfClosed() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let waiting = try Waiting(on: loop)
        waiting.visitor.send([1])
        waiting.visitor.endWriting()
        let peer = try waiting.add()
        let opening = Self.announcement + ChannelFrame.framed([1])
        #expect(peer.receive(exactly: opening.count) == opening)
        peer.send(ChannelFrame.alive)
        #expect(peer.receiveVisitor() == [])
        peer.send(ChannelFrame.framed([8]) + ChannelFrame.end)
        #expect(waiting.visitor.drain().bytes == [8])
    }

    @Test("that breaks off while it waits takes its channels with it")
    func visitorBreaks() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let waiting = try Waiting(on: loop)
        let peer = try waiting.add()
        waiting.visitor.send([1])
        #expect(peer.receive(exactly: 8).count == 8)
        waiting.visitor.reset()
        #expect(try waiting.outcome.next("outcome") == "failed")
        #expect(peer.drain().end == .reset)
    }

    @Test("is let go of when it is settled", arguments: [true, false])
    func leavesNothing(_ isAnswered: Bool) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        var waiting: Waiting? = try Waiting(on: loop)
        let observed = try loop.run { [waiting] in WeakReference(waiting!.pending.value) }
        let peer = try #require(try waiting?.add())
        if isAnswered { peer.send(ChannelFrame.alive) } else { waiting?.visitor.reset() }
        #expect(try waiting?.outcome.next("outcome") == (isAnswered ? "answered" : "failed"))
        waiting = nil
        try eventually("it is gone") { try loop.run { observed.isGone } }
    }
}

extension TestSocket {
    /// Reads frames to the visitor's end, and not beyond it; what he sent.
    fileprivate func receiveVisitor() -> [UInt8] {
        var payload: [UInt8] = []
        while true {
            let header = receive(exactly: ChannelFrame.headerByteCount)
            // Bulk over plaintext: the rest of it comes without frames.
            if header == ChannelFrame.raw { return payload + drain().bytes }
            guard header.first == ChannelFrame.Kind.bytes.rawValue else { return payload }
            payload += receive(exactly: header.dropFirst().reduce(0) { $0 << 8 | Int($1) })
        }
    }
}
