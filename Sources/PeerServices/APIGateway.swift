public import PeerMesh
public import PeerReactor
public import PeerWire

/// Brings HTTP callers from the one server port to the API's private socket, with a PROXY preface that says who they
/// are. Belongs to the control loop.
public final class APIGateway {
    private static let maximumCallers = 128
    /// Of these, so many at most are callers without a certificate, so that those never keep the others out.
    private static let maximumStrangers = 64
    /// All the time that a caller without a certificate gets: long enough to ask whether this node is alive.
    private let strangerLimit: Instant.Span

    private let loop: EventLoop
    private let path: String
    private var forwarders: [ObjectIdentifier: Forwarder] = [:]
    private var strangers: Set<ObjectIdentifier> = []

    /// - Parameter path: of the API's Unix socket.
    public init(on loop: EventLoop, socket path: String, strangerLimit: Instant.Span = .seconds(5)) {
        self.strangerLimit = strangerLimit
        self.loop = loop
        self.path = path
    }

    /// - Parameters:
    ///   - key: the node key that the caller proved, if any.
    ///   - isRegistered: whether the stream is known to the loop.
    public func carry(_ caller: consuming Stream, from key: NodeKey?, isRegistered: Bool = true) {
        guard forwarders.count < Self.maximumCallers, key != nil || strangers.count < Self.maximumStrangers,
            let source = caller.remoteAddress,
            let destination = caller.localAddress,
            let preface = ProxyPreface.Connection(
                source: source.visitorAddress, destination: destination.visitorAddress, nodeKey: key),
            let socket = try? Connector.openUnix(path: path)
        else { return }
        let forwarder = ToldForwarder(
            on: loop, left: caller, right: socket, early: ProxyPreface.proxied(preface).bytes
        ) { [weak self] forwarder, _ in
            self?.forwarders[ObjectIdentifier(forwarder)] = nil
            self?.strangers.remove(ObjectIdentifier(forwarder))
        }
        forwarders[ObjectIdentifier(forwarder)] = forwarder
        if key == nil {
            strangers.insert(ObjectIdentifier(forwarder))
            loop.schedule(after: strangerLimit) { [weak forwarder] in forwarder?.abort() }
        }
        forwarder.start(isLeftRegistered: isRegistered)
    }
}
