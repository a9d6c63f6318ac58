import Glibc
import PeerCore
import Testing

@testable import PeerReactor

@Suite("A ready channel", .serialized)
struct ReadyChannelTests {
    private func open(
        on loop: EventLoop, expecting expected: Int, isPossible: @escaping @Sendable ([UInt8]) -> Bool = { _ in true },
        limit: Instant.Span = .seconds(5)
    ) throws -> (other: TestSocket, channel: LoopBound<ReadyChannel>, words: Awaited<[UInt8]?>) {
        let (stream, other) = try TestSocket.pair()
        let parcel = Handed(stream)
        let words = Awaited<[UInt8]?>()
        let channel = try loop.run {
            let channel = try ReadyChannel(
                on: loop, parcel.value.open()!, isRegistered: false,
                expecting: .init(byteCount: expected, mayBegin: isPossible)
            ) { _, word in words.tell(word) }
            channel.limit = limit
            return LoopBound(channel, on: loop)
        }
        return (other, channel, words)
    }

    @Test("hands over the first word when it is complete, and not a byte more")
    func word() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (other, channel, words) = try open(on: loop, expecting: 3)
        other.send([1])
        try loop.run {}
        other.send([2])
        try loop.run {}
        #expect(words.count == 0)
        other.send([3, 4, 5])
        #expect(try words.next("word") == [1, 2, 3])
        try loop.run {
            guard case .bytes(let count)? = channel.value.takeStream()?.read(into: loop.buffer) else {
                throw SystemError("read")
            }
            #expect(Array(loop.buffer[..<count]) == [4, 5])
        }
    }

    @Test("says that it broke", arguments: ["end", "reset", "half a word"])
    func broke(_ how: String) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (other, _, words) = try open(on: loop, expecting: 3)
        if how == "half a word" { other.send([1]) }
        if how == "reset" { other.reset() } else { other.close() }
        #expect(try words.next("word") == nil)
    }

    @Test("judges the word as it comes: one that cannot become any ends it at once")
    func wrongBegin() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (other, _, words) = try open(
            on: loop, expecting: 43, isPossible: { [1, 2, 3, 4].starts(with: $0.prefix(4)) })
        other.send([1, 2])
        try loop.run {}
        #expect(words.count == 0)
        other.send([9])
        #expect(try words.next("word") == nil)
        #expect(other.drain().end == .reset)
    }

    @Test("has a limit of time from the first byte of the word on, and none before")
    func slowWord() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (other, _, words) = try open(on: loop, expecting: 3, limit: .milliseconds(100))
        let later = Awaited<Bool>()
        try loop.run { _ = loop.schedule(after: .milliseconds(300)) { later.tell(true) } }
        #expect(try later.next("later") && words.count == 0)
        other.send([1])
        #expect(try words.next("word") == nil)
        #expect(other.drain().end == .reset)
    }

    @Test("that expects nothing takes any byte for a breach")
    func unexpected() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (other, _, words) = try open(on: loop, expecting: 0)
        other.send([1])
        #expect(try words.next("word") == nil)
        #expect(other.drain().end == .reset)
    }

    @Test("is fresh at first, then likely alive as long as the other end's system answers")
    func liveness() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (other, channel, words) = try open(on: loop, expecting: 0)
        #expect(try loop.run { channel.value.liveness } == .fresh)
        let later = Awaited<ReadyChannel.Liveness>()
        try loop.run { _ = loop.schedule(after: .milliseconds(1_010)) { later.tell(channel.value.liveness) } }
        #expect(try later.next("liveness") == .likely)
        other.close()
        #expect(try words.next("end") == nil)
        #expect(try loop.run { channel.value.liveness } == .stale)
    }

    @Test("whose stream was taken tells nothing more")
    func taken() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (other, channel, words) = try open(on: loop, expecting: 3)
        let stream = try loop.run { StreamParcel(channel.value.takeStream()) }
        other.send([1, 2, 3])
        other.close()
        try loop.run {}
        #expect(words.count == 0)
        _ = stream
    }
}
