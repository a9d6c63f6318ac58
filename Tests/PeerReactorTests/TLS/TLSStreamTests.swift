import CLinux
import Glibc
import PeerCore
import PeerWire
import Testing

@testable import PeerReactor

/// Visitors' bytes through TLS.
@Suite(.serialized)
struct TLSStreamTests {
    private let loop: EventLoop

    init() throws { loop = try EventLoop.started() }

    @Test(arguments: [(1, 1), (70_000, 16_384), (3_000_000, 2_500_000)], [false, true])
    func `every byte arrives both ways at once, and both ends end cleanly`(_ sizes: (Int, Int), _ isMoved: Bool) throws
    {
        let lane = try EventLoop.started()
        defer {
            loop.stop()
            lane.stop()
        }
        let passage = try TLSPassage(on: loop, movingTo: isMoved ? lane : nil)
        try carry(sizes.0, sizes.1, reads: 1...70_000, passage)
    }

    @Test func `slow readers with small buffers get every byte`() throws {
        defer { loop.stop() }
        try carry(900_000, 700_000, reads: 1...3_000, try TLSPassage(on: loop, smallBuffers: true))
    }

    @Test func `records that come in crumbs are put together`() throws {
        defer { loop.stop() }
        try carry(60_000, 50_000, reads: 1...70_000, try TLSPassage(on: loop, through: Middle(piece: 7)))
    }

    private func carry(_ toService: Int, _ toVisitor: Int, reads: ClosedRange<Int>, _ passage: TLSPassage) throws {
        let (question, answer) = (Pattern(seed: 21), Pattern(seed: 22))
        let written = inBackground {
            let isSent = question.write(toService, to: passage.visitor, chunks: 1...70_000, seed: 1)
            passage.visitor.endWriting()
            return isSent
        }
        let answered = inBackground {
            let isSent = answer.write(toVisitor, to: passage.service, chunks: 1...70_000, seed: 2)
            passage.service.endWriting()
            return isSent
        }
        let atService = inBackground { question.read(from: passage.service, chunks: reads, seed: 3) }
        let atVisitor = inBackground { answer.read(from: passage.visitor, chunks: reads, seed: 4) }
        #expect(try written.next("end of the question"))
        #expect(try answered.next("end of the answer"))
        #expect(try atService.next("end at the service") == Pattern.Reading(bytes: toService))
        #expect(try atVisitor.next("end at the visitor") == Pattern.Reading(bytes: toVisitor))
        #expect(try passage.relayEnded.next("end at the relay") == "clean")
        #expect(try passage.peerEnded.next("end at the peer") == "clean")
    }

    @Test(arguments: [true, false], [100, 1_000_000])
    func `one direction stays open after the other has ended`(_ isVisitorFirst: Bool, _ size: Int) throws {
        defer { loop.stop() }
        let passage = try TLSPassage(on: loop)
        let (first, second) =
            isVisitorFirst ? (passage.visitor, passage.service) : (passage.service, passage.visitor)
        let pattern = Pattern(seed: 5)
        let question = inBackground { pattern.read(from: second, chunks: 1...50_000, seed: 1) }
        #expect(pattern.write(size, to: first, chunks: 1...50_000, seed: 2))
        first.endWriting()
        #expect(try question.next("question") == Pattern.Reading(bytes: size))
        let answer = inBackground { pattern.read(from: first, chunks: 1...50_000, seed: 3) }
        #expect(pattern.write(size, to: second, chunks: 1...50_000, seed: 4))
        #expect(passage.relayEnded.count == 0 && passage.peerEnded.count == 0)
        second.endWriting()
        #expect(try answer.next("answer") == Pattern.Reading(bytes: size))
        #expect(try passage.relayEnded.next("end at the relay") == "clean")
        #expect(try passage.peerEnded.next("end at the peer") == "clean")
    }

    @Test(arguments: [true, false], ["at rest", "after bytes", "half closed"])
    func `a reset is carried through as a reset`(_ isVisitorFirst: Bool, _ moment: String) throws {
        defer { loop.stop() }
        let passage = try TLSPassage(on: loop)
        let (first, second) =
            isVisitorFirst ? (passage.visitor, passage.service) : (passage.service, passage.visitor)
        if moment == "after bytes" {
            first.send([1, 2, 3])
            #expect(second.receive(exactly: 3) == [1, 2, 3])
        }
        if moment == "half closed" {
            first.endWriting()
            #expect(second.receive(1) == [])
        }
        first.reset()
        #expect(try passage.relayEnded.next("end at the relay") == "aborted")
        #expect(try passage.peerEnded.next("end at the peer") == "aborted")
        #expect((second.send([9]) ? second.drain().end : .reset) == .reset)
    }

    /// Whoever is on the way can end a TCP connection in an orderly manner; that must not look like the end of the
    /// data.
    @Test(arguments: Middle.Cut.allCases, [true, false])
    func `a connection that is cut on the way is a failure at both ends, never an end`(
        _ how: Middle.Cut, _ isAtRest: Bool
    ) throws {
        defer { loop.stop() }
        let middle = Middle(by: how)
        let passage = try TLSPassage(on: loop, through: middle)
        let pattern = Pattern(seed: 7)
        passage.visitor.send([1, 2, 3])
        #expect(passage.service.receive(exactly: 3) == [1, 2, 3])
        let writing =
            isAtRest
            ? nil
            : inBackground {
                pattern.write(1 << 30, to: passage.service, chunks: 70_000...70_000, seed: 1)
            }
        if !isAtRest { #expect(passage.visitor.receive(exactly: 500_000).count == 500_000) }
        // Who reads nothing more would hold the relay up before it comes to the cut.
        let reading = inBackground { passage.visitor.drain().end == .reset }
        middle.cut()
        #expect(try passage.relayEnded.next("end at the relay") == "aborted")
        #expect(try passage.peerEnded.next("end at the peer") == "aborted")
        #expect(try reading.next("end of reading"))
        if let writing {
            #expect(try !writing.next("end of writing"))
        } else {
            #expect(passage.service.drain().end == .reset)
        }
    }

    /// A data channel whose middle is the test itself: one socket to each end.
    private struct SplitChannel {
        let peer: StreamParcel
        let relay: StreamParcel
        let atPeer: TestSocket
        let atRelay: TestSocket

        init(on loop: EventLoop) throws {
            let (relay, peer) = (try TLSNode(1), try TLSNode(2))
            let session = SessionID(value: 5)
            let secrets = try loop.secureBoth(peer, as: .session, relay)
            relay.channelKeys.add(try #require(secrets.server.facts?.secrets).channelKey, for: session)
            let key = try #require(secrets.client.facts?.secrets).channelKey
            let (near, atPeer) = try TestSocket.pair()
            let (far, atRelay) = try TestSocket.pair()
            let client = try loop.secure(near, peer, as: .data(ChannelGroup(session: session, number: 0), key))
            let server = try loop.secure(far, relay, as: .server)
            atRelay.send(atPeer.receive(16_384))
            atPeer.send(atRelay.receive(16_384))
            atRelay.send(atPeer.receive(16_384))
            guard case .secured(_, let stream) = try client.next("client"),
                case .secured(_, let other) = try server.next("server")
            else { throw TimedOut(description: "no data channel") }
            (self.peer, self.relay, self.atPeer, self.atRelay) = (stream, other, atPeer, atRelay)
        }
    }

    /// The event that told of the end told of the bytes as well, and there is no other.
    @Test func `a part of a record with the end of the connection behind it is a failure at once`() throws {
        defer { loop.stop() }
        let channel = try SplitChannel(on: loop)
        #expect(try loop.run { channel.peer.open()!.sendAtOnce([1, 2, 3]) })
        channel.atRelay.send(Array(channel.atPeer.receive(16_384).dropLast()))
        channel.atRelay.endWriting()
        let told = try loop.run { [loop] in
            switch channel.relay.open()!.read(into: loop.buffer) {
            case .failed: "failed"
            case .wouldBlock: "waits"
            case .bytes, .end: "goes on"
            }
        }
        #expect(told == "failed")
    }

    @Test func `a record that was changed on the way breaks the connection, and nothing of it arrives`() throws {
        defer { loop.stop() }
        let split = try SplitChannel(on: loop)
        let told = Awaited<String>()
        try loop.run { [loop] in
            let channel = ByteChannel(on: loop, split.relay.open()!, isRegistered: true)
            channel.start { event in
                switch event {
                case .received(let bytes): told.tell("received \(bytes.count)")
                case .closed(let reason): told.tell("closed: \(reason)")
                }
            }
        }
        #expect(try loop.run { split.peer.open()!.sendAtOnce([1, 2, 3]) })
        var record = split.atPeer.receive(16_384)
        record[record.count - 1] ^= 1
        split.atRelay.send(record)
        let first = try told.next("end of the channel")
        #expect(first.hasPrefix("closed") && !first.contains("was closed"), "\(first)")
    }

    /// The event that told of them may be over; nobody asks again after a stream said that it is drained.
    @Test func `bytes that came while some were still to be handed out are not overlooked`() throws {
        defer { loop.stop() }
        let (relay, peer) = (try TLSNode(1), try TLSNode(2))
        let channel = try loop.dataChannel(peer, relay)
        try loop.run { [loop] in
            let reader = channel.relay.open()!
            let writer = channel.peer.open()!
            let isFirstSent = writer.sendAtOnce([UInt8](repeating: 1, count: 10_000))
            var taken = 0
            if case .bytes(let count) = reader.read(
                into: UnsafeMutableRawBufferPointer(rebasing: loop.buffer[..<1_000]))
            {
                taken += count
            }
            let isSecondSent = writer.sendAtOnce([2, 2, 2])
            #expect(isFirstSent && isSecondSent)
            repeat {
                guard case .bytes(let count) = reader.read(into: loop.buffer) else { break }
                taken += count
            } while !reader.isDrained
            #expect(taken == 10_003)
        }
    }

    @Test func `a reader that stands still stops the writer, with bounded memory on the way`() throws {
        defer { loop.stop() }
        let passage = try TLSPassage(on: loop, smallBuffers: true)
        let pattern = Pattern(seed: 9)
        let written = inBackground { pattern.write(40_000_000, to: passage.visitor, chunks: 70_000...70_000, seed: 1) }
        var last: UInt64 = .max
        try eventually("the flow stands still") {
            let now = try passage.bytesFromVisitor
            defer { last = now }
            usleep(50_000)
            return now > 0 && now == last
        }
        // Three small socket buffers, and a spill of one buffer at each end.
        #expect(try passage.bytesFromVisitor < 1_000_000)
        #expect(written.count == 0)
        let rest = inBackground { pattern.read(from: passage.service, chunks: 70_000...70_000, seed: 1).wrongAt }
        passage.visitor.reset()
        #expect(try rest.next("end of reading") == nil)
        _ = try written.next("end of writing")
    }
}
