/// Names one mapping for its whole life: made at random by the peer, kept over restarts, so that the relay
/// recognises the mapping whose port it still holds.
public struct MappingID: Hashable, Sendable, CustomStringConvertible {
    public static let byteCount = 8

    public let value: UInt64

    public init(value: UInt64) { self.value = value }

    /// Reads the 16 hexadecimal digits that `description` writes.
    public init?(_ text: String) {
        guard text.utf8.count == 16, let value = UInt64(text, radix: 16) else { return nil }
        self.value = value
    }

    public var description: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
