internal import Crypto

/// A node's key pair (Ed25519, RFC 8032), from its 32-byte seed.
public struct NodeIdentity: Sendable {
    public static let seedByteCount = 32
    public let key: NodeKey
    private let pair: Curve25519.Signing.PrivateKey

    /// `nil` unless the seed has 32 bytes.
    public init?(seed: [UInt8]) {
        guard let pair = try? Curve25519.Signing.PrivateKey(rawRepresentation: seed),
            let key = NodeKey(bytes: Array(pair.publicKey.rawRepresentation))
        else { return nil }
        self.pair = pair
        self.key = key
    }

    /// 64 bytes.
    public func signature(for bytes: [UInt8]) -> [UInt8] {
        // Ed25519 signs anything; the library throws only for hardware keys, which these are not.
        (try? Array(pair.signature(for: bytes))) ?? []
    }
}

extension NodeKey {
    public func isSignature(_ signature: [UInt8], for content: [UInt8]) -> Bool {
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: bytes) else { return false }
        return key.isValidSignature(signature, for: content)
    }
}
