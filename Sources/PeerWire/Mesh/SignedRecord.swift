/// A record with its node's signature, as it travels from node to node.
///
/// ```
/// format (1), 01 | key (32) | issue (8) | fields | signature (64)
/// signed: "p2prc/1 node record" ‖ all bytes before the signature
/// ```
/// The fields are those of messages (`FieldReader`): 1 (8) when the process began; 2 (8) instance; 3 (8) issued;
/// 4 (4) lifetime; 5 (2) roles; 6 text, name; 7 text, software; 8 addresses; 9 mappings; 10 statements of witnesses;
/// 11 text, note, left out where there is none.
/// What is read is passed on byte for byte, with fields that only later versions know.
public struct SignedRecord: Hashable, Sendable, CustomStringConvertible {
    /// The longest record. A longer one is refused.
    public static let maximumByteCount = 2_048
    static let format: UInt8 = 1
    static let signedPrefix = Array("p2prc/1 node record".utf8)

    /// Thousands of tables share one record: a copy is a pointer.
    private final class Storage: Sendable {
        let record: NodeRecord
        let bytes: [UInt8]
        // What is asked for most, without a copy of the record.
        let key: NodeKey
        let tag: UInt64
        let issue: UInt64
        let expires: Int64

        init(_ record: NodeRecord, _ bytes: [UInt8]) {
            self.record = record
            self.bytes = bytes
            key = record.key
            tag = record.key.tag
            issue = record.issue
            expires = record.expires
        }
    }

    private let storage: Storage

    public var record: NodeRecord { storage.record }
    public var bytes: [UInt8] { storage.bytes }
    public var key: NodeKey { storage.key }
    /// The record's, without a copy of it all.
    public var name: String { storage.record.name }
    public var roles: NodeRecord.Roles { storage.record.roles }
    public var issue: UInt64 { storage.issue }
    /// Seconds since 1970; from then on the record counts for nothing.
    public var expires: Int64 { storage.expires }
    /// The key's tag (`NodeKey.tag`).
    public var tag: UInt64 { storage.tag }

    /// Signs a record.
    ///
    /// - Throws: `WireError` where it is over a limit or not the signer's own.
    public init(_ record: NodeRecord, by identity: NodeIdentity) throws(WireError) {
        guard record.key == identity.key else { throw WireError(.malformedField, "a record of another key") }
        try self.init(record) { identity.signature(for: $0) }
    }

    /// Signs with whatever makes 64 bytes out of what is to be signed; simulations sign cheaply.
    public init(_ record: NodeRecord, signature: ([UInt8]) -> [UInt8]) throws(WireError) {
        let body = try Self.body(of: record)
        let bytes = body + signature(Self.signedPrefix + body)
        guard bytes.count <= Self.maximumByteCount else {
            throw WireError(.frameTooLong, "a record of \(bytes.count) bytes; \(Self.maximumByteCount) is the longest")
        }
        // Read back, so that what is sent is what others understand.
        try self.init(bytes)
    }

    /// Reads a record. Its signature is not judged: `isGenuine` does, once everything that is cheap was looked at.
    public init(_ bytes: [UInt8]) throws(WireError) {
        guard bytes.count <= Self.maximumByteCount else {
            throw WireError(.frameTooLong, "a record of \(bytes.count) bytes; \(Self.maximumByteCount) is the longest")
        }
        guard bytes.count > NodeKey.signatureByteCount else {
            throw WireError(.malformedFrame, "a record of \(bytes.count) bytes, which is less than its signature")
        }
        storage = Storage(try Self.record(bytes.dropLast(NodeKey.signatureByteCount)), bytes)
    }

    /// Whether the node that it describes has signed it.
    public var isGenuine: Bool { key.isSignature(signature, for: signedBytes) }

    public var signature: [UInt8] { Array(bytes.suffix(NodeKey.signatureByteCount)) }
    public var signedBytes: [UInt8] { Self.signedPrefix + bytes.dropLast(NodeKey.signatureByteCount) }

    public static func == (left: SignedRecord, right: SignedRecord) -> Bool {
        left.storage === right.storage || left.bytes == right.bytes
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
    public var description: String { "record \(issue) of \(key.short)" }
}

extension NodeKey {
    /// The first eight bytes as a number: names a key in digests. To find a key with the tag of another takes 2⁶⁴
    /// attempts; who has the same tag as a key that is known is refused.
    public var tag: UInt64 {
        var tag: UInt64 = 0
        for index in 0..<8 { tag = tag << 8 | UInt64(bytes[index]) }
        return tag
    }
}
