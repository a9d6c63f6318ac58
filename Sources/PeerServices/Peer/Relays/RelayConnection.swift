internal import Logging
internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerWire

/// What a connection asks the peer that holds it, and tells it.
protocol RelayConnectionHost: AnyObject {
    /// Whether a relay that nobody named may be dialled there.
    func mayDial(_ endpoint: Endpoint) -> Bool
    /// Why that key is trusted at a relay, and what it is shown.
    func trust(in key: NodeKey, at connection: RelayConnection) -> RelayConnection.Trust
    /// Something was read.
    func heard(from connection: RelayConnection)
    func established(_ connection: RelayConnection, _ terms: SessionTerms, channels: Int)
    /// A message of the session that is no liveness and no handshake.
    func deliver(_ message: RelayMessage, from connection: RelayConnection)
    func measured(_ latency: Instant.Span, of connection: RelayConnection)
    /// The session that was there is gone.
    func lost(_ connection: RelayConnection, _ terms: SessionTerms?)
    /// There is no session to a relay that the user did not name.
    func fell(_ connection: RelayConnection, _ reason: String)
    /// Another process proved this node's key there.
    func superseded(_ connection: RelayConnection, _ detail: String)
    /// What listings show has changed.
    func changed()
}

/// The shell around one `RelayLink`: dials the relay, proves the keys, reads its frames in turns, and comes back when
/// the session is lost. Belongs to the control loop.
final class RelayConnection {
    /// What all connections of a node share.
    struct Parts {
        let loop: EventLoop
        let resolver = Resolver()
        let keys: KeyRing
        let carriers: Carriers
        /// How this node introduces itself; `dialled` is each connection's own.
        let introduction: PeerMessage.Introduction
        let log: Logger
    }

    /// What the handshake with a relay is given.
    struct Trust {
        /// The key that was known of it, where it proved another one.
        var pin: PeerHandshake.Pin?
        var credentials: PeerHandshake.Credentials
        /// There is a token for it, which names the key of another; it is not shown.
        var hidesToken: Bool
    }

    /// A relay that says too much is heard again after this.
    private static let shortestWait = Instant.Span.milliseconds(20)

    let endpoint: Endpoint
    /// Chosen by this node, for what its record and its probes say: the key that it has to prove. `nil`: the user named
    /// it.
    let chosenKey: NodeKey?
    private let parts: Parts
    private weak var host: (any RelayConnectionHost)?
    private var link: RelayLink
    private var reader = SessionReader()
    /// The stream of the moment.
    private var channel: ByteChannel?
    /// The attempt that is under way.
    private var dialler: RelayDialler?
    private var timer: LoopTimer?
    private var hidesToken = false
    /// Of the session that stands; `nil` without one.
    private(set) var terms: SessionTerms?
    /// What the relay called itself, and the key that it proved, in the last session.
    private(set) var name: String?
    private(set) var key: NodeKey?
    /// Why there is no session to a relay that the user named.
    private(set) var reason: String?
    private(set) var lastHeard: WallTime?

    init(to endpoint: Endpoint, chosenFor key: NodeKey? = nil, _ parts: Parts, host: any RelayConnectionHost) {
        self.endpoint = endpoint
        chosenKey = key
        self.parts = parts
        self.host = host
        link = RelayLink(seed: UInt64.random(in: 0 ... .max), at: parts.loop.clock())
    }

    var isNamed: Bool { chosenKey == nil }
    var isEstablished: Bool { link.state == .established }
    /// Attempts in a row that failed for a known reason.
    var failures: Int { link.failures }
    /// What the relay said or proved, where that is why there is no session.
    var refusal: HandshakeFailure? { link.refusal }
    var remoteAddress: SocketAddress? { channel?.remoteAddress }
    /// The relay is on this node's own machine.
    var isLocal: Bool { channel?.isLocal ?? false }

    private var now: Instant { parts.loop.clock() }
    private var log: Logger { parts.log.about(endpoint) }

    // MARK: What the peer has it do

    func start() { arm() }

    func send(_ message: PeerMessage) { channel?.send(message.bytes) }

    /// Tries at once if there is no session.
    ///
    /// - Parameter anew: what is known of the relay has changed; an attempt that has used the former begins anew.
    func hurry(anew: Bool = false) { run(link.hurry(anew: anew, at: now)) }

    /// Ends whatever is there, for good.
    func stop() {
        send(.close(.leaving, detail: ""))
        end()
    }

    /// As `stop`; a relay that has not let this node in hears nothing.
    ///
    /// - Returns: of the session that was there. Its host is told of nothing any more.
    func leave() -> SessionTerms? {
        if isEstablished { send(.close(.leaving, detail: "")) }
        end()
        channel = nil
        host = nil
        return terms.take()
    }

    private func end() {
        channel?.closeAfterFlush()
        timer?.cancel()
        dialler?.cancel()
        link.stop()
    }

    /// Ends the session; the relay is tried again in its time.
    func close(because reason: String) {
        send(.close(.leaving, detail: ""))
        channel?.closeAfterFlush()
        channel = nil
        run(link.closed(reason, at: now))
    }

    /// Ends the session or the attempt, and begins anew at once.
    func restart(because reason: String) {
        send(.close(.leaving, detail: reason))
        channel?.closeAfterFlush()
        channel = nil
        let now = now
        run(link.connectionFailed(reason, at: now) + link.closed(reason, at: now))
        run(link.hurry(at: now))
    }

    // MARK: The link's actions

    private func arm() {
        timer?.cancel()
        guard let deadline = link.nextDeadline else { return }
        timer = parts.loop.schedule(after: deadline - now) { [weak self] in
            guard let self else { return }
            run(link.timePassed(at: now))
        }
    }

    private func run(_ actions: [RelayLink.Action]) {
        for action in actions { carryOut(action) }
        arm()
    }

    private func carryOut(_ action: RelayLink.Action) {
        switch action {
        case .connect: connect()
        case .send(let bytes): channel?.send(bytes)
        case .disconnect: disconnect()
        case .established(let terms, let channels):
            self.terms = terms
            name = terms.name
            key = terms.key
            reason = nil
            host?.established(self, terms, channels: Int(channels))
        case .deliver(let message): host?.deliver(message, from: self)
        case .measured(let latency): host?.measured(latency, of: self)
        case .lost: lost()
        case .explain(let failure): explain(failure)
        case .superseded(let detail):
            lost()
            host?.superseded(self, detail)
        }
    }

    private func lost() {
        let former = terms
        terms = nil
        host?.lost(self, former)
    }

    private func explain(_ failure: String) {
        guard isNamed else {
            host?.fell(self, failure)
            return
        }
        let reason = failure + (hidesToken ? "; the token given for it belongs to another relay" : "")
        self.reason = reason
        log.warning("relay \(endpoint): \(reason); trying again (p2prc leave \(endpoint) gives it up)")
        host?.changed()
    }

    // MARK: The stream

    private func connect() {
        guard isNamed || host?.mayDial(endpoint) == true else {
            return run(link.connectionFailed("it may not be dialled", isSilence: false, at: now))
        }
        dialler = RelayDialler(on: parts.loop, parts.resolver, parts.carriers, to: endpoint) { [weak self] event in
            guard let self else { return }
            switch consume event {
            case .reached: run(link.reached(at: now))
            case .notReached(let reason, let isSilence):
                run(link.connectionFailed(reason, isSilence: isSilence, at: now))
            case .notSecured(let reason): run(link.closed(reason, at: now))
            case .secured(let stream, let isRegistered, let key, let secrets):
                secured(ByteChannel(on: parts.loop, stream, isRegistered: isRegistered), key, secrets)
            }
        }
        dialler?.start()
    }

    private func disconnect() {
        dialler?.cancel()
        dialler = nil
        channel?.close()
        channel = nil
    }

    private func secured(_ channel: ByteChannel, _ key: NodeKey, _ secrets: SessionSecrets) {
        guard let host else { return }
        if let chosenKey, chosenKey != key {
            // Nothing is shown to it: it is not the one whose record this node read.
            return run(link.closed("the key there is not \(chosenKey.short)", at: now))
        }
        let trust = host.trust(in: key, at: self)
        hidesToken = trust.hidesToken
        self.channel = channel
        reader.begin()
        let goOn = { [weak self, weak channel] in
            guard let self, let channel else { return }
            self.goOn(with: channel)
        }
        channel.start(onTurn: goOn) { [weak self, weak channel] event in
            guard let self, let channel, self.channel === channel else { return }
            switch event {
            case .received(let bytes): received(bytes, channel)
            case .closed(let reason):
                // What the library calls it when a session breaks off tells nobody anything.
                run(link.closed(isEstablished ? "the relay went away" : reason, at: now))
            }
        }
        var introduction = parts.introduction
        introduction.dialled = endpoint.description
        let handshake = PeerHandshake(
            with: key, secrets: secrets, credentials: trust.credentials, introduction: introduction, pin: trust.pin)
        run(link.secured(handshake, at: now))
    }

    private func received(_ bytes: [UInt8], _ channel: ByteChannel) {
        lastHeard = parts.loop.wall()
        host?.heard(from: self)
        var isOpening = false
        if case .opening = link.state { isOpening = true }
        if let version = reader.received(bytes, isOpening: isOpening) {
            return run(link.receivedVersion(version, at: now))
        }
        goOn(with: channel)
    }

    /// Handles the frames that have come; those that are too many for now in later turns.
    private func goOn(with channel: ByteChannel) {
        var turn = FrameTurn()
        do throws(WireError) {
            while self.channel === channel {
                guard turn.hasRoom() else { return channel.hold() }
                let now = now
                switch try reader.next(at: now) {
                case .wait(let span): return channel.hold(for: max(span, Self.shortestWait))
                case .none: return
                case .frame(let frame): run(link.received(frame, at: now))
                }
            }
        } catch {
            run(link.closed(error.description, at: now))
        }
    }
}
