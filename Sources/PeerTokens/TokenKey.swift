public import PeerCore
internal import PeerWire

/// A key that signs tokens (Ed25519). A relay has one that signs, and after a rotation the one before it, whose tokens
/// still count for a while.
public struct TokenKey: Hashable, Sendable {
    public static let seedByteCount = NodeIdentity.seedByteCount

    let seed: [UInt8]
    /// 32 bytes, for whoever checks tokens with other tools.
    public let publicKey: [UInt8]
    /// The header `kid`: the public key's first eight bytes in hexadecimal.
    public let id: String
    /// From then on its tokens are refused; `nil`: not limited.
    public let validUntil: WallTime?

    /// `nil` unless the seed has 32 bytes.
    public init?(seed: [UInt8], validUntil: WallTime? = nil) {
        guard let identity = NodeIdentity(seed: seed) else { return nil }
        self.seed = seed
        publicKey = identity.key.bytes
        id = identity.key.short
        self.validUntil = validUntil
    }
}
