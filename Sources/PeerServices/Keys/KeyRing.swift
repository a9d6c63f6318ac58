public import PeerDataPlane
public import PeerReactor
public import PeerWire

/// The keys of a node, in one place: whoever needs one asks here, at the moment of use. From any thread; asked once for
/// a handshake or a signature, and never for a byte.
public final class KeyRing: TLSCredentials {
    private struct State: Sendable {
        var identity: NodeIdentity
        var history: KeyHistory
        var tls: TLSContext
        var meshKeys: [MeshKey]
    }

    private let state: Locked<State>
    /// Of the sessions that stand here, for their data channels.
    public let channelKeys = ChannelKeys()

    /// - Parameters:
    ///   - seed: of the node key.
    ///   - history: how the node came to that key.
    ///   - meshKeys: of this node's own mesh, the present one first.
    public init(
        _ identity: NodeIdentity, seed: [UInt8], history: KeyHistory, meshKeys: [MeshKey] = []
    ) throws(TLSFailure) {
        let tls = try TLSContext(seed: seed, keys: channelKeys)
        state = Locked(State(identity: identity, history: history, tls: tls, meshKeys: meshKeys))
    }

    public var identity: NodeIdentity { state.withLock(\.identity) }
    public var key: NodeKey { identity.key }
    /// How the node came to its key.
    public var history: KeyHistory { state.withLock(\.history) }
    /// For handshakes that begin now.
    package var tls: TLSContext { state.withLock(\.tls) }
    /// Of this node's own mesh, the present one first.
    public var meshKeys: [MeshKey] { state.withLock(\.meshKeys) }

    /// The node has another key from now on. Nothing has changed where this fails.
    public func rotate(to identity: NodeIdentity, seed: [UInt8], history: KeyHistory) throws(TLSFailure) {
        let tls = try TLSContext(seed: seed, keys: channelKeys)
        state.withLock { ($0.identity, $0.history, $0.tls) = (identity, history, tls) }
    }

    /// - Returns: whether that is a change.
    public func change(meshKeys: [MeshKey]) -> Bool {
        state.withLock { state in
            defer { state.meshKeys = meshKeys }
            return state.meshKeys != meshKeys
        }
    }
}
