internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerWire

/// One attempt to reach a relay, from its name to a stream on which it has proven its key. Belongs to the control loop.
final class RelayDialler {
    enum Event: ~Copyable {
        /// The stream is there, and the proof begins.
        case reached
        /// `isSilence`: nobody said no.
        case notReached(String, isSilence: Bool)
        case notSecured(String)
        /// `isRegistered`: the stream is known to the loop.
        case secured(Stream, isRegistered: Bool, NodeKey, SessionSecrets)
    }

    private let loop: EventLoop
    private let resolver: Resolver
    private let carriers: Carriers
    private let endpoint: Endpoint
    private var attempt: (any Cancellable)?
    private var onEvent: ((consuming Event) -> Void)?

    /// - Parameter onEvent: called until the attempt failed or succeeded; never after `cancel`.
    init(
        on loop: EventLoop, _ resolver: Resolver, _ carriers: Carriers, to endpoint: Endpoint,
        onEvent: @escaping (consuming Event) -> Void
    ) {
        self.loop = loop
        self.resolver = resolver
        self.carriers = carriers
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
        attempt?.cancel()
        attempt = nil
    }

    private func connect(to addresses: [SocketAddress]) {
        guard onEvent != nil else { return }
        guard let carrier = carriers.carrier(for: .session) else {
            return finish(.notReached("there is no carrier for a session", isSilence: false))
        }
        var dial = Dial(
            to: addresses, for: .session, connectLimit: SessionTiming.connectLimit,
            proofLimit: SessionTiming.handshakeLimit)
        dial.onReached = { [weak self] _ in
            self?.onEvent?(.reached)
            return true
        }
        attempt = carrier.dial(dial, on: loop) { [weak self] outcome in
            guard let self else { return }
            attempt = nil
            switch consume outcome {
            case .notReached(let error):
                let reason = error.isRefused ? "nothing listens there (connection refused)" : error.text
                finish(.notReached(reason, isSilence: error.isTimedOut))
            case .noRoom: finish(.notReached(SystemError.outOfDescriptors.text, isSilence: false))
            case .notProven(let reason): finish(.notSecured(reason))
            case .proven(let stream, let isRegistered, let key, let secrets):
                guard let key, let secrets else { return finish(.notSecured("it proved no key")) }
                finish(.secured(stream, isRegistered: isRegistered, key, secrets))
            }
        }
    }

    private func finish(_ event: consuming Event) {
        let onEvent = self.onEvent
        self.onEvent = nil
        onEvent?(event)
    }
}
