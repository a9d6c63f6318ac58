internal import Crypto

/// What records are sealed with. The initiator chooses; both directions of a circuit have the same.
public enum RecordSuite: UInt8, Sendable, CaseIterable {
    case aes256GCM = 1
    /// Where the processor has nothing for AES.
    case chacha20Poly1305 = 2
}

extension RecordSuite {
    static let nonceByteCount = 12
    static let tagByteCount = 16
    /// A message key seals one record, so that its nonce need not change.
    static let onlyNonce = [UInt8](repeating: 0, count: nonceByteCount)

    /// - Returns: as many bytes as the text has, and the tag.
    func seal(
        _ text: some Collection<UInt8>, _ key: SymmetricKey, nonce: [UInt8], authenticating data: [UInt8]
    ) throws(RatchetError) -> [UInt8] {
        let text = Array(text)
        do {
            switch self {
            case .aes256GCM:
                let box = try AES.GCM.seal(text, using: key, nonce: AES.GCM.Nonce(data: nonce), authenticating: data)
                return Array(box.ciphertext) + Array(box.tag)
            case .chacha20Poly1305:
                let box = try ChaChaPoly.seal(
                    text, using: key, nonce: ChaChaPoly.Nonce(data: nonce), authenticating: data)
                return Array(box.ciphertext) + Array(box.tag)
            }
        } catch { throw .malformed }
    }

    /// - Throws: `malformed` where there is not even a tag, `notGenuine`.
    func open(
        _ sealed: some Collection<UInt8>, _ key: SymmetricKey, nonce: [UInt8], authenticating data: [UInt8]
    ) throws(RatchetError) -> [UInt8] {
        guard sealed.count >= Self.tagByteCount else { throw .malformed }
        let text = Array(sealed.dropLast(Self.tagByteCount))
        let tag = Array(sealed.suffix(Self.tagByteCount))
        do {
            switch self {
            case .aes256GCM:
                let box = try AES.GCM.SealedBox(nonce: AES.GCM.Nonce(data: nonce), ciphertext: text, tag: tag)
                return Array(try AES.GCM.open(box, using: key, authenticating: data))
            case .chacha20Poly1305:
                let box = try ChaChaPoly.SealedBox(nonce: ChaChaPoly.Nonce(data: nonce), ciphertext: text, tag: tag)
                return Array(try ChaChaPoly.open(box, using: key, authenticating: data))
            }
        } catch { throw .notGenuine }
    }
}
