internal import Crypto

/// One direction's keys between two steps of the ratchet: each record's key comes from the chain's, which goes on by a
/// one-way function, so that what is gone cannot be opened any more (Double Ratchet, sections 2.2 and 5.2).
struct Chain: Sendable {
    private var key: SymmetricKey
    /// What the headers of this chain are sealed with.
    let header: SymmetricKey
    /// Of the next record.
    private(set) var number: UInt32 = 0

    init(key: SymmetricKey, header: SymmetricKey) {
        self.key = key
        self.header = header
    }

    /// The next record's key.
    ///
    /// - Throws: `exhausted`.
    mutating func next() throws(RatchetError) -> SymmetricKey {
        guard number < .max else { throw .exhausted }
        let message = SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: [0x01], using: key))
        key = SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: [0x02], using: key))
        number += 1
        return message
    }
}

/// What a step of the ratchet makes of the root key and what both ends have agreed.
struct RootStep {
    private static let info = Array("p2prc ratchet".utf8)

    let root: SymmetricKey
    let chain: SymmetricKey
    /// For the headers of the chain after this one.
    let nextHeader: SymmetricKey

    init(_ root: SymmetricKey, _ agreed: SharedSecret) {
        let salt = root.withUnsafeBytes { SecretBytes(Array($0)) }
        let made = agreed.hkdfDerivedSymmetricKey(
            using: SHA256.self, salt: salt.contents, sharedInfo: Self.info, outputByteCount: 96)
        (self.root, chain, nextHeader) = made.withUnsafeBytes { bytes in
            (
                SymmetricKey(data: bytes[0..<32]), SymmetricKey(data: bytes[32..<64]),
                SymmetricKey(data: bytes[64..<96])
            )
        }
    }
}

/// Keys of records that have not come yet, where records may be lost or overtake each other; the oldest goes first.
struct SkippedKeys: Sendable {
    private struct Entry: Sendable {
        let chain: SymmetricKey
        let number: UInt32
        let key: SymmetricKey
    }

    private var entries: [Entry] = []

    var count: Int { entries.count }

    mutating func insert(_ key: SymmetricKey, _ number: UInt32, of chain: SymmetricKey, atMost limit: Int) {
        if entries.count >= limit { entries.removeFirst() }
        entries.append(Entry(chain: chain, number: number, key: key))
    }

    /// The header keys of the chains that keys are kept of, each once.
    var chains: [SymmetricKey] {
        entries.reduce(into: []) { if $0.last != $1.chain { $0.append($1.chain) } }
    }

    func key(_ number: UInt32, of chain: SymmetricKey) -> SymmetricKey? {
        entries.first { $0.number == number && $0.chain == chain }?.key
    }

    mutating func remove(_ number: UInt32, of chain: SymmetricKey) {
        entries.removeAll { $0.number == number && $0.chain == chain }
    }
}
