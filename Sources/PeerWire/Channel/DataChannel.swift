/// Some of a session's data channels: those that one of the relay's loops serves. Visitors are dealt out among a
/// session's groups, so that all loops of a relay work for it.
public struct ChannelGroup: Hashable, Sendable {
    /// Groups that a session may have.
    public static let maximum = 16
    public static let byteCount = 9
    /// The number of the one channel that carries frames of datagrams (`DatagramFrame`), where these do not get
    /// through themselves.
    public static let datagrams: UInt8 = 255

    public var session: SessionID
    /// From 0 on.
    public var number: UInt8

    public init(session: SessionID, number: UInt8) {
        self.session = session
        self.number = number
    }

    /// `session (8) | number (1)`, as on the wire and as the identity of a pre-shared key.
    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(session.value)
        writer.write(number)
        return writer.bytes
    }

    /// `nil` unless these are nine bytes.
    public init?(bytes: some Sequence<UInt8>) {
        var reader = ByteReader(Array(bytes)[...])
        guard let session = reader.read(UInt64.self), let number = reader.read(UInt8.self), reader.isAtEnd else {
            return nil
        }
        self.init(session: SessionID(value: session), number: number)
    }
}

/// First bytes of a plain data channel, from the peer: which group of which session it belongs to, and the proof of it.
/// (An encrypted one says the same in its TLS handshake.)
///
/// ```
/// preamble 'd' (8) | group (9) | number (8) | proof (32)
/// ```
/// The proof is HMAC-SHA256 over the first 25 bytes with the session's secret; each number counts once in a group.
public struct DataChannelHello: Hashable, Sendable {
    public static let byteCount = Preamble.byteCount + ChannelGroup.byteCount + 8 + PlainSecret.proofByteCount

    public var group: ChannelGroup
    public var number: UInt64
    public var proof: [UInt8]

    public init(group: ChannelGroup, number: UInt64, secret: PlainSecret) {
        self.group = group
        self.number = number
        proof = secret.proof(of: Self.proven(group, number))
    }

    public var bytes: [UInt8] { Self.proven(group, number) + proof }

    /// `nil` unless these are all the bytes of a hello for a data channel of this version.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, Preamble.read(bytes) == .preamble(Preamble(kind: .data)) else {
            return nil
        }
        var reader = ByteReader(bytes[Preamble.byteCount...])
        guard let group = reader.read(count: ChannelGroup.byteCount).flatMap({ ChannelGroup(bytes: $0) }),
            let number = reader.read(UInt64.self), let proof = reader.read(count: PlainSecret.proofByteCount)
        else { return nil }
        self.group = group
        self.number = number
        self.proof = Array(proof)
    }

    public func isProven(by secret: PlainSecret) -> Bool {
        secret.isProof(proof, of: Self.proven(group, number))
    }

    private static func proven(_ group: ChannelGroup, _ number: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Preamble(kind: .data).bytes)
        writer.write(group.bytes)
        writer.write(number)
        return writer.bytes
    }
}

/// The relay's word on a ready data channel, the frame `start`: from here on it carries this visitor.
///
/// ```
/// 01 | length (3) = 39
///    | flags (1) | port offset (2) | mapping (8) | visitor (8) | family (1) | 00 | visitor's port (2) | address (16)
/// ```
/// When the flag `wantsAnswer` (1) is set, the peer's first frame back is `alive`, before any of the target's: then the
/// relay knows that the idle channel was alive. The flag `isCheckOnly` (2) marks somebody whom a filter keeps out and
/// who comes from the peer's own address: it may be the peer that checks its mapping (`ReachabilityCheck`), and gets
/// nothing else.
public struct VisitorStart: Hashable, Sendable {
    private static let payloadByteCount = 39
    public static let byteCount = ChannelFrame.headerByteCount + payloadByteCount

    public var mapping: MappingID
    /// Which port of the mapping's range, counted from 0.
    public var portOffset: UInt16
    /// The same visitor keeps its number when the relay tries a second channel of the group.
    public var visitor: UInt64
    public var wantsAnswer: Bool
    public var isCheckOnly: Bool
    public var address: VisitorAddress

    public init(
        mapping: MappingID, portOffset: UInt16, visitor: UInt64, wantsAnswer: Bool, isCheckOnly: Bool = false,
        address: VisitorAddress
    ) {
        self.mapping = mapping
        self.portOffset = portOffset
        self.visitor = visitor
        self.wantsAnswer = wantsAnswer
        self.isCheckOnly = isCheckOnly
        self.address = address
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(ChannelFrame.header(.start, count: Self.payloadByteCount))
        writer.write(UInt8((wantsAnswer ? 1 : 0) | (isCheckOnly ? 2 : 0)))
        writer.write(portOffset)
        writer.write(mapping.value)
        writer.write(visitor)
        writer.write(address.isIPv6 ? UInt8(6) : 4)
        writer.write(UInt8(0))
        writer.write(address.port)
        writer.write(address.host)
        return writer.bytes
    }

    private static let header = ChannelFrame.header(.start, count: payloadByteCount)
    private static let familyOffset = ChannelFrame.headerByteCount + 19

    /// Whether a start may begin with these bytes.
    public static func mayBegin(with bytes: [UInt8]) -> Bool {
        guard bytes.prefix(header.count).elementsEqual(header.prefix(bytes.count)) else { return false }
        return bytes.count <= familyOffset || [4, 6].contains(bytes[familyOffset])
    }

    /// `nil` unless these are all the bytes of a start.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount,
            bytes.starts(with: Self.header)
        else { return nil }
        var reader = ByteReader(bytes[ChannelFrame.headerByteCount...])
        guard let flags = reader.read(UInt8.self),
            let offset = reader.read(UInt16.self), let mapping = reader.read(UInt64.self),
            let visitor = reader.read(UInt64.self), let family = reader.read(UInt8.self), family == 4 || family == 6,
            reader.read(UInt8.self) != nil, let port = reader.read(UInt16.self),
            let host = reader.read(count: VisitorAddress.hostByteCount)
        else { return nil }
        self.mapping = MappingID(value: mapping)
        self.portOffset = offset
        self.visitor = visitor
        self.wantsAnswer = flags & 1 != 0
        self.isCheckOnly = flags & 2 != 0
        self.address = VisitorAddress(isIPv6: family == 6, host: Array(host), port: port)
    }
}

/// Where a visitor comes from: 16 bytes of host (IPv4 uses the first four, the rest is zero) and the port.
public struct VisitorAddress: Hashable, Sendable {
    static let hostByteCount = 16

    public var isIPv6: Bool
    public var host: [UInt8]
    public var port: UInt16

    public init(isIPv6: Bool, host: [UInt8], port: UInt16) {
        self.isIPv6 = isIPv6
        self.host = Array((host + [UInt8](repeating: 0, count: Self.hostByteCount)).prefix(Self.hostByteCount))
        self.port = port
    }
}
