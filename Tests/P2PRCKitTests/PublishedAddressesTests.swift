import PeerMesh
import PeerReactor
import PeerStorage
import PeerWire
import Testing

@testable import P2PRCKit

@Suite struct PublishedAddressesTests {
    typealias Mapping = MappingRegistry.Mapping

    static func row(
        _ address: String?, _ port: UInt16?, _ state: Mapping.State, role: Mapping.Role = .peer,
        relay: String = "relay:8088", target: String = "127.0.0.1:80"
    ) -> Mapping {
        Mapping(
            serverName: "relay", address: address, type: .tcp, blindPort: port, state: state, target: target,
            mapping: MappingID(value: 1), relay: relay, role: role, peerName: "peer",
            peerKey: NodeKey(bytes: Array(repeating: 7, count: 32))!)
    }

    static func published(_ rows: [Mapping], at relays: Set<String> = ["relay:8088"]) -> PublishedAddresses {
        PublishedAddresses(MappingRegistry(mappings: rows), at: relays)
    }

    @Test func `what serves is there, in its order, and each host once`() {
        let all = Self.published([
            Self.row("b.example", 30_000, .verified), Self.row("a.example", 30_000, .active),
            Self.row("b.example", 30_001, .targetDown, target: "127.0.0.1:81"),
        ])
        #expect(all.hosts == ["b.example", "a.example"])
        #expect(all.environment["P2PRC_HOST"] == "b.example")
        #expect(all.environment["P2PRC_HOSTS"] == "b.example a.example")
        #expect(all.environment["P2PRC_ADDRESSES"] == "b.example:30000 a.example:30000 b.example:30001")
        #expect(
            all.environment["P2PRC_MAPPINGS"] == """
                127.0.0.1:80 TCP b.example:30000
                127.0.0.1:80 TCP a.example:30000
                127.0.0.1:81 TCP b.example:30001
                """)
    }

    @Test(arguments: [
        row("a.example", 1, .offline), row("a.example", 1, .unreachable), row(nil, nil, .refused),
        row(nil, nil, .requested), row("a.example", 1, .committed), row("a.example", 1, .verified, role: .relay),
        row("a.example", 1, .verified, relay: "spare:8088"),
    ])
    func `what does not serve, and what others expose, is not`(row: Mapping) {
        let all = Self.published([row])
        #expect(all.rows.isEmpty)
        #expect(all.environment == [
            "P2PRC_HOST": "", "P2PRC_HOSTS": "", "P2PRC_ADDRESSES": "", "P2PRC_MAPPINGS": "",
        ])
    }

    @Test func `texts are never longer than the system takes`() {
        let host = String(repeating: "h", count: 250)
        let all = Self.published((1...2_000).map { Self.row("\(host)\($0)", UInt16($0), .verified) })
        #expect(all.rows.count == 2_000)
        for (name, text) in all.environment {
            #expect(text.utf8.count <= 65_600, "\(name)")
            #expect(!text.isEmpty && !text.hasSuffix(" "))
        }
    }
}
