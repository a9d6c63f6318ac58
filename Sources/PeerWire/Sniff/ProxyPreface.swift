/// What a proxy writes before the bytes that it forwards: from whom they come. PROXY protocol, version 2 (HAProxy,
/// doc/proxy-protocol.txt, section 2.2), for TCP over IPv4 and IPv6.
///
/// ```
/// 0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a | version and command (1) | family (1) | length of the rest (2)
/// command 1, family 11: source (4) | destination (4) | source port (2) | destination port (2) | fields
/// command 1, family 21: source (16) | destination (16) | source port (2) | destination port (2) | fields
/// command 0:            anything; it is passed over
/// field:                type (1) | length (2) | value
/// ```
/// Whoever reads it believes it, so it is read only from a proxy that is known, and never looked for elsewhere.
public enum ProxyPreface: Hashable, Sendable {
    /// The proxy speaks for itself, such as to see whether the other end lives.
    case local
    case proxied(Connection)

    /// The longest that is written or read. The specification counts on what fits into any first segment: 536 bytes,
    /// the smallest maximum of IPv4.
    public static let maximumByteCount = 536
    static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
    static let headByteCount = 16

    /// One fact about the connection, with a type of the specification or, from `e0` to `ef`, one of our own.
    public struct Field: Hashable, Sendable {
        /// The caller's node key, 32 bytes, proven to the proxy. In the range for private use.
        public static let nodeKey: UInt8 = 0xe5

        public var type: UInt8
        public var value: [UInt8]

        public init(type: UInt8, value: [UInt8]) {
            self.type = type
            self.value = value
        }

        var byteCount: Int { 3 + value.count }
    }

    /// The connection that the proxy took.
    public struct Connection: Hashable, Sendable {
        public let source: VisitorAddress
        /// Where `source` connected to.
        public let destination: VisitorAddress
        public let fields: [Field]

        /// A pair of IPv4 and IPv6 becomes one of IPv6: the protocol has one family for both, and `::ffff:a.b.c.d`
        /// says the same as `a.b.c.d` (RFC 4291, section 2.5.5.2).
        ///
        /// `nil` when all of it is longer than `maximumByteCount`, or when it names two node keys or half a one.
        public init?(source: VisitorAddress, destination: VisitorAddress, fields: [Field] = []) {
            let isMixed = source.isIPv6 != destination.isIPv6
            self.source = isMixed ? source.asIPv6 : source
            self.destination = isMixed ? destination.asIPv6 : destination
            self.fields = fields
            let keys = fields.filter { $0.type == Field.nodeKey }
            guard keys.count <= 1, keys.allSatisfy({ $0.value.count == NodeKey.byteCount }),
                ProxyPreface.headByteCount + byteCount <= ProxyPreface.maximumByteCount
            else { return nil }
        }

        /// As above, with the key that the caller proved; without one the caller is a stranger.
        public init?(source: VisitorAddress, destination: VisitorAddress, nodeKey: NodeKey?) {
            let fields = nodeKey.map { [Field(type: Field.nodeKey, value: $0.bytes)] } ?? []
            self.init(source: source, destination: destination, fields: fields)
        }

        public var nodeKey: NodeKey? {
            fields.first { $0.type == Field.nodeKey }.flatMap { NodeKey(bytes: $0.value) }
        }

        var family: Family { source.isIPv6 ? .tcpOverIPv6 : .tcpOverIPv4 }

        /// What follows the head.
        var byteCount: Int { fields.reduce(family.byteCount) { $0 + $1.byteCount } }
    }

    enum Command: UInt8 {
        case local = 0x20
        case proxy = 0x21
    }

    enum Family: UInt8 {
        case tcpOverIPv4 = 0x11
        case tcpOverIPv6 = 0x21

        var hostByteCount: Int {
            switch self {
            case .tcpOverIPv4: 4
            case .tcpOverIPv6: 16
            }
        }

        /// Two hosts and two ports.
        var byteCount: Int { 2 * hostByteCount + 4 }
    }

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.signature)
        switch self {
        case .local:
            writer.write(Command.local.rawValue)
            writer.write(UInt8(0))
            writer.write(UInt16(0))
        case .proxied(let connection):
            writer.write(Command.proxy.rawValue)
            writer.write(connection.family.rawValue)
            writer.write(UInt16(connection.byteCount))
            writer.write(connection.source.host.prefix(connection.family.hostByteCount))
            writer.write(connection.destination.host.prefix(connection.family.hostByteCount))
            writer.write(connection.source.port)
            writer.write(connection.destination.port)
            for field in connection.fields {
                writer.write(field.type)
                writer.write(UInt16(field.value.count))
                writer.write(field.value)
            }
        }
        return writer.bytes
    }
}

extension VisitorAddress {
    var asIPv6: VisitorAddress {
        isIPv6
            ? self
            : VisitorAddress(
                isIPv6: true, host: [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + host.prefix(4), port: port)
    }
}
