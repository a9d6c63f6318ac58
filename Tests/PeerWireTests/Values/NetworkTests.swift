import Glibc
import PeerWire
import Testing

@Suite struct HostAddressTests {
    /// What the system's own reader makes of a text.
    static func system(_ text: String) -> [UInt8]? {
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 { return withUnsafeBytes(of: &v4) { Array($0) } }
        var v6 = in6_addr()
        guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
        let bytes = withUnsafeBytes(of: &v6) { Array($0) }
        return bytes.prefix(12) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] ? Array(bytes.suffix(4)) : bytes
    }

    static func systemText(_ bytes: [UInt8]) -> String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @Test(arguments: [
        "0.0.0.0", "255.255.255.255", "192.0.2.1", "::", "::1", "1::", "2001:db8::1", "2001:DB8::A",
        "1:2:3:4:5:6:7:8", "::ffff:192.0.2.1", "::192.0.2.1", "64:ff9b::192.0.2.33", "1:2:3:4:5:6:1.2.3.4",
        "0001:0002::0008", "1::8", "0:0:0:0:0:0:0:0", "::ffff:c000:201", "fe80::1",
    ]) func `an address is read as the system reads it`(text: String) {
        #expect(HostAddress(text)?.bytes == Self.system(text))
        #expect(HostAddress(text) != nil)
    }

    @Test(arguments: [
        "", " ", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", "1..3.4", "1.2.3.-4", "+1.2.3.4",
        "0x1.2.3.4",
        "1.2.3.٤", ":", ":::", "1:", ":1", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8",
        "12345::",
        "g::", "::1.2.3", "::1.2.3.4:5", "1.2.3.4::", "::+1", "::-1", "fe80::1%eth0", "[::1]", "1:2:3:4:5:6:7:1.2.3.4",
        "::1/64", "1:2:3:4:5:6:7:", ":2:3:4:5:6:7:8", "localhost",
    ]) func `anything else is none, for the system and here`(text: String) {
        #expect(HostAddress(text) == nil)
        #expect(Self.system(text) == nil)
    }

    @Test func `random addresses are written as the system writes them, and read back`() {
        var random = TestGenerator(seed: TestGenerator.seed)
        for _ in 0..<20_000 {
            let count = Bool.random(using: &random) ? 4 : 16
            var bytes = (0..<count).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
            for index in bytes.indices where Int.random(in: 0...2, using: &random) > 0 { bytes[index] = 0 }
            let address = HostAddress(bytes: bytes)!
            let text = address.description
            #expect(HostAddress(text) == address)
            // The system writes a few addresses with an IPv4 tail (::1.2.3.4) that RFC 5952 leaves as they are.
            let its = Self.systemText(address.bytes)
            if !its.contains(".") || count == 4 { #expect(text == its) }
            #expect(Self.system(text) == address.bytes)
        }
    }

    @Test func `garbage is read as the system reads it`() {
        var random = TestGenerator(seed: TestGenerator.seed)
        let letters = Array("0123456789abcdefF:::::....")
        for _ in 0..<50_000 {
            let text = String(
                (0..<Int.random(in: 1...20, using: &random)).map { _ in letters.randomElement(using: &random)! })
            #expect(HostAddress(text)?.bytes == Self.system(text), "\(text)")
        }
    }

    @Test func `one address has one form`() {
        let plain = HostAddress("192.0.2.1")!
        #expect(HostAddress("::ffff:192.0.2.1") == plain)
        #expect(HostAddress(bytes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]) == plain)
        #expect(HostAddress(VisitorAddress(isIPv6: false, host: [192, 0, 2, 1], port: 7)) == plain)
        #expect(!plain.isIPv6 && plain.bytes == [192, 0, 2, 1] && plain.width == 32)
        let six = HostAddress("2001:db8::1")!
        #expect(HostAddress(VisitorAddress(isIPv6: true, host: six.bytes, port: 7)) == six)
        #expect(HostAddress("::192.0.2.1") != plain)
        for count in [0, 3, 5, 15, 17] { #expect(HostAddress(bytes: [UInt8](repeating: 1, count: count)) == nil) }
    }
}

@Suite struct NetworkTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.0.0.0/8"), ("192.0.2.1", "192.0.2.1"), ("192.0.2.1/32", "192.0.2.1"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::/32", "2001:db8::/32"), ("::1", "::1"), ("::/0", "::/0"), ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"), ("::ffff:192.0.2.1/128", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"),
        ("128.0.0.0/1", "128.0.0.0/1"), ("192.0.2.254/31", "192.0.2.254/31"),
    ]) func `a network is read and written`(text: String, written: String) throws {
        let network = try Network(text)
        #expect(network.description == written)
        #expect(try Network(network.description) == network)
    }

    @Test(arguments: [
        ("", "is no network"), ("/8", "is no network"), ("10.0.0/8", "is no network"), ("home", "is no network"),
        ("10.0.0.0/", "from 0 to 32"), ("10.0.0.0/33", "from 0 to 32"), ("10.0.0.0/-1", "from 0 to 32"),
        ("10.0.0.0/+8", "from 0 to 32"), ("10.0.0.0/8/9", "from 0 to 32"), ("2001:db8::/129", "from 0 to 128"),
        ("10.0.0.0/255.0.0.0", "from 0 to 32"), ("::ffff:10.0.0.0/95", "from 96 to 128"),
        ("10.0.0.0/99999999999999999999", "from 0 to 32"), (" 10.0.0.0/8", "is no network"),
        ("192.168.1.5/24", "write 192.168.1.0/24 for the network or 192.168.1.5 for the address"),
        ("2001:db8::1/32", "write 2001:db8::/32 for the network or 2001:db8::1 for the address"),
    ]) func `what is none says what to write`(text: String, advice: String) {
        let fault = #expect(throws: NetworkFault.self) { try Network(text) }
        #expect(fault?.description.contains(advice) == true, "\(fault.map(\.description) ?? "")")
        #expect(fault?.description.contains("'\(text)'") == true)
    }

    @Test func `it contains what shares its prefix, bit by bit`() throws {
        var random = TestGenerator(seed: TestGenerator.seed)
        for _ in 0..<2_000 {
            let count = Bool.random(using: &random) ? 4 : 16
            // The first bit set, so that no IPv6 address is a mapped one.
            let bytes = [0x80] + (1..<count).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
            let length = Int.random(in: 0...(count * 8), using: &random)
            let network = Network(of: HostAddress(bytes: bytes)!, prefixLength: length)
            let bit = Int.random(in: 0..<(count * 8), using: &random)
            let other = bytes.flipping(bit: UInt8(7 - bit % 8), at: bit / 8)
            #expect(network.contains(HostAddress(bytes: bytes)!))
            #expect(network.contains(HostAddress(bytes: other)!) == (bit >= length), "\(network), bit \(bit)")
        }
    }

    @Test func `the two families have nothing in common, but for mapped addresses`() throws {
        #expect(try !Network("0.0.0.0/0").contains(HostAddress("::1")!))
        #expect(try !Network("::/0").contains(HostAddress("192.0.2.1")!))
        #expect(try Network("192.0.2.0/24").contains(HostAddress("::ffff:192.0.2.9")!))
    }

    @Test func `a prefix is cut to what the address has`() {
        let address = HostAddress("192.0.2.1")!
        #expect(Network(of: address, prefixLength: 99).prefixLength == 32)
        #expect(Network(of: address, prefixLength: -1).description == "0.0.0.0/0")
    }
}

@Suite struct RequestFilterTests {
    func frame(_ tag: UInt8, _ value: [UInt8]) -> Frame {
        let frame = Samples.messages.first { $0.name == "request-any" }!.message.frame
        return frame.with(frame.fields + [RawField(tag: tag, value: value)])
    }

    @Test func `up to sixty-four networks come back in their order`() throws {
        let many = (0..<64).map { Network(of: HostAddress(bytes: [10, 0, UInt8(63 - $0), 0])!, prefixLength: 24) }
        var request = PeerMessage.Request(
            mapping: Samples.mapping, protocols: .tcp, wish: .any(count: 1), target: "server port", allow: many,
            deny: Samples.networks("::/0", "0.0.0.0/0", "2001:db8::1"))
        #expect(try decoded(PeerMessage.request(request).frame) == .peer(.request(request)))
        request.allow.append(many[0])
        let fault = try #require(wireError(of: PeerMessage.request(request).frame))
        #expect(fault.code == .malformedField && fault.detail.contains("field 7 "))
    }

    @Test func `without lists the bytes are those of before`() throws {
        let plain = Samples.messages.first { $0.name == "request-any" }!.message.frame
        #expect(plain.fields.map(\.tag) == [1, 2, 3, 6])
        guard case .peer(.request(let request)) = try decoded(plain) else {
            Issue.record("no request")
            return
        }
        #expect(request.allow == [] && request.deny == [])
        #expect(try decoded(frame(7, [])) == .peer(.request(request)))
    }

    @Test(
        arguments: [
            [5, 8, 10, 0, 0, 0], [4], [4, 8], [4, 8, 10, 0, 0], [4, 33, 10, 0, 0, 0], [4, 8, 10, 0, 0, 1],
            [4, 8, 10, 0, 0, 0, 4], [6, 32, 0x20, 1, 0x0d, 0xb8], [6, 129] + [UInt8](repeating: 0, count: 16),
            // A mapped address has its own form: IPv4.
            [6, 104, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0],
        ] as [[UInt8]]) func `a network in another form is refused and its field named`(value: [UInt8]) throws
    {
        for tag: UInt8 in [7, 8] {
            let fault = try #require(wireError(of: frame(tag, value)))
            #expect(fault.code == .malformedField && fault.detail.contains("field \(tag) "))
        }
    }
}
