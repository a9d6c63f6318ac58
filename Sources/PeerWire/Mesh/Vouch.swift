/// A peer tells a relay, unasked, at which address it reached it: for a relay that has nobody to ask, because all
/// that it knows are behind NAT.
///
/// ```
/// request: 0a | statement (32 + 8 + 7 or 19 + 64), as in a dial-back
/// answer:  0b | 1 it counts, 0 it does not (1)
/// ```
/// The connection that carries it is the dial that it tells of: to that address, with the relay's key pinned.
public struct Vouch: Hashable, Sendable {
    public static let requestKind: UInt8 = 10
    public static let answerKind: UInt8 = 11
    public static let maximumByteCount = 1 + 40 + 19 + NodeKey.signatureByteCount

    public var statement: DialBackStatement

    public init(_ statement: DialBackStatement) { self.statement = statement }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.requestKind)
        writer.write(statement)
        return writer.bytes
    }

    /// `nil` unless these are the bytes of one.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count <= Self.maximumByteCount else { return nil }
        var reader = ByteReader(bytes)
        guard reader.read(UInt8.self) == Self.requestKind, let statement = reader.readStatement(), reader.isAtEnd
        else { return nil }
        self.init(statement)
    }

    public static func answer(counts: Bool) -> [UInt8] { [answerKind, counts ? 1 : 0] }
}
