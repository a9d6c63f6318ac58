internal import Crypto

/// X3DH as Signal's document describes it (revision 1, sections 3.3 and 3.4), with X25519 and SHA-256, and without
/// one-time prekeys.
enum KeyAgreement {
    private static let info = Array("p2prc circuit".utf8)

    /// - Parameters:
    ///   - identity: the initiator's own, as is `ephemeral`.
    static func secret(
        identity: AgreementPair, ephemeral: AgreementPair, with bundle: PrekeyBundle
    ) throws(RatchetError) -> SymmetricKey {
        secret([
            try identity.agreed(with: bundle.prekey), try ephemeral.agreed(with: bundle.identity.key),
            try ephemeral.agreed(with: bundle.prekey),
        ])
    }

    /// - Parameters:
    ///   - identity: the receiving end's own, as is `prekey`.
    ///   - other: the initiator's.
    static func secret(
        identity: AgreementPair, prekey: AgreementPair, with other: AgreementKey, ephemeral: AgreementKey
    ) throws(RatchetError) -> SymmetricKey {
        secret([
            try prekey.agreed(with: other), try identity.agreed(with: ephemeral), try prekey.agreed(with: ephemeral),
        ])
    }

    /// In front stand 32 bytes that no key of X25519 has, so that it is never a secret of another curve (section 2.2).
    private static func secret(_ agreed: [SharedSecret]) -> SymmetricKey {
        let material = SecretBytes([UInt8](repeating: 0xff, count: 32))
        for one in agreed { one.withUnsafeBytes { material.append($0) } }
        return HKDF<SHA256>.deriveKey(
            inputKeyMaterial: material.key, salt: [UInt8](repeating: 0, count: 32), info: info, outputByteCount: 32)
    }
}

/// Bytes that are wiped when they go.
final class SecretBytes {
    private var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    deinit { wipe() }

    func append(_ more: UnsafeRawBufferPointer) {
        // An array that grows leaves its former place as it was.
        var grown = [UInt8](repeating: 0, count: bytes.count + more.count)
        grown.replaceSubrange(0..<bytes.count, with: bytes)
        grown.replaceSubrange(bytes.count..., with: more)
        wipe()
        bytes = grown
    }

    var key: SymmetricKey { SymmetricKey(data: bytes) }
    var contents: [UInt8] { bytes }

    private func wipe() { bytes.withUnsafeMutableBytes { for index in $0.indices { $0[index] = 0 } } }
}
