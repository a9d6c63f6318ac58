import PeerCore
import PeerWire
import Testing

@testable import PeerReactor

@Suite(.serialized)
struct TLSHandshakeTests {
    private let loop: EventLoop
    private let relay: TLSNode
    private let peer: TLSNode
    private static let meshKey = MeshKey(bytes: [UInt8](repeating: 3, count: MeshKey.byteCount))!

    init() throws {
        loop = try EventLoop.started()
        relay = try TLSNode(1)
        peer = try TLSNode(2)
    }

    /// Whether the two ends hold the same secrets.
    private func agree(_ one: SessionSecrets?, _ other: SessionSecrets?) throws -> (all: Bool, any: Bool) {
        let (one, other) = (try #require(one), try #require(other))
        let hello = DataChannelHello(
            group: ChannelGroup(session: SessionID(value: 1), number: 0), number: 1, secret: one.plainSecret)
        let same = [
            one.channelKey.bytes == other.channelKey.bytes,
            Self.meshKey.proof(by: .peer, over: one.binding) == Self.meshKey.proof(by: .peer, over: other.binding),
            hello.isProven(by: other.plainSecret),
        ]
        return (!same.contains(false), same.contains(true))
    }

    @Test func `both ends of a session prove their keys and hold the same secrets`() throws {
        defer { loop.stop() }
        let (client, server) = try loop.secureBoth(peer, as: .session, relay)
        let (atPeer, atRelay) = (try #require(client.facts), try #require(server.facts))
        #expect(atPeer.purpose == .session && atRelay.purpose == .session)
        #expect(atPeer.key == relay.key && atRelay.key == peer.key)
        #expect(atPeer.group == nil && atRelay.group == nil)
        #expect(try agree(atPeer.secrets, atRelay.secrets).all)
    }

    @Test func `another connection of the same two nodes has other secrets`() throws {
        defer { loop.stop() }
        let first = try loop.secureBoth(peer, as: .session, relay).client
        let second = try loop.secureBoth(peer, as: .session, relay).client
        #expect(try !agree(first.facts?.secrets, second.facts?.secrets).any)
        let secrets = try #require(first.facts?.secrets)
        #expect(secrets.channelKey.bytes != Self.meshKey.proof(by: .peer, over: secrets.binding))
    }

    @Test func `an HTTP stream knows both keys when both ends have one`() throws {
        defer { loop.stop() }
        let (client, server) = try loop.secureBoth(peer, as: .http, relay)
        #expect(client.facts?.purpose == .http && client.facts?.key == relay.key)
        #expect(server.facts?.purpose == .http && server.facts?.key == peer.key)
        #expect(server.facts?.secrets == nil, "nothing of a session")
    }

    @Test func `a handshake that comes byte by byte succeeds`() throws {
        defer { loop.stop() }
        let (client, server) = try loop.secureBoth(peer, as: .session, relay, through: Middle(piece: 1))
        #expect(client.facts?.key == relay.key && server.facts?.key == peer.key)
    }

    @Test func `a handshake that is cut anywhere leaves the server without a connection`() throws {
        defer { loop.stop() }
        let whole = Middle()
        let (client, server) = try loop.secureBoth(peer, as: .session, relay, through: whole)
        #expect(client.isSecured && server.isSecured)
        let total = whole.count
        #expect(total > 1_000)
        for how in Middle.Cut.allCases {
            for end in Array(stride(from: 1, to: total, by: 61)) + [total - 1] {
                let (client, server) = try loop.secureBoth(
                    peer, as: .session, relay, through: Middle(cutAfter: end, by: how))
                #expect(!server.isSecured, "cut after \(end) of \(total) bytes by \(how)")
                // The client has finished once it sent its last bytes, whether they arrive or not.
                #expect(!client.isSecured || end > whole.toClient.count, "cut after \(end) of \(total) bytes")
            }
        }
    }

    @Test func `silence ends with the limit, at either end and wherever it begins`() throws {
        defer { loop.stop() }
        for (role, word) in [
            (TLSHandshake.Role.server, [UInt8]()), (.server, [0x16, 3, 1]), (.session, []), (.session, [0x16]),
        ] {
            let (stream, other) = try TestSocket.pair()
            other.send(word)
            let settled = try loop.secure(stream, relay, as: role, limit: .milliseconds(150))
            guard case .failed(let reason) = try settled.next("end of a silent handshake", within: 5) else {
                Issue.record("a silent handshake succeeded")
                continue
            }
            #expect(reason.contains("too long"))
            #expect([.clean, .reset].contains(other.drain().end), "the socket is let go of")
        }
    }

    @Test func `a handshake that is given up tells nothing and closes`() throws {
        let (stream, other) = try TestSocket.pair()
        let told = Awaited<Bool>()
        try loop.run { [loop, relay] in
            let handshake = TLSHandshake(on: loop, stream.open()!, relay.context, as: .session, limit: .seconds(15)) {
                outcome in
                told.tell(true)
                _ = consume outcome
            }
            handshake.start(isRegistered: false)
            handshake.cancel()
        }
        let (bytes, end) = other.drain()
        #expect(bytes.isEmpty && end == .reset)
        loop.stop()
        #expect(told.count == 0)
    }

    @Test func `bytes that are no TLS end the handshake`() throws {
        defer { loop.stop() }
        let words: [[UInt8]] = [
            Array("GET / HTTP/1.1\r\n\r\n".utf8), [UInt8](repeating: 0, count: 600),
            [0x16, 3, 1, 0xff, 0xff] + [UInt8](repeating: 1, count: 600),
            [0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
        ]
        for (word, role) in words.flatMap({ word in [(word, TLSHandshake.Role.server), (word, .session)] }) {
            let (stream, other) = try TestSocket.pair()
            let settled = try loop.secure(stream, relay, as: role)
            other.send(word)
            other.endWriting()
            #expect(!(try settled.next("end of garbage").isSecured))
        }
    }
}
