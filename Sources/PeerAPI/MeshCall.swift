public import PeerWire

/// What another node says at `POST /v1/mesh` (docs/mesh.md): bytes there, bytes back. What they mean is decided by
/// whoever serves it.
public struct MeshCall: Sendable {
    /// Proven by the caller's certificate.
    public let key: NodeKey
    /// Where the caller connects from.
    public let source: VisitorAddress
    /// What the caller shows to be a member (`MemberProof`), as it came.
    public let proof: String?
    public let body: [UInt8]

    public init(key: NodeKey, source: VisitorAddress, proof: String?, body: [UInt8]) {
        self.key = key
        self.source = source
        self.proof = proof
        self.body = body
    }
}

public enum MeshReply: Hashable, Sendable {
    /// - Parameter proof: of this node's own membership, for the caller.
    case answer([UInt8], proof: String?)
    /// The caller asks too often, or this node has enough to do: 429.
    case busy
    /// These bytes say nothing: 400.
    case malformed
    /// The caller is no member: it is told what strangers are told.
    case stranger
}

/// Answers mesh calls; `nil` where there is no mesh.
public typealias MeshResponder = @Sendable (MeshCall) async -> MeshReply
