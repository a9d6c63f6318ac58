internal import PeerCore
public import PeerReactor
internal import PeerWire

/// A port for P2PRC nodes, who speak plain HTTP: brings them to the adapter's private socket, so many at once and from
/// each address so many a second. Belongs to the control loop.
public final class P2PRCListener {
    /// New connections a second from one address. A P2PRC node makes four for an exchange.
    private static let perSecond = 10

    private let loop: EventLoop
    private let listener: Listener
    private let gateway: APIGateway
    private var gate: SourceGate

    /// - Parameters:
    ///   - listener: held; it listens from `start` on.
    ///   - path: of the adapter's socket.
    public init(on loop: EventLoop, _ listener: Listener, socket path: String) {
        self.loop = loop
        self.listener = listener
        // More time than the adapter itself gives, so that its own answer about that gets through.
        gateway = APIGateway(on: loop, socket: path, strangerLimit: .seconds(12), members: nil)
        gate = SourceGate(
            .init(handshakesPerSecond: Self.perSecond, halfOpen: 1), capacity: 4_096,
            seed: UInt64.random(in: 0 ... .max))
    }

    public var address: SocketAddress { listener.address }

    public func start() throws(SystemError) {
        try listener.listen()
        try listener.accept(on: loop) { [weak self] stream, address in self?.admit(stream, address) }
    }

    public func stop() { listener.stopAccepting() }

    private func admit(_ stream: consuming Stream, _ address: SocketAddress) {
        let now = loop.clock()
        guard let source = HostAddress(bytes: address.hostBytes),
            case .admitted(let ticket) = gate.admit(source, at: now)
        else { return }
        // How many are open at once is the gateway's to limit.
        gate.finished(ticket)
        gateway.carry(stream, from: nil, isRegistered: false)
    }
}
