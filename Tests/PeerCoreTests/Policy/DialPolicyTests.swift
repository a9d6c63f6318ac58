import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct DialPolicyTests {
    static let attached = [
        DialPolicy.Attachment(address: [192, 168, 7, 20], prefixLength: 24),
        DialPolicy.Attachment(address: [127, 0, 0, 1], prefixLength: 8),
        DialPolicy.Attachment(address: [0xfd, 1] + [UInt8](repeating: 0, count: 13) + [9], prefixLength: 64),
    ]

    static func allows(_ address: [UInt8]) -> Bool { DialPolicy.allows(address, attachedTo: attached) }
    static func v6(_ head: [UInt8], _ last: UInt8 = 1) -> [UInt8] {
        head + [UInt8](repeating: 0, count: 15 - head.count) + [last]
    }

    @Test func `public addresses and attached networks are dialled`() {
        for address: [UInt8] in [[8, 8, 8, 8], [192, 168, 7, 99], [100, 63, 0, 1], [172, 32, 0, 1]] {
            #expect(Self.allows(address), "\(address)")
        }
        #expect(Self.allows(Self.v6([0x26, 0x06])))
        #expect(Self.allows(Self.v6([0xfd, 1], 77)))
    }

    @Test func `this machine is not, by any of its addresses, unless the user's configuration names that one`() throws {
        let own = [UInt8]([192, 168, 7, 20])
        #expect(!Self.allows(own))
        func allows(_ host: String, _ widened: String...) throws -> Bool {
            DialPolicy.allows(
                HostAddress(host)!, attachedTo: Self.attached, widened: try widened.map { try Network($0) })
        }
        #expect(try !allows("192.168.7.20") && allows("192.168.7.21"))
        #expect(try !allows("192.168.7.20", "192.168.0.0/16") && allows("192.168.8.20", "192.168.0.0/16"))
        #expect(try allows("192.168.7.20", "192.168.7.20/32"))
        #expect(try allows("127.0.0.1", "127.0.0.0/8") && !allows("127.0.0.1"))
        #expect(try !allows("::ffff:192.168.7.20") && !allows("::ffff:127.0.0.1") && !allows("0.0.0.0", "0.0.0.0/0"))
    }

    @Test func `ports of other services are not dialled`() {
        for port: UInt16 in [1, 22, 25, 80, 443, 1_023] { #expect(!DialPolicy.allows(port: port, for: .publicPort)) }
        for port: UInt16 in [1_024, 8_088, 65_535] {
            #expect(DialPolicy.allows(port: port, for: .publicPort) && DialPolicy.allows(port: port, for: .node))
        }
        #expect(DialPolicy.allows(port: 443, for: .node) && !DialPolicy.allows(port: 22, for: .node))
    }

    @Test func `what means another host in each network is private`() {
        for host in ["10.2.0.2", "172.16.0.1", "192.168.1.1", "100.64.0.9", "169.254.1.1", "fd00::1", "fe80::1"] {
            #expect(DialPolicy.isPrivate(HostAddress(host)!.bytes), "\(host)")
        }
        for host in ["8.8.8.8", "203.0.113.11", "172.32.0.1", "100.128.0.1", "127.0.0.1", "2001:db8::1"] {
            #expect(!DialPolicy.isPrivate(HostAddress(host)!.bytes), "\(host)")
        }
    }

    @Test func `loopback, groups, other private networks and what is no address are not`() {
        for address: [UInt8] in [
            [127, 0, 0, 1], [127, 9, 9, 9], [0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255], [10, 0, 0, 1],
            [192, 168, 8, 1], [172, 16, 0, 1], [172, 31, 255, 255], [169, 254, 169, 254], [100, 64, 0, 1], [],
            [1, 2, 3],
        ] {
            #expect(!Self.allows(address), "\(address)")
        }
        let mapped: [UInt8] = [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 127, 0, 0, 1]
        for address in [
            Self.v6([]), Self.v6([], 0), Self.v6([0xff, 2]), Self.v6([0xfe, 0x80]), Self.v6([0xfd, 2]),
            Self.v6([0x20, 0x02, 127, 0, 0, 1]), mapped,
        ] {
            #expect(!Self.allows(address), "\(address)")
        }
    }
}
