/// Names one mapping for its whole life: made at random by the peer, kept over restarts, so that the relay
/// recognises the mapping whose port it still holds.
public struct MappingID: Hashable, Sendable, CustomStringConvertible {
    public static let byteCount = 8

    public let value: UInt64

    public init(value: UInt64) { self.value = value }

    /// Reads the 16 hexadecimal digits that `description` writes.
    public init?(_ text: String) {
        // Not `UInt64(_:radix:)`, which takes a sign for a digit.
        guard let bytes = Hex.decode(text), bytes.count == Self.byteCount else { return nil }
        value = bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }

    public var description: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
