import PeerCore
import PeerStorage
import PeerWire
import Testing

@testable import P2PRCKit

@Suite struct MappingTableTests {
    static func row(
        _ id: UInt64, _ target: String, _ address: String?, _ port: UInt16?,
        state: MappingRegistry.Mapping.State = .verified,
        relay: String? = "relay1:8088", role: MappingRegistry.Mapping.Role = .peer, name: String? = nil,
        deny: [Network] = [], type: MappingRegistry.Mapping.Transport = .tcp
    ) -> MappingRegistry.Mapping {
        let peer = NamedNode(name: "home", key: NodeKey(bytes: Array(repeating: 7, count: 32))!)
        var row = MappingRegistry.Mapping(
            MappingID(value: id), type, of: peer, at: "relay1", role: role, state: state, target: target)
        row.address = address
        row.blindPort = port
        row.relay = relay
        row.name = name
        row.visitors = NetworkFilter(deny: deny)
        return row
    }

    static func lines(_ table: MappingTable, _ rows: [MappingRegistry.Mapping]) -> [String] {
        table.text(MappingRegistry(mappings: rows)).split(separator: "\n").map(String.init)
    }

    @Test func `relays of one service stand together, by target, with the server port last`() {
        let lines = Self.lines(
            MappingTable(),
            [
                Self.row(3, "server port", "203.0.113.11", 30_003),
                Self.row(9, "127.0.0.1:9000", "203.0.113.11", 30_001),
                Self.row(1, "127.0.0.1:8080", "203.0.113.11", 30_000),
                Self.row(3, "server port", "203.0.113.12", 30_003),
                Self.row(9, "127.0.0.1:9000", "203.0.113.12", 30_001),
                Self.row(1, "127.0.0.1:8080", "203.0.113.12", 30_000),
            ])
        #expect(
            lines == [
                "PUBLIC ADDRESS      TARGET          STATE     REMARK", "203.0.113.11:30000  127.0.0.1:8080  verified",
                "203.0.113.12:30000  127.0.0.1:8080  verified", "203.0.113.11:30001  127.0.0.1:9000  verified",
                "203.0.113.12:30001  127.0.0.1:9000  verified", "203.0.113.11:30003  server port     verified",
                "203.0.113.12:30003  server port     verified",
            ])
    }

    @Test func `names and filters show where there are some, and all of it with --wide`() throws {
        let rows = [
            Self.row(1, "127.0.0.1:8080", "203.0.113.11", 30_000, name: "web", deny: [try Network("203.0.113.50")]),
            Self.row(2, "127.0.0.1:22", nil, nil, state: .waiting, relay: nil),
        ]
        let narrow = Self.lines(MappingTable(), rows)
        #expect(narrow[0] == "NAME  PUBLIC ADDRESS      TARGET          STATE     VISITORS FROM     REMARK")
        #expect(narrow[1] == "-     -                   127.0.0.1:22    waiting   everywhere")
        #expect(narrow[2] == "web   203.0.113.11:30000  127.0.0.1:8080  verified  not 203.0.113.50")
        let wide = Self.lines(MappingTable(isWide: true), rows)
        for word in ["TYPE", "ENCRYPTION", "SERVER", "PEER", "MAPPING", "TOLD AS"] { #expect(wide[0].contains(word)) }
        #expect(wide[2].contains("0000000000000001"))
    }

    @Test func `where there is UDP, the type, the carrier and the flows show, ports of a range in one row`() {
        var rows = (0..<3).map {
            Self.row(1, "127.0.0.1:\(9_000 + $0)", "203.0.113.11", UInt16(30_000 + $0), type: .udp)
        }
        for index in rows.indices { rows[index].way.carrier = .stream }
        rows[0].way.flows = 7
        let lines = Self.lines(MappingTable(), rows + [Self.row(2, "127.0.0.1:9100", "203.0.113.11", 30_100)])
        #expect(
            lines == [
                "PUBLIC ADDRESS            TYPE  TARGET               STATE     CARRIER  FLOWS  REMARK",
                "203.0.113.11:30000-30002  UDP   127.0.0.1:9000-9002  verified  stream   7",
                "203.0.113.11:30100        TCP   127.0.0.1:9100       verified",
            ])
    }

    @Test func `a target that is told of its visitors says so, a range once, and other rows are as they were`() {
        var rows = (0..<2).map { Self.row(1, "127.0.0.1:\(5_300 + $0)", "203.0.113.11", UInt16(30_000 + $0)) }
        for index in rows.indices { rows[index].proxyProtocol = .v2 }
        let other = Self.row(2, "127.0.0.1:9100", "203.0.113.11", 30_100)
        #expect(
            Self.lines(MappingTable(), rows + [other]) == [
                "PUBLIC ADDRESS            TARGET                          STATE     REMARK",
                "203.0.113.11:30000-30001  127.0.0.1:5300-5301 (PROXY v2)  verified",
                "203.0.113.11:30100        127.0.0.1:9100                  verified",
            ])
        // Where one of two neighbours has it, they have not the same to say.
        rows[1].proxyProtocol = .off
        #expect(Self.lines(MappingTable(), rows).count == 3)
        #expect(Self.lines(MappingTable(), [other])[0] == "PUBLIC ADDRESS      TARGET          STATE     REMARK")
    }

    @Test func `traffic stands beside its mapping, once`() {
        let traffic = [
            StatusDocument.Traffic(
                Mapping: "0000000000000001", Role: "peer", Connections: 5, Open: 2, Failed: 0, Refused: 1,
                Bytes_from_visitors: 40, Bytes_to_visitors: 2_048)
        ]
        let lines = Self.lines(
            MappingTable(traffic: traffic),
            [
                Self.row(1, "127.0.0.1:8080", "203.0.113.11", 30_000),
                Self.row(1, "127.0.0.1:8080", "203.0.113.12", 30_000),
            ])
        #expect(lines[0].contains("STATE     VISITORS  FROM THEM  TO THEM  REMARK"))
        #expect(lines[1].hasSuffix("verified  2         40 B       2.0 KiB"))
        #expect(lines[2].hasSuffix("verified"))
    }

    @Test func `of a mapping for both each protocol has its own traffic in its own row`() {
        var traffic = StatusDocument.Traffic(
            Mapping: "0000000000000001", Role: "peer", Connections: 9, Open: 3, Failed: 1, Refused: 4,
            Bytes_from_visitors: 1_040, Bytes_to_visitors: 2_088,
            Datagrams: .init(
                Connections: 7, Open: 2, Refused: 1, Bytes_from_visitors: 1_000, Bytes_to_visitors: 2_000,
                From_visitors: 5, To_visitors: 5, Displaced: 0, Limited: 0, Cut: 0, Too_long: 0, Lost: 0, Strays: 0))
        let rows = [MappingRegistry.Mapping.Transport.tcp, .udp].map {
            Self.row(1, "127.0.0.1:5201", "203.0.113.11", 30_000, type: $0)
        }
        let lines = Self.lines(MappingTable(traffic: [traffic]), rows)
        #expect(lines[0].contains("STATE     VISITORS  FROM THEM  TO THEM  REMARK"))
        #expect(lines[1].contains("  TCP ") && lines[1].hasSuffix("verified  1         40 B       88 B"))
        #expect(lines[2].contains("  UDP ") && lines[2].hasSuffix("verified  2         1000 B     2.0 KiB"))
        let counts = [traffic.counts(of: .tcp), traffic.counts(of: .udp)]
        #expect(counts.map(\.Connections) == [2, 7])
        #expect(counts.map(\.Failed) == [1, 0])
        #expect(counts.map(\.Refused) == [3, 1])
        // Nobody has come with a datagram yet.
        traffic.Datagrams = nil
        let before = Self.lines(MappingTable(traffic: [traffic]), rows)
        #expect(before[1].hasSuffix("verified  3         1.0 KiB    2.0 KiB"))
        #expect(before[2].hasSuffix("verified  0         0 B        0 B"))
    }

    @Test(arguments: [0, 3] as [UInt64])
    func `what came from elsewhere than the target has a column where there is some`(strays: UInt64) {
        func traffic(_ id: Int, _ strays: UInt64?) -> StatusDocument.Traffic {
            StatusDocument.Traffic(
                Mapping: "000000000000000\(id)", Role: "peer", Connections: 0, Open: 0, Failed: 0, Refused: 0,
                Bytes_from_visitors: 0, Bytes_to_visitors: 0,
                Datagrams: strays.map {
                    .init(
                        Connections: 0, Open: 0, Refused: 0, Bytes_from_visitors: 0, Bytes_to_visitors: 0,
                        From_visitors: 0, To_visitors: 0, Displaced: 0, Limited: 0, Cut: 0, Too_long: 0, Lost: 0,
                        Strays: $0)
                })
        }
        let lines = Self.lines(
            MappingTable(traffic: [traffic(1, strays), traffic(2, nil)]),
            [
                Self.row(1, "127.0.0.1:69", "203.0.113.11", 30_000, type: .udp),
                Self.row(2, "127.0.0.1:80", "203.0.113.11", 30_001),
            ])
        #expect(lines[0].contains("TO THEM  STRAYS  REMARK") == (strays > 0))
        #expect(lines[1].hasSuffix("0 B      3") == (strays > 0))
        #expect(lines[2].hasSuffix("0 B"))
    }
}
