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

/// One end's half of the X25519 exchange (RFC 7748) of a session; used once.
public struct EphemeralKey: Sendable {
    public static let seedByteCount = 32
    public let publicBytes: [UInt8]
    private let pair: Curve25519.KeyAgreement.PrivateKey

    /// `nil` unless the seed has 32 bytes.
    public init?(seed: [UInt8]) {
        guard let pair = try? Curve25519.KeyAgreement.PrivateKey(rawRepresentation: seed) else { return nil }
        self.pair = pair
        publicBytes = Array(pair.publicKey.rawRepresentation)
    }

    /// The session's secret, bound to everything that was said (`transcript`). `nil` for a bad public key.
    public func secret(with other: [UInt8], transcript: [UInt8]) -> SessionSecret? {
        guard let key = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: other),
            let shared = try? pair.sharedSecretFromKeyAgreement(with: key),
            // A point of small order makes a secret of zeros, whatever our half (RFC 7748, section 6.1); the library
            // lets it pass.
            shared.withUnsafeBytes({ $0.contains { $0 != 0 } })
        else { return nil }
        return SessionSecret(
            key: shared.hkdfDerivedSymmetricKey(
                using: SHA256.self, salt: SHA256.digest(of: transcript), sharedInfo: Array("p2prc/1 session".utf8),
                outputByteCount: 32))
    }
}

/// Known to the two ends of a session only; proves that a data channel belongs to it.
public struct SessionSecret: Sendable {
    public static let proofByteCount = 32
    private let key: SymmetricKey

    fileprivate init(key: SymmetricKey) { self.key = key }

    func proof(of bytes: [UInt8]) -> [UInt8] { Array(HMAC<SHA256>.authenticationCode(for: bytes, using: key)) }

    /// Compares in constant time.
    func isProof(_ proof: [UInt8], of bytes: [UInt8]) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(proof, authenticating: bytes, using: key)
    }
}

extension SHA256 {
    static func digest(of bytes: [UInt8]) -> [UInt8] { Array(hash(data: bytes)) }
}

/// Everything said in a handshake, hashed, so that a signature covers it all.
public struct Transcript: Sendable {
    private var said: [UInt8] = []

    public init() {}

    public mutating func add(_ bytes: [UInt8]) { said.append(contentsOf: bytes) }

    /// What an end signs: its role's name, and the hash of all that was said.
    public func signed(role: String) -> [UInt8] { Array("p2prc/1 \(role)".utf8) + SHA256.digest(of: said) }

    public var bytes: [UInt8] { said }
}
