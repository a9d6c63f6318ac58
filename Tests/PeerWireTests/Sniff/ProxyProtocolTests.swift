import PeerWire
import Testing

@Suite("The header that tells a target of its visitor")
struct ProxyProtocolTests {
    private static let ipv4 = VisitorAddress(isIPv6: false, host: [198, 51, 100, 7], port: 49_152)
    private static let place = VisitorAddress(isIPv6: false, host: [203, 0, 113, 11], port: 20_053)
    private static let ipv6 = VisitorAddress(
        isIPv6: true, host: [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1], port: 443)
    private static let placeIPv6 = VisitorAddress(
        isIPv6: true, host: [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [2], port: 20_053)
    /// Section 2.2: the signature, then version 2 with the command PROXY.
    private static let head = "0d0a0d0a000d0a515549540a21"

    @Test("version 2 is laid out as the specification says, byte by byte")
    func version2() {
        #expect(
            Hex.encode(ProxyProtocol.v2.header(.datagram, from: Self.ipv4, to: Self.place))
                == Self.head + "12000c" + "c6336407" + "cb00710b" + "c000" + "4e55")
        #expect(
            Hex.encode(ProxyProtocol.v2.header(.connection, from: Self.ipv4, to: Self.place))
                == Self.head + "11000c" + "c6336407" + "cb00710b" + "c000" + "4e55")
        let hosts = "20010db8000000000000000000000001" + "20010db8000000000000000000000002"
        #expect(
            Hex.encode(ProxyProtocol.v2.header(.datagram, from: Self.ipv6, to: Self.placeIPv6))
                == Self.head + "220024" + hosts + "01bb" + "4e55")
        #expect(
            Hex.encode(ProxyProtocol.v2.header(.connection, from: Self.ipv6, to: Self.placeIPv6))
                == Self.head + "210024" + hosts + "01bb" + "4e55")
    }

    @Test("each is read as it is written, and nothing else is one")
    func spelled() {
        #expect(ProxyProtocol.allCases.map(\.description) == ["off", "v1", "v2"])
        for version in ProxyProtocol.allCases { #expect(ProxyProtocol(version.description) == version) }
        for text in ["", "V2", "v3", "v0", "2", "v2 ", "on"] { #expect(ProxyProtocol(text) == nil, "\(text)") }
    }

    @Test("version 1 is a line, and has no form for datagrams")
    func version1() {
        let text = { (bytes: [UInt8]) in String(decoding: bytes, as: UTF8.self) }
        #expect(
            text(ProxyProtocol.v1.header(.connection, from: Self.ipv4, to: Self.place))
                == "PROXY TCP4 198.51.100.7 203.0.113.11 49152 20053\r\n")
        #expect(
            text(ProxyProtocol.v1.header(.connection, from: Self.ipv6, to: Self.placeIPv6))
                == "PROXY TCP6 2001:db8::1 2001:db8::2 443 20053\r\n")
        #expect(ProxyProtocol.v1.covers(.tcp) && !ProxyProtocol.v1.covers(.udp))
        #expect(!ProxyProtocol.v1.covers([.tcp, .udp]) && ProxyProtocol.v2.covers([.tcp, .udp]))
    }

    @Test("the family is the visitor's, and an IPv4 address has one form")
    func families() {
        let mapped = VisitorAddress(
            isIPv6: true, host: [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 198, 51, 100, 7], port: 49_152)
        #expect(
            ProxyProtocol.v2.header(.datagram, from: mapped, to: Self.place)
                == ProxyProtocol.v2.header(.datagram, from: Self.ipv4, to: Self.place))
        #expect(
            Hex.encode(ProxyProtocol.v2.header(.datagram, from: Self.ipv4, to: Self.placeIPv6))
                == Self.head + "12000c" + "c6336407" + "00000000" + "c000" + "4e55")
        #expect(ProxyProtocol.off.header(.datagram, from: Self.ipv4, to: Self.place).isEmpty)
    }
}
