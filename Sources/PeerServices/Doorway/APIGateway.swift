public import PeerCore
public import PeerReactor
public import PeerWire

/// Brings HTTP callers from the one server port to the API's private socket, with a PROXY preface that says who they
/// are. Belongs to the control loop.
///
/// A certificate costs nothing, so what counts is whether its key is a member's. `PlaceTable` shares the places out.
public final class APIGateway {
    static let places = 128
    /// Of these, for members alone.
    static let keptForMembers = 64
    /// All the time that a caller gets who is no member: long enough to ask whether this node is alive.
    private let strangerLimit: Instant.Span

    private let loop: EventLoop
    private let path: String
    private let isMember: (NodeKey) -> Bool
    private var places = PlaceTable<ObjectIdentifier>(capacity: places, kept: keptForMembers)
    private var forwarders: [ObjectIdentifier: Forwarder] = [:]

    /// - Parameters:
    ///   - path: of the API's Unix socket.
    ///   - isMember: whether this key is known to be a member's, as the API itself judges it.
    public init(
        on loop: EventLoop, socket path: String, strangerLimit: Instant.Span = .seconds(5),
        isMember: @escaping (NodeKey) -> Bool
    ) {
        self.strangerLimit = strangerLimit
        self.loop = loop
        self.path = path
        self.isMember = isMember
    }

    /// - Parameters:
    ///   - key: the node key that the caller proved, if any.
    ///   - isRegistered: whether the stream is known to the loop.
    public func carry(_ caller: consuming Stream, from key: NodeKey?, isRegistered: Bool = true) {
        guard let source = caller.remoteAddress,
            let host = HostAddress(bytes: source.hostBytes),
            let destination = caller.localAddress,
            let preface = ProxyPreface.Connection(
                source: source.visitorAddress, destination: destination.visitorAddress, nodeKey: key),
            let socket = try? Connector.openUnix(path: path)
        else { return }
        let forwarder = ClosureForwarder(
            on: loop, left: caller, right: socket, early: ProxyPreface.proxied(preface).bytes
        ) { [weak self] forwarder, _ in
            self?.forwarders[ObjectIdentifier(forwarder)] = nil
            self?.places.left(ObjectIdentifier(forwarder))
        }
        let isKnown = key.map(isMember) ?? false
        guard takePlace(ObjectIdentifier(forwarder), host, isKnown) else { return }
        forwarders[ObjectIdentifier(forwarder)] = forwarder
        if !isKnown {
            // Who has become a member meanwhile, by his first question, stays as long as the API lets him.
            loop.schedule(after: strangerLimit) { [weak self, weak forwarder] in
                if key.flatMap({ self?.isMember($0) }) != true { forwarder?.abort() }
            }
        }
        forwarder.start(isLeftRegistered: isRegistered)
    }

    private func takePlace(_ id: ObjectIdentifier, _ host: HostAddress, _ isKnown: Bool) -> Bool {
        let verdict = places.arrived(id, from: host, isKnown: isKnown) { forwarders[$0]?.bytesLeftToRight == 0 }
        if case .admittedInPlace(let other) = verdict { forwarders[other]?.abort() }
        return verdict != .crowded
    }
}
