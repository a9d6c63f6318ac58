import PeerCore
import Testing

@testable import PeerReactor

/// What the other end of a connection may have OpenSSL do without bringing a byte.
@Suite(.serialized)
struct RestlessTLSTests {
    private let loop: EventLoop
    private let node: TLSNode

    init() throws {
        loop = try EventLoop.started()
        node = try TLSNode(1)
    }

    private func settle(
        _ end: ForeignTLS.End
    ) throws -> (other: ForeignTLS, stream: StreamParcel) {
        let (stream, socket) = try TestSocket.pair()
        let settled = try loop.secure(stream, node, as: end == .client ? .server : .http)
        let other = try ForeignTLS(
            end, on: socket, alpn: end == .client ? ["http/1.1"] : [], certificate: end == .client ? nil : .ed25519())
        #expect(other.handshake())
        guard case .secured(_, let own) = try settled.next("the end of the handshake") else {
            throw TimedOut(description: "no TLS connection")
        }
        return (other, own)
    }

    /// What a channel on it is told: how many bytes, or why it ended.
    private func listen(_ stream: StreamParcel) throws -> Awaited<Int?> {
        let told = Awaited<Int?>()
        try loop.run { [loop] in
            ByteChannel(on: loop, stream.open()!, isRegistered: true).start { event in
                switch event {
                case .received(let bytes): told.tell(bytes.count)
                case .closed: told.tell(nil)
                }
            }
        }
        return told
    }

    @Test(arguments: [
        (ForeignTLS.End.client, ForeignTLS.Restlessness.keyUpdates), (.server, .keyUpdates), (.server, .tickets),
    ])
    func `forty messages in a row that bring no byte end a connection, and twenty do not`(
        _ end: ForeignTLS.End, _ kind: ForeignTLS.Restlessness
    ) throws {
        defer { loop.stop() }
        let patient = try settle(end)
        let told = try listen(patient.stream)
        for _ in 0..<5 {
            #expect(patient.other.fidget(kind, 20) && patient.other.send([1]))
            #expect(try told.next("a byte") == 1)
        }
        let restless = try settle(end)
        let ended = try listen(restless.stream)
        _ = restless.other.fidget(kind, 40) && restless.other.send([1])
        #expect(try ended.next("the end") == nil)
    }

    @Test func `of small records a channel takes so many at once, and then all others`() throws {
        defer { loop.stop() }
        let (other, stream) = try settle(.client)
        for number in 0..<1_000 { #expect(other.send([UInt8(truncatingIfNeeded: number)])) }
        let told = try listen(stream)
        var count = 0
        while count < 1_000 {
            let some = try #require(try told.next("more bytes"))
            #expect(some <= 64)
            count += some
        }
        #expect(count == 1_000)
    }

    @Test func `a forwarder carries all that comes among such messages`() throws {
        defer { loop.stop() }
        let (other, stream) = try settle(.client)
        let (service, socket) = try TestSocket.pair()
        for number in 0..<200 {
            #expect(other.fidget(.keyUpdates, 10) && other.send([UInt8(truncatingIfNeeded: number)]))
        }
        other.finish()
        try loop.run { [loop] in
            let forwarder = ClosureForwarder(on: loop, left: stream.open()!, right: service.open()!) { _, _ in }
            forwarder.start(isLeftRegistered: true)
        }
        #expect(socket.receive(exactly: 200) == (0..<200).map { UInt8(truncatingIfNeeded: $0) })
        #expect(socket.drain().end == .clean)
    }
}
