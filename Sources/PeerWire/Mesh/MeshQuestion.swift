/// What another node posts to `POST /v1/mesh` (docs/mesh.md), with what its connection proves.
public struct MeshQuestion: Hashable, Sendable {
    /// Proven by the caller's certificate.
    public var key: NodeKey
    /// Where the caller connects from.
    public var source: NodeAddress
    /// The caller's proof of membership (`MemberProof`), as it came; `nil` where it showed none.
    public var proof: String?
    public var body: [UInt8]

    public init(key: NodeKey, source: NodeAddress, proof: String?, body: [UInt8]) {
        self.key = key
        self.source = source
        self.proof = proof
        self.body = body
    }
}

/// What this node answers to a `MeshQuestion`.
public enum MeshResponse: Hashable, Sendable {
    /// - Parameter proof: of this node's own membership, for the caller.
    case answer([UInt8], proof: String?)
    /// The caller asks too often, or this node has enough to do: 429.
    case busy
    /// The body is no question of the mesh: 400.
    case malformed
    /// The caller is no member, and gets the same answer as any stranger.
    case stranger
}
