internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// One attempt to reach a relay, from its name to a TLS connection that proves its key. Belongs to the control loop.
final class RelayDialler {
    enum Event: ~Copyable {
        /// The stream is there, TLS begins.
        case reached
        /// `isSilence`: nobody said no.
        case notReached(String, isSilence: Bool)
        case notSecured(String)
        case secured(Stream, TLSHandshake.Facts)
    }

    private let loop: EventLoop
    private let resolver: Resolver
    private let tls: TLSContext
    private let endpoint: Endpoint
    private var connector: Connector?
    private var handshake: TLSHandshake?
    private var onEvent: ((consuming Event) -> Void)?

    /// - Parameter onEvent: called until the attempt failed or succeeded; never after `cancel`.
    init(
        on loop: EventLoop, _ resolver: Resolver, _ tls: TLSContext, to endpoint: Endpoint,
        onEvent: @escaping (consuming Event) -> Void
    ) {
        self.loop = loop
        self.resolver = resolver
        self.tls = tls
        self.endpoint = endpoint
        self.onEvent = onEvent
    }

    /// Looks the name up anew each time.
    func start() {
        let bound = LoopBound(self, on: loop)
        resolver.resolve(endpoint, on: loop) { result in
            switch result {
            case .failure(let failure):
                bound.value.finish(.notReached(failure.description, isSilence: failure == .busy))
            case .success(let addresses): bound.value.connect(to: addresses)
            }
        }
    }

    func cancel() {
        onEvent = nil
        connector?.cancel()
        connector = nil
        handshake?.cancel()
        handshake = nil
    }

    private func connect(to addresses: [SocketAddress]) {
        guard onEvent != nil else { return }
        connector = Connector(on: loop, to: addresses, kind: .betweenNodes, limit: SessionTiming.connectLimit) {
            [weak self] stream, error in
            guard let self else { return }
            connector = nil
            guard let stream = consume stream else {
                let reason = error.isRefused ? "nothing listens there (connection refused)" : error.text
                return finish(.notReached(reason, isSilence: error.isTimedOut))
            }
            onEvent?(.reached)
            secure(stream)
        }
    }

    private func secure(_ stream: consuming Stream) {
        guard onEvent != nil else { return }
        let handshake = TLSHandshake(on: loop, stream, tls, as: .session, limit: SessionTiming.handshakeLimit) {
            [weak self] outcome in
            guard let self else { return }
            self.handshake = nil
            switch consume outcome {
            case .failed(let failure): finish(.notSecured(failure.description))
            case .secured(let stream, let facts): finish(.secured(stream, facts))
            }
        }
        self.handshake = handshake
        handshake.start(isRegistered: false)
    }

    private func finish(_ event: consuming Event) {
        let onEvent = self.onEvent
        self.onEvent = nil
        onEvent?(event)
    }
}
