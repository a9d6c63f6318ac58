internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// One check from outside: dials a public port, sends a nonce, and waits for the signature over it. Belongs to one
/// loop. The address is numeric, and whoever starts one has judged it (`DialGuard`).
final class ReachabilityProbe {
    static let limit = Instant.Span.seconds(3)

    enum Outcome: Sendable {
        case passed
        case failed(String)
    }

    private let loop: EventLoop
    private let nonce: [UInt8]
    private let mapping: MappingID
    private let key: NodeKey
    private let address: SocketAddress
    private var connector: Connector?
    private var channel: ByteChannel?
    private var received: [UInt8] = []
    private var timer: LoopTimer?
    private var done: ((Outcome) -> Void)?

    init(
        on loop: EventLoop, at address: SocketAddress, nonce: [UInt8], mapping: MappingID, key: NodeKey,
        done: @escaping (Outcome) -> Void
    ) {
        self.loop = loop
        self.nonce = nonce
        self.mapping = mapping
        self.key = key
        self.address = address
        self.done = done
        // The timer keeps this alive until it is settled.
        timer = loop.schedule(after: Self.limit) { self.finish(.failed("\(address) does not answer")) }
        connector = Connector(on: loop, to: [address], kind: .atTheEdge, limit: Self.limit) {
            [weak self] stream, error in
            guard let self, self.done != nil else { return }
            guard let stream = consume stream else {
                return finish(.failed("\(address) cannot be connected to from here: \(error.text)"))
            }
            connected(stream)
        }
    }

    private func connected(_ stream: consuming Stream) {
        let channel = ByteChannel(on: loop, stream)
        self.channel = channel
        channel.start { [weak self] event in
            guard let self else { return }
            switch event {
            case .received(let bytes): judge(bytes)
            case .closed(let reason): finish(.failed("\(address) accepts, but \(reason)"))
            }
        }
        channel.send(ReachabilityCheck.probe(nonce: nonce))
    }

    private func judge(_ bytes: [UInt8]) {
        received += bytes
        guard received.count >= ReachabilityCheck.answerByteCount else { return }
        let isRight = ReachabilityCheck.isAnswer(received, nonce: nonce, mapping: mapping, by: key)
        finish(isRight ? .passed : .failed("\(address) is answered by something else"))
    }

    private func finish(_ outcome: Outcome) {
        let done = self.done
        self.done = nil
        timer?.cancel()
        connector?.cancel()
        channel?.close()
        done?(outcome)
    }
}
