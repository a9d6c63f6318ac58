internal import PeerMesh
public import PeerReactor
internal import PeerWire

/// The one port where other nodes come. Looks at the first bytes of each connection and hands it on: a session, a
/// data channel, or nothing of ours, which is closed and counted. Belongs to the control loop.
///
/// TLS (first byte 0x16) and the API join here later.
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
        /// A session that broke the protocol, or went silent, before its key was proven.
        public var brokenHandshakes: UInt64 = 0
    }

    /// Connections that have not yet said what they are.
    private static let maximumUndecided = 1_024

    private let loop: EventLoop
    private var listeners: [UInt16: Listener] = [:]
    private var undecided: [ObjectIdentifier: Undecided] = [:]
    public private(set) var strangers = Strangers()
    /// Takes over a session; the bytes are what came after its preamble. `nil`: this node is no relay.
    var onSession: ((ByteChannel, [UInt8]) -> Void)?
    /// Takes over a data channel; `false` when its proof is worth nothing.
    var onDataChannel: ((ByteChannel, DataChannelHello) -> Bool)?

    private final class Undecided {
        let channel: ByteChannel
        var bytes: [UInt8] = []
        var timer: LoopTimer?
        init(_ channel: ByteChannel) { self.channel = channel }
    }

    public init(on loop: EventLoop) { self.loop = loop }

    /// Listens on a port held before.
    public func listen(_ listener: Listener) throws(SystemError) {
        try listener.listen()
        try listener.accept(on: loop) { [weak self] stream, _ in self?.admit(stream) }
        listeners[listener.address.port] = listener
    }

    func listens(on port: UInt16) -> Bool { listeners[port] != nil }

    func stopListening(on port: UInt16) { listeners.removeValue(forKey: port)?.stopAccepting() }

    public func stop() {
        for port in listeners.keys { stopListening(on: port) }
        for undecided in undecided.values { undecided.channel.close() }
        undecided = [:]
    }

    func countBrokenHandshake() { strangers.brokenHandshakes += 1 }

    private func admit(_ stream: consuming Stream) {
        guard undecided.count < Self.maximumUndecided else {
            strangers.crowded += 1
            return
        }
        let channel = ByteChannel(on: loop, stream)
        let newcomer = Undecided(channel)
        undecided[ObjectIdentifier(newcomer)] = newcomer
        newcomer.timer = loop.schedule(after: SessionTiming.strangerLimit) { [weak self, weak newcomer] in
            guard let self, let newcomer else { return }
            strangers.silent += 1
            dismiss(newcomer)
        }
        channel.start { [weak self, weak newcomer] event in
            guard let self, let newcomer else { return }
            switch event {
            case .received(let bytes):
                newcomer.bytes += bytes
                judge(newcomer)
            case .closed:
                strangers.silent += 1
                dismiss(newcomer)
            }
        }
    }

    private func judge(_ newcomer: Undecided) {
        switch Preamble.read(newcomer.bytes) {
        case .incomplete: return
        case .foreign:
            strangers.foreign += 1
            dismiss(newcomer)
        case .preamble(let preamble) where preamble.version != Preamble.version:
            strangers.otherVersion += 1
            newcomer.channel.send(Preamble(kind: .versionAnswer).bytes)
            dismiss(newcomer)
        case .preamble(Preamble(kind: .session)):
            forget(newcomer)
            let rest = Array(newcomer.bytes.dropFirst(Preamble.byteCount))
            if let onSession {
                onSession(newcomer.channel, rest)
            } else {
                newcomer.channel.send(
                    Message.close(.notARelay, detail: "start it with --reverse-proxy to make it one").bytes)
                newcomer.channel.closeAfterFlush()
            }
        case .preamble(Preamble(kind: .data)):
            guard newcomer.bytes.count >= DataChannelHello.byteCount else { return }
            guard let hello = DataChannelHello(newcomer.bytes), let onDataChannel else {
                strangers.foreign += 1
                return dismiss(newcomer)
            }
            forget(newcomer)
            if !onDataChannel(newcomer.channel, hello) {
                strangers.unproven += 1
                newcomer.channel.close()
            }
        case .preamble:
            strangers.foreign += 1
            dismiss(newcomer)
        }
    }

    private func forget(_ newcomer: Undecided) {
        undecided[ObjectIdentifier(newcomer)] = nil
        newcomer.timer?.cancel()
    }

    private func dismiss(_ newcomer: Undecided) {
        forget(newcomer)
        newcomer.channel.closeAfterFlush()
    }
}
