internal import Crypto

/// A public key of X25519 (RFC 7748), 32 bytes.
public struct AgreementKey: Hashable, Sendable {
    public static let byteCount = 32
    public let bytes: [UInt8]

    /// `nil` unless there are exactly 32 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = Array(bytes)
    }
}

/// A key pair of X25519. Its secret half never leaves it, and is wiped when the last copy goes.
public struct AgreementPair: Sendable {
    public let key: AgreementKey
    private let secret: Curve25519.KeyAgreement.PrivateKey

    /// A new one.
    public init(using random: inout some RandomNumberGenerator) {
        var seed = (0..<4).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } }
        defer { for index in seed.indices { seed[index] = 0 } }
        // Any 32 bytes are a secret of X25519.
        self = Self(seed: seed).unsafelyUnwrapped
    }

    /// From the 32 bytes of its secret half; `nil` for another number of them.
    public init?(seed: [UInt8]) {
        guard let secret = try? Curve25519.KeyAgreement.PrivateKey(rawRepresentation: seed) else { return nil }
        self.init(secret)
    }

    private init(_ secret: Curve25519.KeyAgreement.PrivateKey) {
        self.secret = secret
        // The library's own public keys have 32 bytes.
        key = AgreementKey(bytes: secret.publicKey.rawRepresentation).unsafelyUnwrapped
    }

    /// What both ends come to.
    ///
    /// - Throws: `weakKey` where the other key is one of the few with which everybody comes to the same.
    func agreed(with other: AgreementKey) throws(RatchetError) -> SharedSecret {
        guard let other = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: other.bytes),
            let shared = try? secret.sharedSecretFromKeyAgreement(with: other),
            // The library leaves this to its caller (RFC 7748, section 6.1).
            shared.withUnsafeBytes({ $0.contains { $0 != 0 } })
        else { throw .weakKey }
        return shared
    }
}
