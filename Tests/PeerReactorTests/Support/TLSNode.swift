import Glibc
import PeerCore
import PeerWire

@testable import PeerReactor

/// A node as far as TLS knows one. It must live as long as its connections.
final class TLSNode: Sendable {
    let identity: NodeIdentity
    let channelKeys = ChannelKeys()
    let context: TLSContext

    var key: NodeKey { identity.key }

    init(_ number: UInt8) throws {
        let seed = [UInt8](repeating: number, count: NodeIdentity.seedByteCount)
        identity = NodeIdentity(seed: seed)!
        context = try TLSContext(seed: seed, keys: channelKeys)
    }
}

/// What became of a handshake; the stream of a good one stays registered with its loop.
enum Settled: Sendable {
    case secured(TLSHandshake.Facts, StreamParcel)
    case failed(String)

    var facts: TLSHandshake.Facts? { if case .secured(let facts, _) = self { facts } else { nil } }
    var isSecured: Bool { facts != nil }
}

extension EventLoop {
    /// Begins a handshake; what comes of it is told.
    func secure(
        _ stream: StreamParcel, _ node: TLSNode, as role: TLSHandshake.Role, limit: Instant.Span = .seconds(15)
    ) throws -> Awaited<Settled> {
        let settled = Awaited<Settled>()
        try run {
            let handshake = TLSHandshake(on: self, stream.open()!, node.context, as: role, limit: limit) { outcome in
                switch consume outcome {
                case .secured(let stream, let facts): settled.tell(.secured(facts, StreamParcel(stream)))
                case .failed(let failure): settled.tell(.failed(failure.description))
                }
            }
            handshake.start(isRegistered: false)
        }
        return settled
    }

    /// Both ends of one connection, on this loop.
    func secureBoth(
        _ client: TLSNode, as role: TLSHandshake.Role, _ server: TLSNode, through middle: Middle? = nil,
        smallBuffers: Bool = false
    ) throws -> (client: Settled, server: Settled) {
        let (near, far) = try middle?.ends(smallBuffers) ?? StreamParcel.connection(smallBuffers: smallBuffers)
        let atServer = try secure(far, server, as: .server)
        let atClient = try secure(near, client, as: role)
        return (try atClient.next("end at the client"), try atServer.next("end at the server"))
    }
}

extension StreamParcel {
    /// Both ends of a TCP connection as streams.
    static func connection(smallBuffers: Bool = false) throws -> (StreamParcel, StreamParcel) {
        let (stream, other) = try TestSocket.pair(smallBuffers: smallBuffers)
        return (stream, other.asStream())
    }
}

extension TestSocket {
    /// Gives the socket to a stream under test.
    func asStream() -> StreamParcel {
        let own = fcntl(fd, F_DUPFD_CLOEXEC, 0)
        close()
        _ = fcntl(own, F_SETFL, O_NONBLOCK)
        SocketSetup.betweenNodes.apply(to: own)
        return StreamParcel(Stream(Descriptor(own)))
    }
}

extension ChannelKey {
    var bytes: [UInt8] { withUnsafeBytes { Array($0) } }
}
