import PeerCore
import PeerProbing
import PeerReactor
import PeerWire

/// Another node, as far as its TLS goes; what it answers is the test's. It must live as long as its connections.
final class OtherNode: @unchecked Sendable {
    // Unchecked: all that changes belongs to the loop.
    enum Manner {
        case says(String)
        /// These bytes again and again, so far apart; the first comes at once.
        case drips(String, every: Instant.Span)
        case neverStops
        case isSilent
        /// Takes the connection and says nothing, not even in TLS.
        case isDead
    }

    let key: NodeKey
    private let loop: EventLoop
    private let context: TLSContext
    private let keys = ChannelKeys()
    private let listener: Listener
    private let manner: Manner
    private var handshakes: [TLSHandshake] = []
    private var channels: [ByteChannel] = []
    private var silent: [FirstByte] = []
    private var seen: [String] = []
    private var callers: [NodeKey?] = []
    private var failed = 0

    init(_ number: UInt8, on loop: EventLoop, _ manner: Manner) throws {
        let seed = [UInt8](repeating: number, count: NodeIdentity.seedByteCount)
        key = NodeIdentity(seed: seed)!.key
        self.loop = loop
        self.manner = manner
        context = try TLSContext(seed: seed, keys: keys)
        listener = try Listener.hold(port: 0, on: .ipv4([127, 0, 0, 1]), .betweenNodes)
        try listener.listen()
        try loop.run { [self] in try listener.accept(on: loop) { [unowned self] stream, _ in self.admit(stream) } }
    }

    var port: UInt16 { listener.address.port }

    func request(
        _ key: NodeKey?, body: [UInt8]? = nil, isAlone: Bool = false, limits: NodeRequest.Limits = .init()
    ) -> NodeRequest {
        var request = NodeRequest(
            host: "127.0.0.1", port: port, key: key, path: "/v1/mesh", body: body, limits: limits)
        request.isAlone = isAlone
        return request
    }

    /// Requests as they came, and the keys of those who sent them; handshakes that came to nothing.
    func told() throws -> (requests: [String], callers: [NodeKey?], failed: Int) {
        try loop.run { [self] in (seen, callers, failed) }
    }

    func close() throws {
        try loop.run { [self] in
            listener.stopAccepting()
            for channel in channels { channel.close() }
            (channels, silent) = ([], [])
        }
    }

    private func admit(_ stream: consuming Stream) {
        if case .isDead = manner {
            let waiting = FirstByte(on: loop, stream) { _, _ in }
            return silent.append(waiting)
        }
        let handshake = TLSHandshake(on: loop, stream, context, as: .server, limit: .seconds(10)) { [unowned self] in
            switch consume $0 {
            case .secured(let stream, let facts): self.serve(stream, facts)
            case .failed: self.failed += 1
            }
        }
        handshakes.append(handshake)
        handshake.start(isRegistered: false)
    }

    private func serve(_ stream: consuming Stream, _ facts: TLSHandshake.Facts) {
        callers.append(facts.key)
        let channel = ByteChannel(on: loop, stream, isRegistered: true)
        channels.append(channel)
        channel.start { [unowned self, unowned channel] event in
            guard case .received(let bytes) = event else { return }
            self.seen.append(String(decoding: bytes, as: UTF8.self))
            switch self.manner {
            case .says(let text): channel.send(Array(text.utf8))
            case .drips(let text, let pause): self.drip(text, pause, channel)
            case .neverStops: self.flood(channel)
            case .isSilent, .isDead: break
            }
        }
    }

    private func drip(_ text: String, _ pause: Instant.Span, _ channel: ByteChannel) {
        channel.send(Array(text.utf8))
        loop.schedule(after: pause) { [weak self, weak channel] in
            if let self, let channel { self.drip("x", pause, channel) }
        }
    }

    private func flood(_ channel: ByteChannel) {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        channel.send(Array(text.utf8))
        pour(channel)
    }

    private func pour(_ channel: ByteChannel) {
        channel.send(Array("10000\r\n".utf8) + [UInt8](repeating: 7, count: 65_536) + Array("\r\n".utf8))
        loop.schedule(after: .milliseconds(1)) { [weak self, weak channel] in
            if let self, let channel { self.pour(channel) }
        }
    }
}
