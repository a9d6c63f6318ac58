internal import PeerMesh
public import PeerReactor
public import PeerWire

/// The one port where other nodes come. The first byte of a connection tells TLS from a plain data channel; what TLS
/// is for, its application protocol tells. Whatever is nothing of ours is closed and counted. Belongs to the control
/// loop.
public final class NodeServer {
    /// What became of connections that were none of ours.
    public struct Strangers: Hashable, Sendable {
        /// Bytes that no p2prc sends.
        public var foreign: UInt64 = 0
        /// Nothing, or too little, within the limit.
        public var silent: UInt64 = 0
        /// A version that is not spoken here.
        public var otherVersion: UInt64 = 0
        /// Turned away because too many were undecided at once.
        public var crowded: UInt64 = 0
        /// A data channel without a valid proof.
        public var unproven: UInt64 = 0
        /// TLS that did not come about: another version, no known application protocol, no certificate of a node.
        public var brokenTLS: UInt64 = 0
        /// A session that broke the protocol, went silent, or was no member, before it was let in.
        public var brokenHandshakes: UInt64 = 0
    }

    /// A session's stream, with the key that its other end proved.
    struct Arrival {
        let channel: ByteChannel
        let key: NodeKey
        let secrets: SessionSecrets
        /// What came after the preamble.
        let rest: [UInt8]
    }

    /// The first byte of TLS (RFC 8446, section 5.1: a record of the handshake).
    private static let tlsByte: UInt8 = 0x16
    /// Connections that have not yet said what they are.
    private static let maximumUndecided = 1_024

    private let loop: EventLoop
    private var tls: TLSContext
    private var listeners: [UInt16: Listener] = [:]
    private var undecided: [ObjectIdentifier: Undecided] = [:]
    public private(set) var strangers = Strangers()
    /// Takes over a session. `nil`: this node is no relay.
    var onSession: ((Arrival) -> Void)?
    /// Takes over an encrypted data channel of a session; `false` when there is none like that.
    var onDataChannel: ((consuming Stream, SessionID) -> Bool)?
    /// Takes over a plain data channel; `false` when its proof is worth nothing.
    var onPlainChannel: ((ByteChannel, DataChannelHello) -> Bool)?
    /// Takes over an HTTP stream, with the key of a caller that proved one. `nil`: it is closed.
    public var onHTTP: ((consuming Stream, NodeKey?) -> Void)?

    /// A connection that has not yet said what it is: it holds whatever reads it at the moment.
    private final class Undecided {
        var bytes: [UInt8] = []
        var timer: LoopTimer?
        var firstByte: FirstByte?
        var handshake: TLSHandshake?
        var channel: ByteChannel?
        /// Set once TLS stands, for sessions.
        var proven: (key: NodeKey, secrets: SessionSecrets)?
    }

    public init(on loop: EventLoop, tls: TLSContext) {
        self.loop = loop
        self.tls = tls
    }

    /// Listens on a port held before.
    public func listen(_ listener: Listener) throws(SystemError) {
        try listener.listen()
        try listener.accept(on: loop) { [weak self] stream, _ in self?.admit(stream) }
        listeners[listener.address.port] = listener
    }

    /// Proves another key to whoever comes from now on.
    public func renew(_ tls: TLSContext) { self.tls = tls }

    func listens(on port: UInt16) -> Bool { listeners[port] != nil }

    func stopListening(on port: UInt16) { listeners.removeValue(forKey: port)?.stopAccepting() }

    public func stop() {
        for port in listeners.keys { stopListening(on: port) }
        for newcomer in undecided.values { dismiss(newcomer) }
    }

    func countBrokenHandshake() { strangers.brokenHandshakes += 1 }

    // MARK: The first byte

    private func admit(_ stream: consuming Stream) {
        guard undecided.count < Self.maximumUndecided else {
            strangers.crowded += 1
            return
        }
        let newcomer = Undecided()
        undecided[ObjectIdentifier(newcomer)] = newcomer
        // One limit for all of it, so that nobody gets a new one with each step.
        newcomer.timer = loop.schedule(after: SessionTiming.strangerLimit) { [weak self, weak newcomer] in
            guard let self, let newcomer else { return }
            strangers.silent += 1
            dismiss(newcomer)
        }
        let firstByte = FirstByte(on: loop, stream) { [weak self, weak newcomer] stream, byte in
            guard let self, let newcomer else { return }
            newcomer.firstByte = nil
            guard let stream = consume stream else {
                strangers.silent += 1
                return dismiss(newcomer)
            }
            if byte == Self.tlsByte { secure(newcomer, stream) } else { read(newcomer, stream) }
        }
        newcomer.firstByte = firstByte
        firstByte.start()
    }

    // MARK: TLS

    private func secure(_ newcomer: Undecided, _ stream: consuming Stream) {
        let handshake = TLSHandshake(on: loop, stream, tls, as: .server, limit: SessionTiming.strangerLimit) {
            [weak self, weak newcomer] outcome in
            guard let self, let newcomer else { return }
            newcomer.handshake = nil
            switch consume outcome {
            case .secured(let stream, let facts): secured(newcomer, stream, facts)
            case .failed:
                strangers.brokenTLS += 1
                dismiss(newcomer)
            }
        }
        newcomer.handshake = handshake
        handshake.start(isRegistered: true)
    }

    private func secured(_ newcomer: Undecided, _ stream: consuming Stream, _ facts: TLSHandshake.Facts) {
        switch facts.purpose {
        case .session:
            guard let key = facts.key, let secrets = facts.secrets else { return dismiss(newcomer) }
            newcomer.proven = (key, secrets)
            read(newcomer, stream)
        case .data:
            dismiss(newcomer)
            guard let session = facts.session, onDataChannel?(stream, session) == true else {
                strangers.unproven += 1
                return
            }
        case .http:
            dismiss(newcomer)
            guard let onHTTP else {
                strangers.foreign += 1
                return
            }
            onHTTP(stream, facts.key)
        }
    }

    // MARK: Preambles

    private func read(_ newcomer: Undecided, _ stream: consuming Stream) {
        let channel = ByteChannel(on: loop, stream, isRegistered: true)
        newcomer.channel = channel
        channel.start { [weak self, weak newcomer] event in
            guard let self, let newcomer else { return }
            switch event {
            case .received(let bytes):
                newcomer.bytes += bytes
                judge(newcomer, channel)
            case .closed:
                strangers.silent += 1
                dismiss(newcomer)
            }
        }
    }

    private func judge(_ newcomer: Undecided, _ channel: ByteChannel) {
        switch Preamble.read(newcomer.bytes) {
        case .incomplete: return
        case .foreign:
            strangers.foreign += 1
            dismiss(newcomer)
        case .preamble(let preamble) where preamble.version != Preamble.version:
            strangers.otherVersion += 1
            channel.send(Preamble(kind: .versionAnswer).bytes)
            dismiss(newcomer)
        case .preamble(Preamble(kind: .session)): judgeSession(newcomer, channel)
        case .preamble(Preamble(kind: .data)) where newcomer.proven == nil:
            guard newcomer.bytes.count >= DataChannelHello.byteCount else { return }
            guard let hello = DataChannelHello(newcomer.bytes), let onPlainChannel else {
                strangers.foreign += 1
                return dismiss(newcomer)
            }
            forget(newcomer)
            if !onPlainChannel(channel, hello) {
                strangers.unproven += 1
                channel.close()
            }
        case .preamble:
            strangers.foreign += 1
            dismiss(newcomer)
        }
    }

    private func judgeSession(_ newcomer: Undecided, _ channel: ByteChannel) {
        guard let (key, secrets) = newcomer.proven else {
            strangers.otherVersion += 1
            channel.send(Message.close(.encryptionRequired, detail: "sessions are encrypted: update this p2prc").bytes)
            return dismiss(newcomer)
        }
        guard let onSession else {
            channel.send(Message.close(.notARelay, detail: "start it with --reverse-proxy to make it one").bytes)
            return dismiss(newcomer)
        }
        forget(newcomer)
        let rest = Array(newcomer.bytes.dropFirst(Preamble.byteCount))
        onSession(Arrival(channel: channel, key: key, secrets: secrets, rest: rest))
    }

    // MARK: Endings

    private func forget(_ newcomer: Undecided) {
        undecided[ObjectIdentifier(newcomer)] = nil
        newcomer.timer?.cancel()
    }

    private func dismiss(_ newcomer: Undecided) {
        forget(newcomer)
        newcomer.firstByte?.cancel()
        newcomer.handshake?.cancel()
        newcomer.channel?.closeAfterFlush()
    }
}
