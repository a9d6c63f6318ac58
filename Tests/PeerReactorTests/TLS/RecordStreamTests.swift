import CRecords
import Glibc
import PeerCore
import PeerWire
import Testing

@testable import PeerReactor

/// A data channel's records on a socket. That both ends understand each other, `TLSStreamTests` hold; here the other
/// end is OpenSSL, or the test itself.
@Suite(.serialized)
struct RecordStreamTests {
    private let loop: EventLoop

    init() throws { loop = try EventLoop.started() }

    /// A relay's end, with OpenSSL at the peer's.
    private func channel() throws -> (own: StreamParcel, other: ForeignTLS, node: TLSNode) {
        let node = try TLSNode(1)
        let group = ChannelGroup(session: SessionID(value: 7), number: 0)
        let secrets = try #require(SessionSecrets { label in [UInt8](repeating: UInt8(label.utf8.count), count: 32) })
        node.channelKeys.add(secrets.channelKey, for: group.session)
        let (stream, socket) = try TestSocket.pair()
        let settled = try loop.secure(stream, node, as: .server)
        let other = try ForeignTLS(
            .client, on: socket, alpn: ["p2prc-data/1"], certificate: nil, key: (group.bytes, secrets.channelKey.bytes))
        #expect(other.handshake())
        guard case .secured(_, let own) = try settled.next("end at the server") else {
            throw TimedOut(description: "no data channel")
        }
        return (own, other, node)
    }

    /// Sends back what comes, until the end, and ends then.
    private func echo(_ own: StreamParcel) throws -> Awaited<String> {
        let ended = Awaited<String>()
        try loop.run { [loop] in
            let channel = ByteChannel(on: loop, own.open()!, isRegistered: true)
            channel.start { event in
                switch event {
                case .received(let bytes): channel.send(bytes)
                case .closed(let reason): ended.tell(reason)
                }
            }
        }
        return ended
    }

    @Test(arguments: [1, 5_000, 16_384, 16_385, 400_000])
    func `OpenSSL at the other end understands them, and is understood`(_ size: Int) throws {
        defer { loop.stop() }
        let (own, other, node) = try channel()
        let ended = try echo(own)
        let text = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        #expect(other.send(text))
        #expect(other.receive(exactly: size) == text)
        other.finish()
        #expect(try ended.next("end of the echo") == "the connection was closed")
        withExtendedLifetime(node) {}
    }

    @Test func `the other end may change its key at any time, and ask for the same`() throws {
        defer { loop.stop() }
        let (own, other, node) = try channel()
        _ = try echo(own)
        for number in 1...5 as ClosedRange<UInt8> {
            other.updateKey()
            #expect(other.send([number, 1, 2]))
            #expect(other.receive(exactly: 3) == [number, 1, 2])
        }
        withExtendedLifetime(node) {}
    }

    @Test(arguments: [64, 512, 16_384])
    func `padding is left out`(_ block: Int) throws {
        defer { loop.stop() }
        let (own, other, node) = try channel()
        _ = try echo(own)
        other.pad(to: block)
        for size in [1, 2, 63, 64, 65, 3_000] {
            #expect(other.send([UInt8](repeating: 0, count: size)))
            #expect(other.receive(exactly: size) == [UInt8](repeating: 0, count: size))
        }
        withExtendedLifetime(node) {}
    }

    @Test func `the end of what this side sends is said, and reading goes on`() throws {
        defer { loop.stop() }
        let (own, other, node) = try channel()
        let stream = try loop.run {
            let stream = own.open()!
            #expect(stream.sendAtOnce([1, 2, 3]) && stream.shutdownWrite() && stream.shutdownWrite())
            return StreamParcel(stream)
        }
        #expect(other.receive(exactly: 3) == [1, 2, 3])
        #expect(other.isAtEnd)
        #expect(other.send([4, 5]))
        let read = try eventuallyRead(stream, 2)
        #expect(read == [4, 5])
        withExtendedLifetime(node) {}
    }

    private func eventuallyRead(_ parcel: StreamParcel, _ count: Int) throws -> [UInt8] {
        let held = try loop.run { Handed(Held(parcel.open()!)) }
        var bytes: [UInt8] = []
        try eventually("\(count) bytes") { [loop] in
            bytes += try loop.run {
                let room = UnsafeMutableRawBufferPointer(rebasing: loop.buffer[..<count])
                guard case .bytes(let some) = held.value.stream.read(into: room) else { return [] }
                return Array(room[..<some])
            }
            return bytes.count >= count
        }
        return bytes
    }

    private final class Held {
        let stream: Stream
        init(_ stream: consuming Stream) { self.stream = stream }
    }

    // MARK: Two ends without a handshake, on a pair of sockets

    private final class Pair {
        let near: RecordStream
        let far: RecordStream
        let fds: (Int32, Int32)

        init(lifetime: UInt64 = RecordKey.lifetime) throws {
            let secrets = ([UInt8](repeating: 1, count: 32), [UInt8](repeating: 2, count: 32))
            let suite = UInt16(crecords_aes_128_gcm.rawValue)
            near = try #require(RecordStream(suite: suite, own: secrets.0, other: secrets.1, lifetime: lifetime))
            far = try #require(RecordStream(suite: suite, own: secrets.1, other: secrets.0, lifetime: lifetime))
            var ends: [Int32] = [0, 0]
            try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
            fds = (ends[0], ends[1])
        }

        deinit {
            close(fds.0)
            close(fds.1)
        }

        func read(_ room: Int = 70_000) -> (bytes: [UInt8], last: Stream.Outcome) {
            var bytes: [UInt8] = []
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 1)
            defer { buffer.deallocate() }
            while true {
                let outcome = far.read(fds.1, into: buffer)
                guard case .bytes(let count) = outcome else { return (bytes, outcome) }
                bytes += buffer[..<count]
            }
        }
    }

    @Test(arguments: [1, 2, 100, 16_383, 70_000])
    func `whoever reads little at a time gets every byte in order`(_ room: Int) throws {
        defer { loop.stop() }
        let pair = try Pair()
        let pattern = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 13 ^ $0 >> 8) }
        let outcome = pattern.withUnsafeBytes { pair.near.write(pair.fds.0, $0) }
        guard case .bytes(50_000) = outcome else { throw TimedOut(description: "\(outcome)") }
        let read = pair.read(room)
        #expect(read.bytes == pattern)
        guard case .wouldBlock = read.last else { throw TimedOut(description: "\(read.last)") }
        #expect(pair.far.isDrained)
    }

    @Test(arguments: [RecordKey.lifetime, 3])
    func `what the socket does not take is sealed once and goes out later, also under a next key`(_ lifetime: UInt64)
        throws
    {
        defer { loop.stop() }
        let pair = try Pair(lifetime: lifetime)
        var size: Int32 = 20_000
        setsockopt(pair.fds.0, SOL_SOCKET, SO_SNDBUF, &size, 4)
        let pattern = (0..<900_000).map { UInt8(truncatingIfNeeded: $0 &* 13 ^ $0 >> 8) }
        var (sent, got) = (0, [UInt8]())
        while sent < pattern.count {
            switch pattern[sent...].withUnsafeBytes({ pair.near.write(pair.fds.0, $0) }) {
            case .bytes(let count): sent += count
            case .wouldBlock:
                let read = pair.read()
                got += read.bytes
                guard case .wouldBlock = read.last else { throw TimedOut(description: "\(read.last)") }
            case let other: throw TimedOut(description: "\(other)")
            }
        }
        got += pair.read().bytes
        #expect(got == pattern)
    }

    @Test func `who offers fewer bytes than are sealed already has broken the connection`() throws {
        defer { loop.stop() }
        let pair = try Pair()
        var size: Int32 = 20_000
        setsockopt(pair.fds.0, SOL_SOCKET, SO_SNDBUF, &size, 4)
        let text = [UInt8](repeating: 9, count: 65_536)
        var outcome = text.withUnsafeBytes { pair.near.write(pair.fds.0, $0) }
        while case .bytes(let count) = outcome, count == text.count {
            outcome = text.withUnsafeBytes { pair.near.write(pair.fds.0, $0) }
        }
        outcome = [UInt8(1)].withUnsafeBytes { pair.near.write(pair.fds.0, $0) }
        guard case .failed = outcome else { throw TimedOut(description: "\(outcome)") }
    }

    @Test(arguments: ["no record", "too long", "too short", "not sealed", "cut"])
    func `what is no record of the other end ends the connection, after what came before`(_ kind: String) throws {
        defer { loop.stop() }
        let pair = try Pair()
        _ = [UInt8](1...3).withUnsafeBytes { pair.near.write(pair.fds.0, $0) }
        let bytes: [UInt8] =
            switch kind {
            case "no record": Array("GET / HTTP/1.1\r\n".utf8)
            case "too long": [23, 3, 3, 0x41, 0x01] + [UInt8](repeating: 0, count: 100)
            case "too short": [23, 3, 3, 0, 16] + [UInt8](repeating: 0, count: 16)
            case "not sealed": [23, 3, 3, 0, 40] + [UInt8](repeating: 0, count: 40)
            default: [23, 3, 3, 0, 40, 1, 2]
            }
        _ = send(pair.fds.0, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        if kind == "cut" { shutdown(pair.fds.0, Int32(SHUT_WR)) }
        let read = pair.read()
        #expect(read.bytes == [1, 2, 3])
        guard case .failed = read.last else { throw TimedOut(description: "\(read.last)") }
        guard case .failed = pair.read().last else { throw TimedOut(description: "it went on") }
    }

    @Test func `a read opens so many records at most, and the next one goes on`() throws {
        defer { loop.stop() }
        let pair = try Pair()
        let secret = [UInt8](repeating: 1, count: 32)
        guard var key = RecordKey(suite: UInt16(crecords_aes_128_gcm.rawValue), secret: secret, seals: true) else {
            throw TimedOut(description: "no key")
        }
        let size = RecordKey.overhead + 1
        let records = UnsafeMutableRawBufferPointer.allocate(byteCount: 900 * size, alignment: 1)
        defer { records.deallocate() }
        for number in 0..<900 {
            _ = [UInt8(truncatingIfNeeded: number)].withUnsafeBytes {
                key.seal(.bytes, $0, to: records.baseAddress! + number * size)
            }
        }
        #expect(send(pair.fds.0, records.baseAddress, records.count, 0) == records.count)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 70_000, alignment: 1)
        defer { buffer.deallocate() }
        var bytes: [UInt8] = []
        while case .bytes(let count) = pair.far.read(pair.fds.1, into: buffer) {
            #expect(count <= 256)
            bytes += buffer[..<count]
            #expect(bytes.count == 900 || !pair.far.isDrained)
        }
        #expect(pair.far.isDrained)
        #expect(bytes == (0..<900).map { UInt8(truncatingIfNeeded: $0) })
    }

    @Test func `who sends nothing but empty records is cut off`() throws {
        defer { loop.stop() }
        let pair = try Pair()
        let secret = [UInt8](repeating: 1, count: 32)
        guard var key = RecordKey(suite: UInt16(crecords_aes_128_gcm.rawValue), secret: secret, seals: true) else {
            throw TimedOut(description: "no key")
        }
        let record = UnsafeMutableRawBufferPointer.allocate(byteCount: RecordKey.overhead, alignment: 1)
        defer { record.deallocate() }
        for _ in 0..<40 {
            _ = key.seal(.bytes, UnsafeRawBufferPointer(start: nil, count: 0), to: record.baseAddress!)
            _ = send(pair.fds.0, record.baseAddress, record.count, Int32(MSG_NOSIGNAL))
        }
        guard case .failed = pair.read().last else { throw TimedOut(description: "it went on") }
    }
}
