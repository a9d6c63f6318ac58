import PeerCore
import PeerWire
import Testing

@testable import PeerReactor

/// Data channels prove their session with a pre-shared key; both ends see to it that it was used.
@Suite(.serialized)
struct DataChannelTests {
    private let loop: EventLoop
    private let relay: TLSNode
    private let peer: TLSNode
    /// A session's two ends.
    private let atPeer: SessionSecrets
    private let atRelay: SessionSecrets
    private let session = SessionID(value: 0x0102_0304_0506_0708)
    private let group = ChannelGroup(session: SessionID(value: 0x0102_0304_0506_0708), number: 3)

    init() throws {
        loop = try EventLoop.started()
        relay = try TLSNode(1)
        peer = try TLSNode(2)
        let (client, server) = try loop.secureBoth(peer, as: .session, relay)
        atPeer = try #require(client.facts?.secrets)
        atRelay = try #require(server.facts?.secrets)
    }

    @Test func `the key of the session opens a data channel, and both ends know whose it is`() throws {
        defer { loop.stop() }
        relay.channelKeys.add(atRelay.channelKey, for: session)
        for _ in 0..<3 {
            let (client, server) = try loop.secureBoth(peer, as: .data(group, atPeer.channelKey), relay)
            for facts in [try #require(client.facts), try #require(server.facts)] {
                #expect(facts.purpose == .data && facts.group == group)
                #expect(facts.key == nil, "no certificates")
            }
        }
    }

    @Test func `each of many sessions is told from the others`() throws {
        defer { loop.stop() }
        for number in 1...20 as ClosedRange<UInt64> {
            let (client, server) = try loop.secureBoth(peer, as: .session, relay)
            let id = SessionID(value: number << 56 | number)
            relay.channelKeys.add(try #require(server.facts?.secrets).channelKey, for: id)
            let key = try #require(client.facts?.secrets).channelKey
            let group = ChannelGroup(session: id, number: UInt8(number % 4))
            let channel = try loop.secureBoth(peer, as: .data(group, key), relay)
            #expect(channel.server.facts?.group == group && channel.client.facts?.group == group)
        }
    }

    @Test func `a wrong key, an unknown session and a session that is over are refused at both ends`() throws {
        defer { loop.stop() }
        relay.channelKeys.add(atRelay.channelKey, for: session)
        let stranger = try #require(try loop.secureBoth(peer, as: .session, relay).client.facts?.secrets)
        let wrongKey = try loop.secureBoth(peer, as: .data(group, stranger.channelKey), relay)
        #expect(!wrongKey.client.isSecured && !wrongKey.server.isSecured)
        let unknown = try loop.secureBoth(
            peer, as: .data(ChannelGroup(session: SessionID(value: 9), number: 3), atPeer.channelKey), relay)
        #expect(!unknown.client.isSecured && !unknown.server.isSecured)
        relay.channelKeys.remove(session)
        let over = try loop.secureBoth(peer, as: .data(group, atPeer.channelKey), relay)
        #expect(!over.client.isSecured && !over.server.isSecured)
    }

    @Test func `another node that knows the key of no session gets no data channel by its certificate`() throws {
        defer { loop.stop() }
        relay.channelKeys.add(atRelay.channelKey, for: session)
        for alpn in [["p2prc-data/1"], ["h2", "p2prc-data/1"]] {
            let (stream, other) = try TestSocket.pair()
            let settled = try loop.secure(stream, relay, as: .server)
            let client = try ForeignTLS(.client, on: other, alpn: alpn, certificate: .ed25519())
            #expect(!client.handshake())
            #expect(!(try settled.next("end of a channel without a key").isSecured))
        }
    }

    @Test func `a relay that lets the key aside and shows a certificate instead is refused`() throws {
        defer { loop.stop() }
        let (stream, other) = try TestSocket.pair()
        let settled = try loop.secure(stream, peer, as: .data(group, atPeer.channelKey))
        let server = try ForeignTLS(.server, on: other, alpn: [], certificate: .ed25519())
        server.askForCertificate()
        #expect(server.handshake(), "OpenSSL itself has nothing against it")
        #expect(!server.sawCertificate, "there is none to show")
        guard case .failed(let reason) = try settled.next("end at the client") else {
            Issue.record("a data channel without its session's key was taken")
            return
        }
        #expect(reason.contains("not the one that was asked for"))
    }

    @Test func `the key of a session opens nothing but data channels`() throws {
        defer { loop.stop() }
        relay.channelKeys.add(atRelay.channelKey, for: session)
        // Offered with the application protocol of sessions, the key is passed over, and the certificates decide.
        let (stream, other) = try TestSocket.pair()
        let settled = try loop.secure(stream, relay, as: .server)
        let client = try ForeignTLS(
            .client, on: other, alpn: ["p2prc/1"], certificate: nil, key: (group.bytes, atPeer.channelKey.bytes))
        _ = client.handshake()
        #expect(!(try settled.next("end at the server").isSecured))
    }

    /// The first bytes of a client, and all of them, sent once more by somebody who recorded them.
    @Test func `a recorded data channel and a recorded session are worth nothing`() throws {
        defer { loop.stop() }
        relay.channelKeys.add(atRelay.channelKey, for: session)
        for role in [TLSHandshake.Role.data(group, atPeer.channelKey), .session] {
            let record = Middle()
            let (client, server) = try loop.secureBoth(peer, as: role, relay, through: record)
            #expect(client.isSecured && server.isSecured)
            let (stream, other) = try TestSocket.pair()
            let replayed = try loop.secure(stream, relay, as: .server)
            other.send(record.toServer)
            other.endWriting()
            #expect(!(try replayed.next("end of the replay").isSecured))
        }
    }
}
