internal import PeerCore
package import PeerDataPlane
public import PeerReactor
internal import PeerWire

/// The relay behind a server port. On the control loop.
protocol SessionAcceptor: AnyObject {
    /// Takes over what may become a session.
    func open(_ arrival: NodeServer.Arrival)
    /// Takes over an encrypted data channel of a session; `false` when there is none like that.
    func join(_ stream: consuming Stream, _ group: ChannelGroup) -> Bool
    /// Takes over a plain data channel; `false` when its proof is worth nothing.
    func join(_ channel: ByteChannel, _ hello: DataChannelHello) -> Bool
}

/// The one port where other nodes come. The first byte of a connection tells which carrier it came by; what it is for,
/// the carrier or the first bytes inside tell. What is nothing of ours is closed and counted. Belongs to the control
/// loop.
public final class NodeServer {
    /// What became of connections that were none of ours.
    public struct RejectedCounts: Hashable, Sendable {
        /// Bytes that no p2prc sends.
        public var foreign: UInt64 = 0
        /// Nothing, or too little, within the limit.
        public var silent: UInt64 = 0
        /// A version that is not spoken here.
        public var otherVersion: UInt64 = 0
        /// Turned away because too many were undecided at once, or came too fast, from one source or altogether.
        public var crowded: UInt64 = 0
        /// From an address that may not come here.
        public var filtered: UInt64 = 0
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
        /// Where it comes from.
        let source: HostAddress?
        /// Held until it is decided whether it is a session.
        let slot: Slot
    }

    /// The place of a connection of which it is not yet decided whether it is a session.
    final class Slot {
        /// Somebody else has it now.
        var onDisplaced: (() -> Void)?
        fileprivate var onSettled: (() -> Void)?

        /// It is decided. Calling it again does nothing.
        func settle() {
            onDisplaced = nil
            onSettled.take()?()
        }
    }

    private let policy: ArrivalPolicy
    private var gate: SourceGate
    private let loop: EventLoop
    private let carriers: Carriers
    private var listeners: [UInt16: Listener] = [:]
    private var undecided: [ObjectIdentifier: UnidentifiedConnection] = [:]
    /// Of those that are undecided, here or at a session's handshake.
    private var places: PlaceTable<ObjectIdentifier>
    private var slots: [ObjectIdentifier: Slot] = [:]
    private var known = KnownSources()
    public private(set) var rejected = RejectedCounts()
    /// `nil`: this node is no relay.
    weak var relay: (any SessionAcceptor)?
    /// Takes over HTTP streams. `nil`: they are closed.
    public var gateway: APIGateway?

    /// A connection that has not yet said what it is: it holds whatever reads it at the moment.
    private final class UnidentifiedConnection {
        let source: HostAddress
        var ticket: SourceGate.Ticket?
        var bytes: [UInt8] = []
        var timer: LoopTimer?
        var firstByte: FirstByte?
        var accepting: (any Accepting)?
        var channel: ByteChannel?
        /// What its carrier has proven, for sessions.
        var proven: (key: NodeKey, secrets: SessionSecrets)?
        /// Nothing has come that would cost its sender anything.
        var isSilent: Bool { channel == nil && accepting?.isSilent != false }

        init(from source: HostAddress, _ ticket: SourceGate.Ticket?) {
            self.source = source
            self.ticket = ticket
        }
    }

    package init(on loop: EventLoop, carriers: Carriers, policy: ArrivalPolicy = ArrivalPolicy()) {
        self.loop = loop
        self.carriers = carriers
        self.policy = policy
        gate = SourceGate(policy.sources, seed: UInt64.random(in: 0 ... .max))
        places = PlaceTable(capacity: policy.maximumUndecided, kept: policy.maximumUndecided / 4)
    }

    /// Listens on a port held before.
    public func listen(_ listener: Listener) throws(SystemError) {
        try listener.listen()
        try listener.accept(on: loop) { [weak self] stream, address in self?.admit(stream, address) }
        listeners[listener.address.port] = listener
    }

    func listens(on port: UInt16) -> Bool { listeners[port] != nil }

    func stopListening(on port: UInt16) { listeners.removeValue(forKey: port)?.stopAccepting() }

    public func stop() {
        for port in listeners.keys { stopListening(on: port) }
        for newcomer in undecided.values { dismiss(newcomer) }
    }

    /// A session from there stands, until `unvouch`: its data channels come as fast as its visitors do.
    func vouch(for source: HostAddress) {
        gate.vouch(for: source)
        known.add(source, at: loop.now)
    }
    func unvouch(for source: HostAddress) { gate.unvouch(for: source) }

    func countBrokenHandshake() { rejected.brokenHandshakes += 1 }

    // MARK: The first byte

    private func admit(_ stream: consuming Stream, _ address: SocketAddress) {
        guard let source = HostAddress(bytes: address.hostBytes), policy.peers.admits(source) else {
            rejected.filtered += 1
            return
        }
        guard case .admitted(let ticket) = gate.admit(source, at: loop.now) else {
            rejected.crowded += 1
            return
        }
        let newcomer = UnidentifiedConnection(from: source, ticket)
        guard takePlace(ObjectIdentifier(newcomer), source) else { return gate.finished(ticket) }
        undecided[ObjectIdentifier(newcomer)] = newcomer
        // One limit for all of it, so that nobody gets a new one with each step.
        newcomer.timer = loop.schedule(after: SessionTiming.strangerLimit) { [weak self, weak newcomer] in
            guard let self, let newcomer else { return }
            rejected.silent += 1
            dismiss(newcomer)
        }
        let firstByte = FirstByte(on: loop, stream) { [weak self, weak newcomer] stream, byte in
            guard let self, let newcomer else { return }
            newcomer.firstByte = nil
            guard let stream = consume stream else {
                rejected.silent += 1
                return dismiss(newcomer)
            }
            accept(newcomer, stream, byte)
        }
        newcomer.firstByte = firstByte
        firstByte.start()
    }

    private func takePlace(_ id: ObjectIdentifier, _ source: HostAddress) -> Bool {
        let isKnown = gate.isVouched(source) || known.contains(source, at: loop.now)
        let verdict = places.arrived(id, from: source, isKnown: isKnown) { undecided[$0]?.isSilent ?? false }
        if verdict != .admitted { rejected.crowded += 1 }
        guard case .admittedInPlace(let other) = verdict else { return verdict == .admitted }
        if let loser = undecided[other] { dismiss(loser) }
        slots.removeValue(forKey: other)?.onDisplaced.take()?()
        return true
    }

    // MARK: What its carrier proves

    private func accept(_ newcomer: UnidentifiedConnection, _ stream: consuming Stream, _ firstByte: UInt8) {
        guard let carrier = carriers.carrier(claiming: firstByte) else {
            rejected.foreign += 1
            return dismiss(newcomer)
        }
        let accepting = carrier.accept(stream, on: loop, within: SessionTiming.strangerLimit) {
            [weak self, weak newcomer] accepted in
            guard let self, let newcomer else { return }
            newcomer.accepting = nil
            guard let accepted = consume accepted else {
                rejected.brokenTLS += 1
                return dismiss(newcomer)
            }
            self.accepted(newcomer, accepted)
        }
        if undecided[ObjectIdentifier(newcomer)] === newcomer, newcomer.channel == nil {
            newcomer.accepting = accepting
        }
    }

    private func accepted(_ newcomer: UnidentifiedConnection, _ accepted: consuming Accepted) {
        switch accepted.opening {
        case .session(let key, let secrets):
            newcomer.proven = (key, secrets)
            read(newcomer, accepted.intoStream())
        case .undeclared: read(newcomer, accepted.intoStream())
        case .channel(let group):
            dismiss(newcomer)
            guard relay?.join(accepted.intoStream(), group) == true else {
                rejected.unproven += 1
                return
            }
        case .http(let key):
            dismiss(newcomer)
            guard let gateway else {
                rejected.foreign += 1
                return
            }
            gateway.carry(accepted.intoStream(), from: key)
        }
    }

    // MARK: Preambles

    private func read(_ newcomer: UnidentifiedConnection, _ stream: consuming Stream) {
        let channel = ByteChannel(on: loop, stream, isRegistered: true)
        newcomer.channel = channel
        channel.start { [weak self, weak newcomer] event in
            guard let self, let newcomer else { return }
            switch event {
            case .received(let bytes):
                newcomer.bytes += bytes
                judge(newcomer, channel)
            case .closed:
                rejected.silent += 1
                dismiss(newcomer)
            }
        }
    }

    private func judge(_ newcomer: UnidentifiedConnection, _ channel: ByteChannel) {
        switch Preamble.read(newcomer.bytes) {
        case .incomplete: return
        case .foreign:
            rejected.foreign += 1
            dismiss(newcomer)
        case .preamble(let preamble) where preamble.version != Preamble.version:
            rejected.otherVersion += 1
            channel.send(Preamble(kind: .versionAnswer).bytes)
            dismiss(newcomer)
        case .preamble(Preamble(kind: .session)): judgeSession(newcomer, channel)
        case .preamble(Preamble(kind: .data)) where newcomer.proven == nil:
            guard newcomer.bytes.count >= DataChannelHello.byteCount else { return }
            guard let hello = DataChannelHello(newcomer.bytes), let relay else {
                rejected.foreign += 1
                return dismiss(newcomer)
            }
            forget(newcomer)
            if !relay.join(channel, hello) {
                rejected.unproven += 1
                channel.close()
            }
        case .preamble:
            rejected.foreign += 1
            dismiss(newcomer)
        }
    }

    private func judgeSession(_ newcomer: UnidentifiedConnection, _ channel: ByteChannel) {
        guard let (key, secrets) = newcomer.proven else {
            rejected.otherVersion += 1
            channel.send(
                RelayMessage.close(.encryptionRequired, detail: "sessions are encrypted: update this p2prc").bytes)
            return dismiss(newcomer)
        }
        guard let relay else {
            channel.send(RelayMessage.close(.notARelay, detail: "start it with --reverse-proxy to make it one").bytes)
            return dismiss(newcomer)
        }
        // Its handshake goes on, and is one until it is decided what it is: so it keeps its place.
        let id = ObjectIdentifier(newcomer)
        let ticket = newcomer.ticket.take()
        let slot = Slot()
        // Whose identifier is in use has to live.
        slot.onSettled = { [weak self, newcomer] in
            guard let self else { return }
            places.left(ObjectIdentifier(newcomer))
            slots[ObjectIdentifier(newcomer)] = nil
            if let ticket { gate.finished(ticket) }
        }
        undecided[id] = nil
        newcomer.timer?.cancel()
        slots[id] = slot
        let rest = Array(newcomer.bytes.dropFirst(Preamble.byteCount))
        relay.open(
            Arrival(channel: channel, key: key, secrets: secrets, rest: rest, source: newcomer.source, slot: slot))
    }

    // MARK: Endings

    private func forget(_ newcomer: UnidentifiedConnection) {
        undecided[ObjectIdentifier(newcomer)] = nil
        places.left(ObjectIdentifier(newcomer))
        newcomer.timer?.cancel()
        if let ticket = newcomer.ticket.take() { gate.finished(ticket) }
    }

    private func dismiss(_ newcomer: UnidentifiedConnection) {
        forget(newcomer)
        newcomer.firstByte?.cancel()
        newcomer.accepting?.cancel()
        newcomer.channel?.closeAfterFlush()
    }
}
