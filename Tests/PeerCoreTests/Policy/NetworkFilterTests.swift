import PeerCore
import PeerWire
import Testing

@Suite struct NetworkFilterTests {
    func filter(_ allow: [String], _ deny: [String]) throws -> NetworkFilter {
        NetworkFilter(allow: try allow.map { try Network($0) }, deny: try deny.map { try Network($0) })
    }

    func admits(_ filter: NetworkFilter, _ text: String) throws -> Bool {
        filter.admits(try #require(HostAddress(text)))
    }

    @Test func `empty lists let everybody in`() throws {
        for text in ["0.0.0.0", "255.255.255.255", "::", "2001:db8::1"] { #expect(try admits(.everybody, text)) }
    }

    @Test func `a list of whom to allow leaves all others out, of either family`() throws {
        let filter = try filter(["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"], [])
        for text in ["192.0.2.0", "192.0.2.255", "2001:db8:ffff::1", "198.51.100.7", "::ffff:192.0.2.3"] {
            #expect(try admits(filter, text))
        }
        for text in ["192.0.3.0", "192.0.1.255", "2001:db9::", "198.51.100.6", "::192.0.2.3"] {
            #expect(try !admits(filter, text))
        }
    }

    @Test func `deny wins, be it wider or narrower`() throws {
        let narrower = try filter(["10.0.0.0/8"], ["10.66.0.0/16"])
        #expect(try admits(narrower, "10.65.0.1"))
        #expect(try !admits(narrower, "10.66.0.1"))
        let wider = try filter(["10.66.0.0/16"], ["10.0.0.0/8"])
        #expect(try !admits(wider, "10.66.0.1"))
        let only = try filter([], ["0.0.0.0/0"])
        #expect(try !admits(only, "192.0.2.1"))
        #expect(try admits(only, "2001:db8::1"))
    }

    @Test func `of two filters both must let in`() throws {
        let relay = try filter([], ["192.0.2.0/24"])
        let mapping = try filter(["192.0.2.0/23"], [])
        #expect(relay.admits(HostAddress("192.0.3.1")!, and: mapping))
        #expect(!relay.admits(HostAddress("192.0.2.1")!, and: mapping))
        #expect(!relay.admits(HostAddress("192.0.4.1")!, and: mapping))
    }

    @Test func `a long list answers as going through it would`() throws {
        var random = SeededGenerator(seed: 11)
        func address() -> HostAddress {
            let count = Bool.random(using: &random) ? 4 : 16
            // Few different bytes, so that there are hits.
            return HostAddress(bytes: (0..<count).map { _ in UInt8.random(in: 0...2, using: &random) << 6 })!
        }
        for _ in 0..<40 {
            func networks(_ count: Int) -> [Network] {
                (0..<count).map { _ in Network(of: address(), prefixLength: Int.random(in: 1...64, using: &random)) }
            }
            let (allow, deny) = (networks(30), networks(5))
            let filter = NetworkFilter(allow: allow, deny: deny)
            for _ in 0..<200 {
                let visitor = address()
                let slow = !deny.contains { $0.contains(visitor) } && allow.contains { $0.contains(visitor) }
                #expect(filter.admits(visitor) == slow)
            }
        }
    }

    @Test func `filters are equal when their lists are`() throws {
        #expect(try filter(["10.0.0.0/8"], []) == filter(["10.0.0.0/8"], []))
        #expect(try filter(["10.0.0.0/8"], []) != filter([], ["10.0.0.0/8"]))
    }
}

@Suite struct MembershipTests {
    @Test(arguments: [
        ("203.0.113.77", "203.0.113.0/24"), ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"), ("::1", "::/48"),
    ]) func `an account is a network of IPv4 slash 24 or IPv6 slash 48`(address: String, network: String) throws {
        #expect(try #require(HostAddress(address)).accountNetwork == network)
    }

    @Test(arguments: [
        Grant.Membership.mesh(network: "203.0.113.0/24"), .openRelay(network: "2001:db8::/48"), .token(id: "a b c"),
    ]) func `a membership comes back from its text`(membership: Grant.Membership) {
        #expect(Grant.Membership(membership.description) == membership)
    }

    @Test(arguments: ["", "mesh", "mesh ", "other 1", " mesh x", "tokens x"]) func `another text is none`(text: String)
    {
        #expect(Grant.Membership(text) == nil)
    }
}

@Suite struct ByteCountTests {
    @Test(arguments: [
        ("0", 0), ("1500", 1_500), ("10MB", 10_000_000), ("10MiB", 10_485_760), ("1kB", 1_000), ("1KB", 1_000),
        ("1KiB", 1_024), ("2 GB", 2_000_000_000), ("1.5GB", 1_500_000_000), ("0.5KiB", 512), ("1TiB", 1 << 40),
        ("7B", 7), ("0.000001MB", 1), ("9223372036854775807", .max),
    ]) func `an amount is read`(text: String, bytes: Int) {
        #expect(ByteCount.parse(text) == bytes)
    }

    @Test(arguments: [
        "", "MB", "10mb", "10Mb", "10M", "10 M B", "-1", "+1", "1e6", "1.MB", ".5MB", "1.2.3MB", "0.1B", "0.0001kB",
        "10MB/s", " 10MB", "10MB ", "10  MB", "9223372036854775808", "9223373TB", "٣MB", "1.1234567GB", "0x10",
    ]) func `anything else is refused`(text: String) {
        #expect(ByteCount.parse(text) == nil)
    }

    @Test(arguments: [0, 1, 999, 1_000, 1_024, 1_500, 10_000_000, 10_485_760, 1_000_000_000_000, 3 << 40, .max])
    func `what is written is read as the same`(bytes: Int) {
        #expect(ByteCount.parse(ByteCount.text(bytes)) == bytes)
    }

    @Test func `it is written short`() {
        #expect(ByteCount.text(10_000_000) == "10MB")
        #expect(ByteCount.text(10_485_760) == "10MiB")
        #expect(ByteCount.text(1_500) == "1500")
    }
}
