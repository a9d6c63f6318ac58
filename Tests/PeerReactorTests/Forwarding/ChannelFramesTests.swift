import Glibc
import PeerCore
import PeerWire
import Testing

@testable import PeerReactor

/// One end of a channel that is used again, with a test as the other node.
@Suite("The end of a channel with frames", .serialized)
struct ChannelFramesTests {
    struct End: Sendable {
        let edge: TestSocket
        let other: TestSocket
        let ended = Awaited<String>()
        let back = Awaited<(StreamParcel?, [UInt8])>()
    }

    /// - Parameter isPeer: the channel is on the left.
    func open(on loop: EventLoop, isPeer: Bool, input: [UInt8] = []) throws -> End {
        let (edgeStream, edge) = try TestSocket.pair()
        let (channelStream, other) = try TestSocket.pair()
        let end = End(edge: edge, other: other)
        let channel = try channelStream.registered(on: loop)
        try loop.run {
            let (left, right) = isPeer ? (channel, edgeStream) : (edgeStream, channel)
            let forwarder = ClosureForwarder(on: loop, left: left.open()!, right: right.open()!) { _, how in
                end.ended.tell(Passage.text(how))
            }
            forwarder.useFrames(on: isPeer ? .left : .right, input: input) { stream, rest in
                end.back.tell((StreamParcel.of(stream), rest))
            }
            forwarder.start(isLeftRegistered: isPeer, isRightRegistered: !isPeer)
        }
        return end
    }

    func withLoop(_ body: (EventLoop) throws -> Void) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        try body(loop)
    }

    @Test("writes each read as one frame, and the end as a frame")
    func frames() throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: false)
            end.edge.send([1, 2, 3])
            #expect(end.other.receive(exactly: 7) == ChannelFrame.framed([1, 2, 3]))
            end.edge.endWriting()
            #expect(end.other.receive(exactly: 4) == ChannelFrame.end)
            end.other.send(ChannelFrame.framed([9]) + ChannelFrame.end)
            #expect(end.edge.drain().bytes == [9])
            #expect(try end.ended.next("end") == "clean")
            let (channel, rest) = try end.back.next("channel")
            #expect(channel != nil && rest.isEmpty)
        }
    }

    @Test("takes frames however they are cut", arguments: [1, 2, 3, 5, 1_000])
    func cut(_ size: Int) throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: true)
            let pattern = Pattern(seed: 31)
            var frames: [UInt8] = []
            for index in 0..<40 { frames += ChannelFrame.framed(pattern.withBytes(at: index * 25, 25) { Array($0) }) }
            frames += ChannelFrame.end
            for start in stride(from: 0, to: frames.count, by: size) {
                end.other.send(Array(frames[start..<min(start + size, frames.count)]))
                try loop.run {}
            }
            #expect(pattern.read(from: end.edge, chunks: 1...100, seed: 1) == Pattern.Reading(bytes: 1_000))
        }
    }

    @Test("at the peer says that it is ready, with the end or after it", arguments: [true, false])
    func ready(_ isVisitorFirst: Bool) throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: true)
            if isVisitorFirst {
                end.other.send(ChannelFrame.framed([5]) + ChannelFrame.end)
                #expect(end.edge.drain().bytes == [5])
                end.edge.endWriting()
                #expect(end.other.receive(exactly: 8) == ChannelFrame.end + ChannelFrame.ready)
            } else {
                end.edge.endWriting()
                #expect(end.other.receive(exactly: 4) == ChannelFrame.end)
                end.other.send(ChannelFrame.framed([5]) + ChannelFrame.end)
                #expect(end.edge.drain().bytes == [5])
                #expect(end.other.receive(exactly: 4) == ChannelFrame.ready)
            }
            #expect(try end.ended.next("end") == "clean")
            let (channel, rest) = try end.back.next("channel")
            #expect(channel != nil && rest.isEmpty)
        }
    }

    @Test("hands over what came behind the visitor: the peer's word, whole or cut", arguments: [0, 1, 4])
    func behind(_ count: Int) throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: false)
            end.edge.endWriting()
            #expect(end.other.receive(exactly: 4) == ChannelFrame.end)
            end.other.send(ChannelFrame.framed([5]) + ChannelFrame.end + ChannelFrame.ready.prefix(count))
            #expect(end.edge.drain().bytes == [5])
            #expect(try end.ended.next("end") == "clean")
            let (channel, rest) = try end.back.next("channel")
            #expect(channel != nil && rest == Array(ChannelFrame.ready.prefix(count)))
        }
    }

    @Test("walks over what was read before it came")
    func before() throws {
        try withLoop { loop in
            let input = ChannelFrame.framed([1, 2]) + ChannelFrame.framed([3]) + [2, 0]
            let end = try open(on: loop, isPeer: true, input: input)
            end.other.send([0, 1, 4] + ChannelFrame.end)
            #expect(end.edge.drain().bytes == [1, 2, 3, 4])
        }
    }

    @Test(
        "breaks off at a breach, and closes the channel",
        arguments: ["a start", "no kind", "alive", "ready", "FIN", "RST", "raw, then RST"])
    func breach(_ what: String) throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: false)
            end.other.send(ChannelFrame.framed([8]))
            #expect(end.edge.receive(exactly: 1) == [8])
            switch what {
            case "a start": end.other.send(ChannelFrame.header(.start, count: 39))
            case "no kind": end.other.send([0])
            case "alive": end.other.send(ChannelFrame.alive)
            case "ready": end.other.send(ChannelFrame.ready)
            case "FIN": end.other.endWriting()
            case "RST": end.other.reset()
            default:
                end.other.send(ChannelFrame.raw + [3, 3])
                #expect(end.edge.receive(exactly: 2) == [3, 3])
                end.other.reset()
            }
            #expect(end.edge.drain().end == .reset)
            #expect(try end.ended.next("end") == "aborted")
            #expect(try end.back.next("channel").0 == nil)
        }
    }

    @Test("says raw once for bulk, and ends that direction with the connection")
    func raw() throws {
        try withLoop { loop in
            let end = try open(on: loop, isPeer: false)
            let pattern = Pattern(seed: 33)
            let written = inBackground {
                let isSent = pattern.write(8_000_000, to: end.edge, chunks: 70_000...70_000, seed: 1)
                end.edge.endWriting()
                return isSent
            }
            let (bytes, how) = end.other.drain()
            #expect(try written.next("end of writing"))
            #expect(how == .clean)
            var (reader, offset, payload, isRaw) = (ChannelFrameReader(), 0, [UInt8](), false)
            bytes.withUnsafeBytes { bytes in
                walk: while true {
                    switch reader.next(in: bytes, from: &offset) {
                    case .bytes(let range): payload += bytes[range]
                    case .raw:
                        isRaw = true
                        payload += bytes[offset...]
                        break walk
                    default: break walk
                    }
                }
            }
            let isSame =
                payload
                == (0..<8_000_000 / 50_000).flatMap { index in
                    pattern.withBytes(at: index * 50_000, 50_000) { Array($0) }
                }
            #expect(isRaw && isSame)
            end.other.send(ChannelFrame.end)
            #expect(try end.ended.next("end") == "clean")
            #expect(try end.back.next("channel").0 == nil)
        }
    }
}

extension ReadyChannelTests {
    @Test("begins with what was read before", arguments: [0, 1, 2])
    func readBefore(_ count: Int) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (stream, other) = try TestSocket.pair()
        let words = Awaited<[UInt8]?>()
        try loop.run {
            _ = try ReadyChannel(
                on: loop, stream.open()!, isRegistered: false, read: Array([1, 2, 3].prefix(count)),
                expecting: .init(byteCount: 3)
            ) { _, word in words.tell(word) }
        }
        other.send(Array([1, 2, 3].dropFirst(count)))
        #expect(try words.next("word") == [1, 2, 3])
    }
}
