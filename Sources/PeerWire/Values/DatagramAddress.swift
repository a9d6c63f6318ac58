/// Where a datagram comes from or goes to: an IP address with a port, in 24 bytes and without memory of its own. IPv4
/// is in its mapped form (RFC 4291, section 2.5.5.2), so that one address is written in one way.
public struct DatagramAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address's bytes in network byte order, as two numbers.
    public var high: UInt64
    public var low: UInt64
    /// An interface's number, for link-local addresses alone.
    public var scope: UInt32
    public var port: UInt16

    public init(high: UInt64, low: UInt64, scope: UInt32 = 0, port: UInt16) {
        self.high = high
        self.low = low
        self.scope = scope
        self.port = port
    }

    public init(_ host: HostAddress, scope: UInt32 = 0, port: UInt16) {
        let bits = host.isIPv6 ? host.bits : host.bits >> 96 | 0xffff << 32
        self.init(
            high: UInt64(truncatingIfNeeded: bits >> 64), low: UInt64(truncatingIfNeeded: bits), scope: scope,
            port: port)
    }

    public var isIPv4: Bool { high == 0 && low >> 32 == 0xffff }

    /// The host, or of IPv6 its /64, as a number.
    public var source: UInt64 { high == 0 ? low : high }

    public var host: HostAddress { HostAddress(isIPv6: true, bits: UInt128(high) << 64 | UInt128(low)) }

    public var visitorAddress: VisitorAddress {
        let host = host
        return VisitorAddress(isIPv6: host.isIPv6, host: host.bytes, port: port)
    }

    /// As it is written with a port: `192.0.2.1:53`, `[2001:db8::1]:53`.
    public var description: String { isIPv4 ? "\(host):\(port)" : "[\(host)]:\(port)" }
}
