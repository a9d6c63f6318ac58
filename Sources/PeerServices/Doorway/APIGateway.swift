public import PeerCore
public import PeerReactor
public import PeerWire

/// Whoever knows the members of this node's mesh, as the API itself judges them. On the control loop.
public protocol MemberJudge: AnyObject {
    func isMember(_ key: NodeKey) -> Bool
}

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
    /// `nil`: there are no members.
    private weak var members: (any MemberJudge)?
    private var places = PlaceTable<ObjectIdentifier>(capacity: places, kept: keptForMembers)
    private var forwarders: [ObjectIdentifier: Forwarder] = [:]

    /// - Parameters:
    ///   - path: of the API's Unix socket.
    ///   - members: `nil`: nobody is one.
    public init(
        on loop: EventLoop, socket path: String, strangerLimit: Instant.Span = .seconds(5),
        members: (any MemberJudge)?
    ) {
        self.strangerLimit = strangerLimit
        self.loop = loop
        self.path = path
        self.members = members
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
        let isKnown = isMember(key)
        guard takePlace(ObjectIdentifier(forwarder), host, isKnown) else { return }
        forwarders[ObjectIdentifier(forwarder)] = forwarder
        if !isKnown {
            // A caller that has become a member meanwhile, by its first question, stays as long as the API lets it.
            loop.schedule(after: strangerLimit) { [weak self, weak forwarder] in
                if self?.isMember(key) != true { forwarder?.abort() }
            }
        }
        forwarder.start(isLeftRegistered: isRegistered)
    }

    private func isMember(_ key: NodeKey?) -> Bool { key.flatMap { members?.isMember($0) } ?? false }

    private func takePlace(_ id: ObjectIdentifier, _ host: HostAddress, _ isKnown: Bool) -> Bool {
        let verdict = places.arrived(id, from: host, isKnown: isKnown) { forwarders[$0]?.bytesLeftToRight == 0 }
        if case .admittedInPlace(let other) = verdict { forwarders[other]?.abort() }
        return verdict != .crowded
    }
}
