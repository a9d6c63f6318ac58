import Glibc
import PeerCore
import Testing

@testable import PeerReactor

@Suite("First bytes", .serialized)
struct FirstBytesTests {
    private struct Looked {
        let other: TestSocket
        let bytes = Awaited<[UInt8]>()
        let stream = Awaited<StreamParcel>()
    }

    /// Judges as soon as there are four bytes.
    private func look(on loop: EventLoop, maximum: Int = 8, limit: Instant.Span = .seconds(10)) throws -> Looked {
        let (stream, other) = try TestSocket.pair()
        let looked = Looked(other: other)
        let parcel = Handed(stream)
        try loop.run {
            let stream = parcel.value.open()!
            // The stream comes registered, as `ByteChannel` and `ReadyChannel` give it away.
            let former = Probe { _, _ in }
            try loop.register(stream.fd, for: former)
            loop.forget(former)
            _ = FirstBytes(on: loop, stream, maximum: maximum, limit: limit, isEnough: { $0.count >= 4 }) {
                stream, bytes in
                looked.stream.tell(StreamParcel(stream))
                looked.bytes.tell(bytes)
            }
        }
        return looked
    }

    @Test("are collected until they can be judged, and the rest stays in the stream")
    func enough() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let looked = try look(on: loop)
        for byte in 1...3 as ClosedRange<UInt8> {
            looked.other.send([byte])
            try loop.run {}
        }
        #expect(looked.bytes.count == 0)
        looked.other.send([4])
        #expect(try looked.bytes.next("bytes") == [1, 2, 3, 4])
    }

    @Test("are never more than the maximum")
    func maximum() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let hold = Awaited<Void>()
        let looked = try look(on: loop)
        loop.execute { _ = try? hold.next("go-ahead") }
        looked.other.send([UInt8](repeating: 1, count: 20))
        hold.tell(())
        #expect(try looked.bytes.next("bytes").count <= 8)
        let stream = try looked.stream.next("stream")
        try loop.run {
            guard case .bytes(let count)? = stream.open()?.read(into: loop.buffer) else { throw SystemError("read") }
            #expect(count >= 12)
        }
    }

    @Test("may be none, when the limit has passed or the visitor said all", arguments: [true, false])
    func silent(_ isLimit: Bool) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let looked = try look(on: loop, limit: isLimit ? .milliseconds(30) : .seconds(60))
        if !isLimit {
            looked.other.send([1])
            looked.other.endWriting()
        }
        #expect(try looked.bytes.next("bytes") == (isLimit ? [] : [1]))
        // The stream is whole: it still carries an answer.
        let stream = try looked.stream.next("stream")
        try loop.run { #expect(stream.open()?.sendAtOnce([9]) == true) }
        #expect(looked.other.receive(1) == [9])
    }

    /// Read once, the error is gone from the socket, and what follows looks like an orderly end.
    @Test("of a visitor who broke off are told to nobody, and the stream is broken off as well")
    func broke() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let looked = try look(on: loop, limit: .milliseconds(100))
        looked.other.send([1])
        looked.other.reset()
        let timer = Awaited<Void>()
        try loop.run { _ = loop.schedule(after: .milliseconds(200)) { timer.tell(()) } }
        try timer.next("timer")
        #expect(looked.bytes.count == 0)
    }
}
