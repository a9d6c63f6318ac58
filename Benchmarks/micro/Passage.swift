import Dispatch
import Glibc
import PeerCore
import PeerReactor
import PeerWire

struct Broken: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// What a visitor's bytes pass, both ends on one loop:
///
///     visitor ── relay's forwarder ══ data channel ══ peer's forwarder ── service
final class Passage {
    let visitor: Outside
    let service: Outside
    private let ended = [Latch(), Latch()]
    private let keys = ChannelKeys()
    private var contexts: [TLSContext] = []

    init(isEncrypted: Bool, on loop: EventLoop? = nil) throws {
        let own = try loop ?? EventLoop()
        if loop == nil { try own.start() }
        let (atRelay, visitor) = try socketPair()
        let (atPeer, service) = try socketPair()
        self.visitor = Outside(visitor)
        self.service = Outside(service)
        let (near, far) = isEncrypted ? try secured(on: own) : try plain()
        let (relayEnded, peerEnded) = (ended[0], ended[1])
        let began = Latch()
        own.execute {
            guard let near = near.open(), let far = far.open() else { return }
            let relay = ClosureForwarder(on: own, left: Stream(Descriptor(atRelay)), right: far) { _, _ in
                relayEnded.open()
            }
            relay.useFrames(on: .right) { _, _ in }
            relay.start(isLeftRegistered: false)
            let peer = ClosureForwarder(on: own, left: near, right: Stream(Descriptor(atPeer))) { _, _ in
                peerEnded.open()
            }
            peer.useFrames(on: .left) { _, _ in }
            peer.start(isLeftRegistered: false)
            began.open()
        }
        try began.wait()
    }

    /// Both ends have said all that they want to say.
    func end() throws {
        visitor.finish()
        service.finish()
        for latch in ended { try latch.wait() }
    }

    private func plain() throws -> (StreamParcel, StreamParcel) {
        let (near, far) = try socketPair()
        return (StreamParcel(Stream(Descriptor(near))), StreamParcel(Stream(Descriptor(far))))
    }

    /// A data channel as peer and relay make it, with the key of a session that never was.
    private func secured(on loop: EventLoop) throws -> (StreamParcel, StreamParcel) {
        guard let secrets = SessionSecrets(export: { label in [UInt8](repeating: UInt8(label.utf8.count), count: 32) })
        else { throw Broken("no secrets") }
        let group = ChannelGroup(session: SessionID(value: 1), number: 0)
        keys.add(secrets.channelKey, for: group.session)
        let (near, far) = try socketPair()
        let roles: [(Int32, TLSHandshake.Role)] = [(far, .server), (near, .data(group, secrets.channelKey))]
        var settled: [Settled] = []
        for (number, (fd, role)) in roles.enumerated() {
            let seed = [UInt8](repeating: UInt8(number), count: NodeIdentity.seedByteCount)
            let context = try TLSContext(seed: seed, keys: keys)
            contexts.append(context)
            let outcome = Settled()
            settled.append(outcome)
            loop.execute {
                let stream = Stream(Descriptor(fd))
                let handshake = TLSHandshake(on: loop, stream, context, as: role, limit: .seconds(60)) { result in
                    if case .secured(let stream, _) = consume result {
                        loop.unregister(stream)
                        outcome.stream = StreamParcel(stream)
                    }
                    outcome.latch.open()
                }
                handshake.start(isRegistered: false)
            }
        }
        for outcome in settled { try outcome.latch.wait() }
        guard let server = settled[0].stream, let client = settled[1].stream else { throw Broken("no TLS connection") }
        return (client, server)
    }

    private final class Settled: @unchecked Sendable {
        // Unchecked: written before the latch opens, read after it.
        var stream: StreamParcel?
        let latch = Latch()
    }
}

/// An end that the benchmark itself drives, by calls that block.
struct Outside: ~Copyable {
    private let fd: Int32
    private let buffer: UnsafeMutableRawBufferPointer

    init(_ fd: Int32) {
        self.fd = fd
        buffer = .allocate(byteCount: 16_384, alignment: 16)
        buffer.initializeMemory(as: UInt8.self, repeating: 7)
        _ = fcntl(fd, F_SETFL, 0)
    }

    deinit {
        close(fd)
        buffer.deallocate()
    }

    /// At most 16 KiB.
    func pass(_ count: Int, to other: borrowing Outside) throws {
        guard send(fd, buffer.baseAddress, count, Int32(MSG_NOSIGNAL)) == count else { throw Broken("send") }
        var missing = count
        while missing > 0 {
            let some = recv(other.fd, other.buffer.baseAddress, missing, 0)
            guard some > 0 else { throw Broken("the passage ended") }
            missing -= some
        }
    }

    func finish() { shutdown(fd, Int32(SHUT_WR)) }
}

/// Opens once.
final class Latch: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func open() { semaphore.signal() }

    func wait() throws {
        guard semaphore.wait(timeout: .now() + 60) == .success else { throw Broken("nothing happened for 60 s") }
    }
}

private func socketPair() throws -> (Int32, Int32) {
    var ends: [Int32] = [0, 0]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0
    else { throw Broken("socketpair: \(String(cString: strerror(errno)))") }
    return (ends[0], ends[1])
}
