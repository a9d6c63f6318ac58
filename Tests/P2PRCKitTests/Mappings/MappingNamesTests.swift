import PeerCore
import PeerDataPlane
import PeerReactor
import PeerWire
import Testing

@testable import P2PRCKit
@testable import PeerServices

@Suite struct MappingNamesTests {
    static func wish(
        _ id: UInt64, _ port: UInt16, count: Int = 1, name: String = "", deny: [Network] = [],
        protocols: TransportProtocols = .tcp
    ) -> MappingWish {
        MappingWish(
            id: MappingID(value: id), target: .service(host: "127.0.0.1", port: port), protocols: protocols,
            ports: .any(count: count), deny: deny, name: name)
    }

    static func exposed(_ wish: MappingWish, _ port: UInt16) -> ExposedMapping {
        ExposedMapping(
            wish: wish, targetText: PeerService.text(wish.target), relay: Endpoint(host: "203.0.113.11", port: 8_088),
            relayName: "relay", state: .verified, reason: nil, standings: [], refusal: nil, host: "203.0.113.11",
            ports: PortRange(first: port, count: wish.ports.count), receipt: nil, isPlain: nil, failures: 0,
            traffic: TrafficCounters())
    }

    static let web = wish(1, 8_080, name: "web")
    static let second = wish(2, 8_080)
    static let range = wish(3, 5_000, count: 4)
    static let names = MappingNames(
        wishes: [web, second, range], exposed: [exposed(web, 31_766), exposed(second, 26_001), exposed(range, 31_000)])

    @Test(
        arguments: [
            ("web", [1]), ("0000000000000002", [2]), ("8080", [1, 2]), ("127.0.0.1:8080", [1, 2]), ("31766", [1]),
            ("203.0.113.11:26001", [2]), ("5000-5003", [3]), ("5001", [3]), ("5001-5002", [3]), ("31003", [3]),
            ("31000-31003", [3]), ("127.0.0.1:5003", [3]), ("203.0.113.11:31002", [3]),
            ("203.0.113.11:31000-31003", [3]), ("127.0.0.1:5000-5001", [3]), ("127.0.0.1:5002-5004", []), ("5004", []),
            ("5002-5004", []),
            ("server port", []), ("", []), ("0", []), ("Web", []),
        ] as [(String, [UInt64])])
    func `a mapping is called by its name, its id, or a port or address at either end`(_ text: String, _ ids: [UInt64])
    {
        #expect(Self.names.called(text).map(\.id.value) == ids)
    }

    @Test func `to people it is named by its name, else by where visitors find it`() {
        #expect(Self.names.words(Self.web) == "web")
        #expect(Self.names.words(Self.second) == "203.0.113.11:26001")
        #expect(Self.names.words(Self.range) == "203.0.113.11:31000-31003")
        #expect(Self.names.words(Self.wish(9, 1)) == "0000000000000009")
        #expect(Self.names.account(of: Self.web) == "web (203.0.113.11:31766 -> 127.0.0.1:8080)")
        #expect(Self.names.account(of: Self.range) == "203.0.113.11:31000-31003 -> 127.0.0.1:5000-5003")
        #expect(Self.names.account(of: Self.wish(9, 1)) == "127.0.0.1:1")
    }

    @Test func `of two mappings of one number each is called and named by its protocol`() {
        let (tcp, datagrams) = (Self.wish(4, 5_000), Self.wish(5, 5_000, protocols: .udp))
        let server = MappingWish(
            id: MappingID(value: 6), target: .serverPort, protocols: .tcp, ports: .any(count: 1))
        let names = MappingNames(
            wishes: [tcp, datagrams, server],
            exposed: [
                Self.exposed(tcp, 21_634), Self.exposed(datagrams, 21_634), Self.exposed(server, 30_000),
                Self.exposed(datagrams, 30_000),
            ])
        let called = { (text: String) in names.called(text).map(\.id.value) }
        #expect(called("203.0.113.11:21634") == [4, 5])
        #expect(called("203.0.113.11:21634/udp") == [5] && called("203.0.113.11:21634/tcp") == [4])
        #expect(called("21634/udp") == [5] && called("5000/TCP") == [4] && called("127.0.0.1:5000/udp") == [5])
        #expect(called("30000/tcp") == [6] && called("30000/udp") == [5])
        #expect(called("/udp").isEmpty && called("21634/sctp").isEmpty && called("5001/udp").isEmpty)
        #expect(names.words(tcp) == "203.0.113.11:21634/tcp" && names.words(datagrams) == "203.0.113.11:21634/udp")
        #expect(names.words(server) == "203.0.113.11:30000/tcp")
        #expect(names.shortName(tcp) == "5000/tcp" && names.shortName(datagrams) == "5000/udp")
    }

    @Test func `what neither number nor protocol tells apart is named by its id`() {
        let (first, second) = (Self.wish(4, 5_000), Self.wish(5, 5_000))
        let names = MappingNames(
            wishes: [first, second], exposed: [Self.exposed(first, 21_634), Self.exposed(second, 21_634)])
        #expect(names.words(first) == "0000000000000004" && names.words(second) == "0000000000000005")
        #expect(names.shortName(first) == "0000000000000004")
    }

    @Test func `all mappings of a service are found by any part of it`() {
        #expect(Self.names.siblings(of: Self.second.target, count: 1).map(\.id.value) == [1, 2])
        #expect(Self.names.siblings(of: .service(host: "127.0.0.1", port: 5_003), count: 5).map(\.id.value) == [3])
        #expect(Self.names.siblings(of: .service(host: "127.0.0.2", port: 8_080), count: 1).isEmpty)
        #expect(Self.names.siblings(of: .serverPort, count: 1).isEmpty)
    }

    @Test func `a name is a word that no port, range, address or id looks like`() {
        for name in ["web", "W", "a-b_c.1", "cafe", String(repeating: "a", count: 32)] {
            #expect(MappingWish.isName(name))
        }
        for text in [
            "", "1", "80", "5000-5003", "1web", "a b", "a:1", "büro", "server port", "abcdefabcdefabcd", "a/b",
            String(repeating: "a", count: 33),
        ] {
            #expect(!MappingWish.isName(text), "\(text)")
        }
    }
}
