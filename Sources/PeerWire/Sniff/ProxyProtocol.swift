/// How a target is told who a visitor is: by a header of the PROXY protocol (HAProxy, doc/proxy-protocol.txt) in front
/// of what the visitor says.
public enum ProxyProtocol: UInt8, Hashable, Sendable, Codable, CaseIterable, LosslessStringConvertible {
    case off
    /// A line of text, of TCP alone (section 2.1).
    case v1
    /// In bytes (section 2.2): once in front of a connection, and in front of each datagram.
    case v2

    public enum Transport: Sendable { case connection, datagram }

    /// As it is written: `off`, `v1`, `v2`.
    public init?(_ text: String) {
        guard let version = Self.allCases.first(where: { $0.description == text }) else { return nil }
        self = version
    }

    public var description: String { self == .off ? "off" : "v\(rawValue)" }

    /// Whether it has a form for all of these.
    public func covers(_ protocols: TransportProtocols) -> Bool { self != .v1 || !protocols.contains(.udp) }

    /// What stands in front; nothing where it is off.
    ///
    /// - Parameters:
    ///   - visitor: whose family the header has, for a target looks at nothing else of it.
    ///   - place: that the visitor spoke to; of the other family: its port at the address of nobody.
    public func header(
        _ transport: Transport, from visitor: VisitorAddress, to place: VisitorAddress
    ) -> [UInt8] {
        let source = HostAddress(visitor)
        let known = HostAddress(place)
        let unknown = HostAddress(isIPv6: source.isIPv6, bits: 0)
        let destination = known.isIPv6 == source.isIPv6 ? known : unknown
        switch self {
        case .off: return []
        case .v1:
            let family = source.isIPv6 ? "TCP6" : "TCP4"
            return Array("PROXY \(family) \(source) \(destination) \(visitor.port) \(place.port)\r\n".utf8)
        case .v2:
            var writer = ByteWriter()
            writer.write(ProxyPreface.signature)
            writer.write(ProxyPreface.Command.proxy.rawValue)
            writer.write(UInt8(source.isIPv6 ? 0x20 : 0x10) | (transport == .datagram ? 2 : 1))
            writer.write(UInt16(2 * (source.width / 8) + 4))
            writer.write(source.bytes)
            writer.write(destination.bytes)
            writer.write(visitor.port)
            writer.write(place.port)
            return writer.bytes
        }
    }
}
