/// A node asks another one to dial it, in order to learn whether it can be dialled.
///
/// ```
/// request: 03 | nonce (32) | port (2)
/// answer:  04 | outcome (1) | address and port of the asker as the witness sees it (7 or 19)
///             | statement (32 + 8 + 7 or 19 + 64), only with the outcome `reached`
/// ```
/// There is no host in the request: the witness dials the address that the request comes from, and no other. The
/// nonce comes back over the dialled connection, so that the asker sees for itself that the dial has arrived.
public struct DialBackRequest: Hashable, Sendable {
    public static let kind: UInt8 = 3
    public static let nonceByteCount = 32
    public static let byteCount = 1 + nonceByteCount + 2

    public var nonce: [UInt8]
    public var port: UInt16

    public init(nonce: [UInt8], port: UInt16) {
        self.nonce = nonce
        self.port = port
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.kind)
        writer.write(nonce)
        writer.write(port)
        return writer.bytes
    }

    /// `nil` unless these are the bytes of a request, with a port to dial.
    public init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard bytes.count == Self.byteCount, reader.read(UInt8.self) == Self.kind,
            let nonce = reader.read(count: Self.nonceByteCount), let port = reader.read(UInt16.self), port > 0
        else { return nil }
        self.init(nonce: Array(nonce), port: port)
    }
}

public struct DialBackAnswer: Hashable, Sendable {
    public static let kind: UInt8 = 4
    public static let maximumByteCount = 2 + 19 + 40 + 19 + NodeKey.signatureByteCount

    public enum Outcome: UInt8, Hashable, Sendable {
        /// The asker's key answered there.
        case reached = 0
        /// Nobody answered there, or somebody else.
        case notReached = 1
        /// The witness does not dial now: it has done so often enough.
        case busy = 2
        /// The witness does not dial addresses like this one, or cannot tell where the request came from.
        case notDialled = 3
    }

    public var outcome: Outcome
    /// Where the request came from, as the witness sees it.
    public var observed: NodeAddress
    /// There if and only if the outcome is `reached`.
    public var statement: DialBackStatement?

    /// - Parameter statement: with it the outcome is `reached`.
    public init(observed: NodeAddress, statement: DialBackStatement) {
        outcome = .reached
        self.observed = observed
        self.statement = statement
    }

    /// `nil` for `reached`, which takes a statement.
    public init?(_ outcome: Outcome, observed: NodeAddress) {
        guard outcome != .reached else { return nil }
        self.outcome = outcome
        self.observed = observed
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.kind)
        writer.write(outcome.rawValue)
        writer.write(observed)
        if let statement { writer.write(statement) }
        return writer.bytes
    }

    /// `nil` unless these are the bytes of an answer.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count <= Self.maximumByteCount else { return nil }
        var reader = ByteReader(bytes)
        guard reader.read(UInt8.self) == Self.kind, let code = reader.read(UInt8.self),
            let outcome = Outcome(rawValue: code), let observed = reader.readAddress()
        else { return nil }
        self.outcome = outcome
        self.observed = observed
        if outcome == .reached {
            guard let statement = reader.readStatement() else { return nil }
            self.statement = statement
        }
        guard reader.isAtEnd else { return nil }
    }
}
