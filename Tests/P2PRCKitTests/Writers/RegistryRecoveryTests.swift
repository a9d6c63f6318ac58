import PeerCore
import PeerStorage
import PeerWire
import Testing

@testable import P2PRCKit

@Suite("What the registries tell of a damaged IP table")
struct RegistryRecoveryTests {
    private static let peer = NamedNode(name: "box", key: NodeKey(bytes: [UInt8](repeating: 1, count: 32))!)

    /// A row for each of a mapping's ports and protocols, as `--view-rpm --json` has them.
    private static func rows(
        _ id: UInt64, _ types: [MappingRegistry.Mapping.Transport], _ ports: ClosedRange<UInt16>,
        _ role: MappingRegistry.Mapping.Role
    ) -> [MappingRegistry.Mapping] {
        ports.flatMap { port in
            types.map { type in
                var row = MappingRegistry.Mapping(
                    MappingID(value: id), type, of: peer, at: "relay", role: role, state: .verified,
                    target: "127.0.0.1:\(5_000 + port - ports.lowerBound)")
                row.blindPort = port
                row.relay = "192.0.2.1:8088"
                return row
            }
        }
    }

    @Test(
        "a mapping comes back for TCP, UDP or both, as it was, and so does a lease",
        arguments: [([.tcp], .tcp), ([.udp], .udp), ([.tcp, .udp], [.tcp, .udp])]
            as [([MappingRegistry.Mapping.Transport], TransportProtocols)])
    func protocols(_ types: [MappingRegistry.Mapping.Transport], _ expected: TransportProtocols) throws {
        let mappings = Self.rows(1, types, 20_000...20_004, .peer) + Self.rows(2, types, 20_010...20_011, .relay)
        let recovery = RegistryRecovery(
            ServerRegistry(), MappingRegistry(mappings: mappings), now: WallTime(seconds: 1_800_000_000))
        let wish = try #require(recovery.wishes.first)
        #expect(recovery.wishes.count == 1 && wish.protocols == expected)
        #expect(wish.ports == .preferably(try #require(PortRange(first: 20_000, count: 5))))
        #expect(wish.target == .service(host: "127.0.0.1", port: 5_000))
        let lease = try #require(recovery.leases.first)
        #expect(recovery.leases.count == 1 && lease.protocols == expected && lease.ports.count == 2)
        #expect(wish.proxyProtocol == .off)
    }

    @Test(
        "its target is told of visitors as before, as far as there is a form for that",
        arguments: [
            ([.tcp], .v1, .v1), ([.tcp], .v2, .v2), ([.udp], .v2, .v2), ([.tcp, .udp], .v2, .v2),
            ([.tcp, .udp], .v1, .off),
        ] as [([MappingRegistry.Mapping.Transport], ProxyProtocol, ProxyProtocol)])
    func proxyProtocol(
        _ types: [MappingRegistry.Mapping.Transport], _ written: ProxyProtocol, _ expected: ProxyProtocol
    ) throws {
        var rows = Self.rows(1, types, 20_000...20_001, .peer)
        for index in rows.indices { rows[index].proxyProtocol = written }
        let recovery = RegistryRecovery(
            ServerRegistry(), MappingRegistry(mappings: rows), now: WallTime(seconds: 1_800_000_000))
        #expect(recovery.wishes.map(\.proxyProtocol) == [expected])
    }
}
