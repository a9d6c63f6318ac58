public import PeerWire

/// Who asks: what the reactor says in its preface, and what this node makes of it.
public struct Caller: Hashable, Sendable {
    /// Where the caller connects from; `nil` when the reactor asks for itself.
    public let address: VisitorAddress?
    /// The node key that the caller proved by its certificate; `nil` without one.
    public let key: NodeKey?
    /// Whether this node takes that key for one of its own.
    public let isMember: Bool

    public init(address: VisitorAddress?, key: NodeKey?, isMember: Bool) {
        self.address = address
        self.key = key
        self.isMember = isMember
    }

    init(_ preface: ProxyPreface, isMember: MembershipCheck) async {
        switch preface {
        case .local:
            self.init(address: nil, key: nil, isMember: false)
        case .proxied(let connection):
            let key = connection.nodeKey
            var isKnown = false
            if let key { isKnown = await isMember(key) }
            self.init(address: connection.source, key: key, isMember: isKnown)
        }
    }
}

/// Answers questions of the mesh; `nil` where there is no mesh.
public typealias MeshResponder = @Sendable (MeshQuestion) async -> MeshResponse

/// Asked at each request, so that a key that was taken back is refused on a connection that stands.
public typealias MembershipCheck = @Sendable (NodeKey) async -> Bool
