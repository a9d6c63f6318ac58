import Foundation
import PeerMesh
import PeerReactor
import PeerWire
import Synchronization
import TestSupport

/// A member of the mesh, with a session as good as any, that says what a test wants it to say, as fast as it goes.
/// Whatever the relay answers is read and let go of.
final class RudePeer: @unchecked Sendable {
    // Unchecked: what is no constant belongs to the loop's thread, but `told`.

    private struct Told {
        var isWelcome = false
        var failure: String?
        /// Frames that the relay sent, by type.
        var answers: [UInt8: Int] = [:]
        /// Bytes that were given to the system, or wait for it.
        var sent = 0
    }

    private static let meshKey = MeshKey(bytes: [UInt8](repeating: 0x5e, count: MeshKey.byteCount))!
    /// Bytes that wait here to be sent, as long as a flood lasts.
    private static let ahead = 262_144

    private let loop: EventLoop
    private let tls: TLSContext
    private let keys = ChannelKeys()
    private let told = Mutex(Told())
    private var connector: Connector?
    private var securing: TLSHandshake?
    private var handshake: PeerHandshake?
    private var channel: ByteChannel?
    private var decoder = FrameDecoder()

    /// - Parameter number: which key it has.
    init(_ number: UInt8) throws {
        tls = try TLSContext(seed: [UInt8](repeating: number, count: NodeIdentity.seedByteCount), keys: keys)
        loop = try EventLoop()
        try loop.start()
    }

    func stop() { loop.stop() }

    var failure: String? { told.withLock { $0.failure } }
    var sent: Int { told.withLock { $0.sent } }
    func answers(_ message: Message) -> Int { told.withLock { $0.answers[message.frame.type] ?? 0 } }

    /// Returns when the relay at this port of this machine has let it in.
    func join(_ port: Int) async throws {
        let address = SocketAddress(numeric: "127.0.0.1", port: UInt16(port))!
        loop.execute { [self] in
            connector = Connector(on: loop, to: [address], kind: .betweenNodes, limit: .seconds(5)) {
                [self] stream, error in
                guard let stream = consume stream else { return fail("\(error)") }
                secure(stream)
            }
        }
        try await eventually("the rude peer is let in", within: .seconds(15)) {
            if let failure { throw Failure("the rude peer: \(failure)") }
            return told.withLock { $0.isWelcome }
        }
    }

    private func fail(_ reason: String) { told.withLock { $0.failure = reason } }

    private func secure(_ stream: consuming PeerReactor.Stream) {
        securing = TLSHandshake(on: loop, stream, tls, as: .session, limit: .seconds(5)) { [self] outcome in
            switch consume outcome {
            case .failed(let failure): fail("\(failure)")
            case .secured(let stream, let facts): open(stream, facts)
            }
        }
        securing?.start(isRegistered: false)
    }

    private func open(_ stream: consuming PeerReactor.Stream, _ facts: TLSHandshake.Facts) {
        guard let key = facts.key, let secrets = facts.secrets else { return fail("no key") }
        let introduction = Message.Introduction(
            instance: ProcessInstance(bytes: [UInt8](repeating: 7, count: ProcessInstance.byteCount))!, name: "rude",
            dialled: "127.0.0.1", software: "rude", wantsPlain: false, began: 1)
        let handshake = PeerHandshake(
            with: key, secrets: secrets, credentials: PeerHandshake.Credentials(meshKeys: [Self.meshKey]),
            introduction: introduction)
        self.handshake = handshake
        let channel = ByteChannel(on: loop, stream, isRegistered: true)
        self.channel = channel
        channel.start { [weak self] event in
            switch event {
            case .received(let bytes): self?.received(bytes)
            case .closed(let reason): self?.fail("closed: \(reason)")
            }
        }
        channel.send(handshake.opening)
    }

    private func received(_ bytes: [UInt8]) {
        decoder.append(bytes)
        while let frame = try? decoder.next() {
            guard !told.withLock({ $0.isWelcome }) else {
                told.withLock { $0.answers[frame.type, default: 0] += 1 }
                continue
            }
            switch handshake?.received(frame) {
            case .send(let bytes): channel?.send(bytes)
            case .established: told.withLock { $0.isWelcome = true }
            case .failed(let failure): fail("\(failure)")
            case nil: break
            }
        }
    }

    /// Says these words over and over for so long, and never waits for an answer.
    func flood(_ words: [Message], for span: Duration) {
        let round = words.flatMap(\.bytes)
        let batch = (0...16_384 / round.count).flatMap { _ in round }
        let end = EventLoop.clock() + .milliseconds(UInt64(span / .milliseconds(1)))
        loop.execute { [self] in pump(batch, until: end) }
    }

    private func pump(_ batch: [UInt8], until end: Instant) {
        guard EventLoop.clock() < end, failure == nil, let channel else { return }
        for _ in 0..<64 where channel.queuedByteCount < Self.ahead {
            channel.send(batch)
            told.withLock { $0.sent += batch.count }
        }
        loop.schedule(after: .milliseconds(1)) { [weak self] in self?.pump(batch, until: end) }
    }
}
