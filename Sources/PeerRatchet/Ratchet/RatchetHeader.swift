internal import Crypto

/// What the other end needs in order to find a record's key. Sealed itself (Double Ratchet, section 4): a relay sees no
/// number and no key, so that it can neither forge a count of records to skip nor tell two circuits' records apart.
///
/// ```
/// key (32) | records of the former chain (4) | number in this chain (4)
/// ```
struct RatchetHeader: Hashable {
    static let byteCount = AgreementKey.byteCount + 8

    var key: AgreementKey
    /// Records of the sender's chain before this one.
    var former: UInt32
    /// Of the record in its chain, from 0 on.
    var number: UInt32

    var bytes: [UInt8] { key.bytes + former.bigEndianBytes + number.bigEndianBytes }

    init(key: AgreementKey, former: UInt32, number: UInt32) {
        self.key = key
        self.former = former
        self.number = number
    }

    init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, let key = AgreementKey(bytes: bytes.prefix(AgreementKey.byteCount)),
            let former = UInt32(bigEndianBytes: bytes[32..<36]), let number = UInt32(bigEndianBytes: bytes[36..<40])
        else { return nil }
        self.init(key: key, former: former, number: number)
    }
}

/// How headers go over the wire.
package enum HeaderProtection: Sendable {
    /// Nonce (12), sealed header (40), tag (16).
    case sealed
    /// As it is, as in section 3 of the document. Others' implementations, which judge this one in tests, have it so.
    case open

    var byteCount: Int {
        switch self {
        case .sealed: RecordSuite.nonceByteCount + RatchetHeader.byteCount + RecordSuite.tagByteCount
        case .open: RatchetHeader.byteCount
        }
    }

    /// Many headers are sealed with one key: each has a nonce drawn at random.
    func protected(
        _ header: RatchetHeader, _ key: SymmetricKey, _ suite: RecordSuite,
        using random: inout some RandomNumberGenerator
    ) throws(RatchetError) -> [UInt8] {
        guard case .sealed = self else { return header.bytes }
        let drawn = random.next().bigEndianBytes + random.next().bigEndianBytes
        let nonce = Array(drawn.prefix(RecordSuite.nonceByteCount))
        return nonce + (try suite.seal(header.bytes, key, nonce: nonce, authenticating: []))
    }

    /// What the headers of a chain are told by: the key that they are sealed with, or the one that stands in them.
    func mark(_ next: SymmetricKey, _ key: AgreementKey) -> SymmetricKey {
        switch self {
        case .sealed: next
        case .open: SymmetricKey(data: key.bytes)
        }
    }

    /// `nil` where it is not of that chain.
    func header(_ bytes: [UInt8], of chain: SymmetricKey, _ suite: RecordSuite) -> RatchetHeader? {
        switch self {
        case .sealed: unsealed(bytes, chain, suite)
        case .open: RatchetHeader(bytes).flatMap { SymmetricKey(data: $0.key.bytes) == chain ? $0 : nil }
        }
    }

    /// `nil` where it does not begin a chain.
    func header(_ bytes: [UInt8], beginning next: SymmetricKey, _ suite: RecordSuite) -> RatchetHeader? {
        switch self {
        case .sealed: unsealed(bytes, next, suite)
        case .open: RatchetHeader(bytes)
        }
    }

    private func unsealed(_ bytes: [UInt8], _ key: SymmetricKey, _ suite: RecordSuite) -> RatchetHeader? {
        let nonce = Array(bytes.prefix(RecordSuite.nonceByteCount))
        let sealed = bytes.dropFirst(RecordSuite.nonceByteCount)
        return (try? suite.open(sealed, key, nonce: nonce, authenticating: [])).flatMap(RatchetHeader.init)
    }
}
