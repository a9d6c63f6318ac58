import Foundation
import PeerWire
import Testing

@Suite struct ProxyPrefaceTests {
    static let ipv4 = VisitorAddress(isIPv6: false, host: [198, 51, 100, 7], port: 49_152)
    static let ipv4Relay = VisitorAddress(isIPv6: false, host: [203, 0, 113, 11], port: 8088)
    static let ipv6 = VisitorAddress(
        isIPv6: true, host: [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], port: 443)
    static let ipv6Relay = VisitorAddress(
        isIPv6: true, host: [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], port: 8088)
    static let alpn = ProxyPreface.Field(type: 0x01, value: Array("http/1.1".utf8))
    static let key = ProxyPreface.Field(type: ProxyPreface.Field.nodeKey, value: Samples.peer.key.bytes)

    static func proxied(
        _ source: VisitorAddress, _ destination: VisitorAddress, _ fields: [ProxyPreface.Field] = []
    ) -> ProxyPreface {
        .proxied(ProxyPreface.Connection(source: source, destination: destination, fields: fields)!)
    }

    static let samples: [(name: String, preface: ProxyPreface)] = [
        ("local", .local),
        ("ipv4", proxied(ipv4, ipv4Relay)),
        ("ipv6", proxied(ipv6, ipv6Relay)),
        ("ipv4-node-key", proxied(ipv4, ipv4Relay, [key])),
        ("ipv6-alpn-node-key", proxied(ipv6, ipv6Relay, [alpn, key])),
        ("mixed-becomes-ipv6", proxied(ipv4, ipv6Relay)),
    ]

    static func described(_ preface: ProxyPreface) -> [String: String] {
        switch preface {
        case .local: ["command": "LOCAL"]
        case .proxied(let connection):
            [
                "command": "PROXY", "family": connection.source.isIPv6 ? "TCP over IPv6" : "TCP over IPv4",
                "source": Hex.encode(connection.source.host), "sourcePort": "\(connection.source.port)",
                "destination": Hex.encode(connection.destination.host),
                "destinationPort": "\(connection.destination.port)",
                "fields": connection.fields.map { "\(Hex.encode([$0.type])):\(Hex.encode($0.value))" }
                    .joined(separator: " "),
                "nodeKey": connection.nodeKey?.description ?? "",
            ]
        }
    }

    /// A preface put together without the code under test.
    static func raw(
        command: UInt8 = 0x21, family: UInt8 = 0x11, length: Int? = nil, _ rest: [UInt8]
    ) -> [UInt8] {
        let length = length ?? rest.count
        let head: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, command, family]
        return head + [UInt8(length >> 8), UInt8(length & 0xff)] + rest
    }

    static let addresses: [UInt8] = [198, 51, 100, 7, 203, 0, 113, 11, 0xc0, 0x00, 0x1f, 0x98]

    static func field(_ type: UInt8, _ value: [UInt8]) -> [UInt8] {
        [type, UInt8(value.count >> 8), UInt8(value.count & 0xff)] + value
    }

    @Test func `the bytes are those of the specification`() {
        #expect(Self.proxied(Self.ipv4, Self.ipv4Relay).bytes == Self.raw(Self.addresses))
        #expect(ProxyPreface.local.bytes == Self.raw(command: 0x20, family: 0, []))
        let six = Self.ipv6.host + Self.ipv6Relay.host + [0x01, 0xbb, 0x1f, 0x98]
        #expect(Self.proxied(Self.ipv6, Self.ipv6Relay).bytes == Self.raw(family: 0x21, six))
        #expect(
            Self.proxied(Self.ipv4, Self.ipv4Relay, [Self.key]).bytes
                == Self.raw(Self.addresses + Self.field(0xe5, Samples.peer.key.bytes)))
    }

    @Test(arguments: samples.map(\.preface)) func `it is incomplete until its last byte, and ends there`(
        preface: ProxyPreface
    ) {
        let bytes = preface.bytes
        for count in 0..<bytes.count { #expect(ProxyPreface.read(bytes.prefix(count)) == .incomplete) }
        #expect(ProxyPreface.read(bytes) == .preface(preface, byteCount: bytes.count))
        #expect(
            ProxyPreface.read(bytes + Array("GET / HTTP/1.1\r\n".utf8)) == .preface(preface, byteCount: bytes.count))
        #expect(ProxyPreface.read(bytes + bytes) == .preface(preface, byteCount: bytes.count))
    }

    @Test func `a wrong byte of the signature is refused at once`() {
        let bytes = ProxyPreface.local.bytes
        for index in 0..<12 {
            for wrong in UInt8.min ... .max where wrong != bytes[index] {
                #expect(ProxyPreface.read(bytes.prefix(index) + [wrong]) == .refused(.noSignature))
            }
        }
        for other in ["GET / HTTP/1.1", "PROXY TCP4 198.51.100.7 203.0.113.11 1 2\r\n", "\u{16}", "\r\n\r\nGET"] {
            #expect(ProxyPreface.read(Array(other.utf8)) == .refused(.noSignature))
        }
        #expect(ProxyPreface.read([]) == .incomplete)
    }

    @Test func `only LOCAL and PROXY of version 2 are commands`() {
        for command in UInt8.min ... .max where command != 0x20 && command != 0x21 {
            let bytes = Self.raw(command: command, Self.addresses)
            #expect(ProxyPreface.read(bytes.prefix(13)) == .refused(.unknownCommand(command)))
            #expect(ProxyPreface.read(bytes) == .refused(.unknownCommand(command)))
        }
    }

    @Test func `only TCP over IPv4 and IPv6 are families`() {
        for family in UInt8.min ... .max where family != 0x11 && family != 0x21 {
            let bytes = Self.raw(family: family, Self.addresses)
            #expect(ProxyPreface.read(bytes.prefix(14)) == .refused(.unknownFamily(family)))
        }
    }

    @Test func `what follows LOCAL is passed over, whatever its family`() {
        for family: UInt8 in [0, 0x11, 0x21, 0x31, 0xff] {
            let bytes = Self.raw(command: 0x20, family: family, .counting(from: 200, 7))
            for count in 0..<bytes.count { #expect(ProxyPreface.read(bytes.prefix(count)) == .incomplete) }
            #expect(ProxyPreface.read(bytes + [1]) == .preface(.local, byteCount: bytes.count))
        }
    }

    @Test func `the longest is read, and a longer one is refused by its length alone`() {
        let room = ProxyPreface.maximumByteCount - 16 - 12 - 3
        let longest = Self.raw(Self.addresses + Self.field(0xe0, [UInt8](repeating: 1, count: room)))
        #expect(longest.count == 536)
        let value = ProxyPreface.Field(type: 0xe0, value: [UInt8](repeating: 1, count: room))
        #expect(
            ProxyPreface.read(longest) == .preface(Self.proxied(Self.ipv4, Self.ipv4Relay, [value]), byteCount: 536))
        for length in [521, 1_000, 65_535] {
            for command: UInt8 in [0x20, 0x21] {
                let head = Self.raw(command: command, length: length, [])
                #expect(head.count == 16)
                #expect(ProxyPreface.read(head) == .refused(.tooLong(16 + length)))
                #expect(ProxyPreface.read(head.dropLast()) == .incomplete)
            }
        }
    }

    @Test func `one that is shorter than its addresses is refused by its length alone`() {
        for length in 0..<12 {
            #expect(ProxyPreface.read(Self.raw(length: length, [])) == .refused(.tooShort(16 + length)))
        }
        for length in 0..<36 {
            #expect(ProxyPreface.read(Self.raw(family: 0x21, length: length, [])) == .refused(.tooShort(16 + length)))
        }
    }

    @Test func `a field that runs past the end is refused`() {
        for rest: [UInt8] in [[0xe0], [0xe0, 0], [0xe0, 0, 1], [0xe0, 0xff, 0xff, 1], [4, 0, 0, 4]] {
            #expect(ProxyPreface.read(Self.raw(Self.addresses + rest)) == .refused(.malformedField))
        }
        #expect(ProxyPreface.read(Self.raw(Self.addresses + [4, 0, 0])) != .refused(.malformedField))
    }

    @Test func `of node keys there is one whole one or none`() {
        let key = Samples.peer.key.bytes
        for count in [0, 1, 31, 33, 64] {
            let bytes = Self.raw(Self.addresses + Self.field(0xe5, .counting(from: 1, count)))
            #expect(ProxyPreface.read(bytes) == .refused(.malformedNodeKey))
        }
        for second in [key, Samples.relay.key.bytes] {
            let bytes = Self.raw(Self.addresses + Self.field(0xe5, key) + Self.field(0xe5, second))
            #expect(ProxyPreface.read(bytes) == .refused(.malformedNodeKey))
        }
        #expect(
            ProxyPreface.Connection(source: Self.ipv4, destination: Self.ipv4Relay, fields: [Self.key, Self.key]) == nil
        )
    }

    @Test func `the key comes out as it went in, and is none without its field`() throws {
        let key = Samples.peer.key
        let known = try #require(ProxyPreface.Connection(source: Self.ipv4, destination: Self.ipv4Relay, nodeKey: key))
        #expect(known.nodeKey == key)
        #expect(known.fields == [Self.key])
        let stranger = try #require(
            ProxyPreface.Connection(source: Self.ipv4, destination: Self.ipv4Relay, nodeKey: nil))
        #expect(stranger.nodeKey == nil)
        let others = Self.field(0x01, Array("http/1.1".utf8)) + Self.field(0xea, key.bytes)
        guard case .preface(.proxied(let read), _) = ProxyPreface.read(Self.raw(Self.addresses + others)) else {
            Issue.record("fields that are not known are passed on")
            return
        }
        #expect(read.nodeKey == nil)
        #expect(read.fields.map(\.type) == [0x01, 0xea])
    }

    @Test func `what does not fit is not made`() {
        let room = 536 - 16 - 12 - 3
        for (count, fits) in [(room, true), (room + 1, false), (65_536, false)] {
            let field = ProxyPreface.Field(type: 0xe0, value: [UInt8](repeating: 0, count: count))
            let made = ProxyPreface.Connection(source: Self.ipv4, destination: Self.ipv4Relay, fields: [field])
            #expect((made != nil) == fits)
        }
    }

    @Test func `a pair of both families becomes one of IPv6`() throws {
        let mapped = VisitorAddress(
            isIPv6: true, host: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 198, 51, 100, 7], port: 49_152)
        #expect(Self.proxied(Self.ipv4, Self.ipv6Relay) == Self.proxied(mapped, Self.ipv6Relay))
        #expect(Self.proxied(Self.ipv6Relay, Self.ipv4) == Self.proxied(Self.ipv6Relay, mapped))
    }

    @Test func `every refusal says what is wrong in one line`() {
        let refusals: [ProxyPreface.Refusal] = [
            .noSignature, .unknownCommand(0x31), .unknownFamily(0x12), .tooLong(537), .tooShort(20), .malformedField,
            .malformedNodeKey,
        ]
        #expect(Set(refusals.map(\.description)).count == refusals.count)
        #expect(refusals.allSatisfy { !$0.description.contains("\n") && $0.description.count < 100 })
        #expect(ProxyPreface.Refusal.tooLong(537).description.contains("537 bytes long, at most 536"))
    }

    @Test func `mutated input ends in a value that is written the same, or in a refusal`() {
        var understood = 0
        for index in 0..<UInt64(50_000) {
            var random = TestGenerator(seed: TestGenerator.seed &* 1_000_003 &+ index)
            var bytes = Self.samples[Int(random.next() % UInt64(Self.samples.count))].preface.bytes
            for _ in 0...Int(random.next() % 3) {
                let at = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 4 {
                case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
                case 2: bytes[15 % bytes.count] = UInt8(truncatingIfNeeded: random.next())
                default: bytes += [UInt8](repeating: UInt8(truncatingIfNeeded: random.next()), count: 8)
                }
            }
            guard case .preface(let preface, let count) = ProxyPreface.read(bytes) else { continue }
            understood += 1
            let again = preface.bytes
            let isSame = preface == .local || again == Array(bytes.prefix(count))
            guard count <= bytes.count, isSame, ProxyPreface.read(again) == .preface(preface, byteCount: again.count)
            else {
                Issue.record("input \(index) of P2PRC_SEED=\(TestGenerator.seed): \(Hex.encode(bytes))")
                return
            }
        }
        #expect(understood > 5_000)
    }

    // MARK: Vectors

    static let made = samples.map {
        Vector(name: $0.name, hex: Hex.encode($0.preface.bytes), fields: described($0.preface))
    }

    @Test(.enabled(if: VectorTests.isPrinting)) func `the rows of the vectors are printed`() throws {
        print(try Vector.document(Self.made))
    }

    @Test func `committed prefaces are understood and written the same`() throws {
        let committed = try Vector.committed("proxy_preface.json")
        #expect(committed == Self.made)
        for (vector, sample) in zip(committed, Self.samples) {
            let bytes = try #require(Hex.decode(vector.hex))
            #expect(ProxyPreface.read(bytes) == .preface(sample.preface, byteCount: bytes.count))
        }
    }
}
