import PeerCore
import PeerWire

/// Signatures for simulations: a keyed hash in the place of Ed25519, thousands of times cheaper. Who has no
/// `Seal` of a key cannot sign for it; nobody in a simulation looks into the secret.
package struct Seal {
    package let key: NodeKey

    package init(_ number: Int) {
        // Spread over all buckets, as keys are.
        key = NodeKey(bytes: .seed(UInt64(number)))!
    }

    private static func hash(_ parts: UnsafeRawBufferPointer, _ key: NodeKey) -> UInt64 {
        var hasher = Hasher()
        hasher.combine("the secret of")
        hasher.combine(key.tag)
        hasher.combine(bytes: parts)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    private static func sealed(_ bytes: [UInt8], _ key: NodeKey) -> [UInt8] {
        let hash = bytes.withUnsafeBytes { Self.hash($0, key) }
        return (0..<64).map { UInt8(truncatingIfNeeded: hash >> UInt64($0 % 8 * 8)) }
    }

    package func sign(_ record: NodeRecord) -> SignedRecord {
        // Without the words that say what is signed: `isGenuine` hashes the bytes where they are.
        try! SignedRecord(record) { Self.sealed(Array($0.dropFirst(Self.wordCount)), key) }
    }

    package func sign(_ content: DialBackStatement.Content) -> DialBackStatement {
        DialBackStatement(content, signature: Self.sealed(content.signedBytes, key))
    }

    private static let wordCount = "p2prc/1 node record".utf8.count

    package static let isGenuine: @Sendable (SignedRecord) -> Bool = { record in
        record.bytes.withUnsafeBytes { bytes in
            let hash = hash(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 64)]), record.key)
            return bytes.loadUnaligned(fromByteOffset: bytes.count - 64, as: UInt64.self) == hash
        }
    }

    package static let isStatement: @Sendable (DialBackStatement, NodeKey) -> Bool = { statement, subject in
        statement.signature == sealed(statement.content(of: subject).signedBytes, statement.witness)
    }

    /// A record as nodes of tests write it.
    package func record(
        issue: UInt64 = 1_800_000_000_000, issued: Int64 = 1_800_000_000, lifetime: UInt32 = 3_600,
        roles: NodeRecord.Roles = [], name: String = "", addresses: [NodeAddress] = [],
        witnesses: [DialBackStatement] = []
    ) -> SignedRecord {
        sign(
            NodeRecord(
                key: key, issue: issue, process: .init(began: issue, instance: 1), issued: issued, lifetime: lifetime,
                content: .init(roles: roles, name: name, software: "test", addresses: addresses, witnesses: witnesses)))
    }
}

extension HostAddress {
    /// Four groups and the last one.
    package static func v6(_ groups: [Int], _ last: Int) -> HostAddress {
        let all = groups + [Int](repeating: 0, count: 7 - groups.count) + [last & 0xffff]
        return HostAddress(bytes: all.flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] })!
    }

    package static func v4(_ number: Int) -> HostAddress {
        HostAddress(bytes: [45, UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255)])!
    }
}

extension NodeAddress {
    package static func number(_ number: Int, port: UInt16 = 8_088) -> NodeAddress {
        NodeAddress(host: .v4(number), port: port)!
    }
}

extension Network {
    package static func number(_ number: Int) -> Network { Network(of: .v4(number), prefixLength: 32) }
}
