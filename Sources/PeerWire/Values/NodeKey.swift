/// A node's public key (Ed25519, 32 bytes): its identity. Addresses change, the key stays.
public struct NodeKey: Hashable, Sendable, CustomStringConvertible {
    public static let byteCount = 32
    public static let signatureByteCount = 64

    public let bytes: [UInt8]

    /// `nil` unless there are exactly 32 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// Reads the 64 hexadecimal digits that `description` writes.
    public init?(_ text: String) {
        guard let bytes = Hex.decode(text) else { return nil }
        self.init(bytes: bytes)
    }

    public var description: String { Hex.encode(bytes) }

    /// The first eight bytes in hexadecimal: for people and logs, never for decisions.
    public var short: String { Hex.encode(bytes.prefix(8)) }
}
