import Glibc
import PeerCore
import PeerWire
import Testing

@testable import PeerReactor

/// TLS reads whole records: what came with the bytes that one owner wanted belongs to the next.
@Suite(.serialized)
struct ReadAheadTests {
    private let loop: EventLoop
    private let relay: TLSNode
    private let peer: TLSNode

    init() throws {
        loop = try EventLoop.started()
        relay = try TLSNode(1)
        peer = try TLSNode(2)
    }

    /// Sends on one end all at once, and waits until the system has it at the other.
    private func send(_ bytes: [UInt8], on stream: StreamParcel, ending: Bool) throws -> StreamParcel {
        try loop.run {
            let end = stream.open()!
            let isSent = end.sendAtOnce(bytes) && (!ending || end.shutdownWrite())
            #expect(isSent)
            return StreamParcel(end)
        }
    }

    @Test(arguments: [false, true])
    func `what came with a channel's word reaches the first bytes and the forwarder after it`(_ isEnding: Bool) throws {
        defer { loop.stop() }
        let channel = try loop.dataChannel(peer, relay)
        let words = Pattern(seed: 3).bytes(12_000)
        let relayEnd = try send(words, on: channel.relay, ending: isEnding)
        let (service, other) = try TestSocket.pair()
        let ended = Awaited<String>()
        let sizes = Awaited<[Int]>()
        try loop.run { [loop] in
            let ready = try ReadyChannel(
                on: loop, channel.peer.open()!, isRegistered: true, expecting: .init(byteCount: 40)
            ) {
                ready, word in
                let stream = ready.takeStream()!
                _ = FirstBytes(
                    on: loop, stream, maximum: 44, limit: .seconds(5), isEnough: { $0.count >= 44 },
                    done: { stream, bytes in
                        sizes.tell([word?.count ?? 0, bytes.count])
                        let forwarder = ClosureForwarder(on: loop, left: stream, right: service.open()!, early: bytes) {
                            _, ending in ended.tell(Passage.text(ending))
                        }
                        forwarder.start(isLeftRegistered: true)
                    })
            }
            _ = ready
        }
        #expect(try sizes.next("first bytes") == [40, 44])
        #expect(other.receive(exactly: words.count - 40) == Array(words[40...]))
        if isEnding {
            #expect(other.drain().end == .clean)
            other.endWriting()
            try loop.run { _ = relayEnd.open()?.shutdownWrite() }
            #expect(try ended.next("end") == "clean")
        }
    }

    @Test func `a forwarder finds what was read before it, though no event tells of it`() throws {
        defer { loop.stop() }
        let channel = try loop.dataChannel(peer, relay)
        let relayEnd = try send(Array("wordrest".utf8), on: channel.relay, ending: false)
        let (service, other) = try TestSocket.pair()
        try loop.run { [loop] in
            _ = try ReadyChannel(on: loop, channel.peer.open()!, isRegistered: true, expecting: .init(byteCount: 4)) {
                ready, _ in
                let forwarder = ClosureForwarder(on: loop, left: ready.takeStream()!, right: service.open()!) { _, _ in
                }
                forwarder.start(isLeftRegistered: true)
            }
        }
        #expect(other.receive(exactly: 4) == Array("rest".utf8))
        _ = relayEnd
    }

    @Test func `a channel on which nothing may come breaks on the first byte`() throws {
        defer { loop.stop() }
        let channel = try loop.dataChannel(peer, relay)
        let words = Awaited<[UInt8]?>()
        try loop.run { [loop] in
            _ = try ReadyChannel(on: loop, channel.relay.open()!, isRegistered: true, expecting: .init(byteCount: 0)) {
                _, word in
                words.tell(word)
            }
        }
        let peerEnd = try send([6], on: channel.peer, ending: false)
        #expect(try words.next("word") == nil)
        _ = peerEnd
    }

    @Test func `a byte channel tells an end from a cut`() throws {
        defer { loop.stop() }
        for isOrderly in [true, false] {
            let channel = try loop.dataChannel(peer, relay)
            let told = Awaited<String>()
            try loop.run { [loop] in
                ByteChannel(on: loop, channel.relay.open()!, isRegistered: true).start { event in
                    switch event {
                    case .received(let bytes): told.tell("received \(bytes.count)")
                    case .closed(let reason): told.tell(reason)
                    }
                }
            }
            try loop.run { [loop] in
                let stream = channel.peer.open()!
                if isOrderly {
                    let other = ByteChannel(on: loop, stream, isRegistered: true)
                    other.start { _ in }
                    other.send([1, 2, 3])
                    other.closeAfterFlush()
                } else {
                    let isSent = stream.sendAtOnce([1, 2, 3])
                    #expect(isSent)
                    // The socket ends without a word of TLS.
                    stream.closeOrderly()
                }
            }
            #expect(try told.next("bytes") == "received 3")
            #expect(try (told.next("end") == "the connection was closed") == isOrderly)
        }
    }

    @Test func `what moves to another loop brings along what was read ahead`() throws {
        let lane = try EventLoop.started()
        defer {
            loop.stop()
            lane.stop()
        }
        let channel = try loop.dataChannel(peer, relay)
        let relayEnd = try send(Array("wordrest".utf8), on: channel.relay, ending: false)
        let taken = Awaited<StreamParcel>()
        try loop.run { [loop] in
            _ = try ReadyChannel(on: loop, channel.peer.open()!, isRegistered: true, expecting: .init(byteCount: 4)) {
                ready, _ in
                taken.tell(StreamParcel(ready.takeStream()))
            }
        }
        let moved = try taken.next("word").leaving(loop)
        let words = Awaited<[UInt8]?>()
        try lane.run {
            _ = try ReadyChannel(on: lane, moved.open()!, isRegistered: false, expecting: .init(byteCount: 4)) {
                _, word in
                words.tell(word)
            }
        }
        #expect(try words.next("word") == Array("rest".utf8))
        _ = relayEnd
    }
}
