import PeerStorage
import PeerWire
import Testing

@testable import P2PRCKit

@Suite("What people hear of public ports")
struct AnnouncementsTests {
    private typealias Mapping = MappingRegistry.Mapping

    private func registry(
        _ state: Mapping.State, role: Mapping.Role = .peer, target: String = "127.0.0.1:80", reason: String? = nil
    ) -> MappingRegistry {
        let peer = NamedNode(name: "laptop", key: NodeKey(bytes: Array(repeating: 7, count: 32))!)
        var row = Mapping(MappingID(value: 1), .tcp, of: peer, at: "relay", role: role, state: state, target: target)
        row.address = "relay.example"
        row.blindPort = 20_000
        row.reason = reason
        return MappingRegistry(mappings: [row])
    }

    @Test func `is said once, also where the service rests meanwhile, and again after the port was somebody else's`() {
        var announcements = Announcements()
        let line = "relay.example:20000 -> 127.0.0.1:80 verified"
        #expect(announcements.news(in: registry(.active)) == [])
        #expect(announcements.news(in: registry(.verified)) == [line])
        #expect(announcements.news(in: registry(.targetDown)) == [])
        #expect(announcements.news(in: registry(.verified)) == [])
        #expect(announcements.news(in: registry(.requested)) == [])
        #expect(announcements.news(in: registry(.verified)) == [line])
    }

    @Test func `tells p2prc's own port from what was asked for, and why a port is not verified`() {
        var announcements = Announcements()
        #expect(
            announcements.news(in: registry(.verified, target: HostText.serverPort)) == [
                "relay.example:20000 -> server port verified (p2prc's own port, for other nodes; --no-server-port "
                    + "leaves it out)"
            ])
        let news = announcements.news(in: registry(.active, reason: "works at 10.0.0.1"))
        #expect(news == ["relay.example:20000 -> 127.0.0.1:80: works at 10.0.0.1"])
        #expect(announcements.news(in: registry(.verified, role: .relay)) == [])
    }

    @Test func `warns a relay of closed ports once, until its peers reach all of them`() {
        var announcements = Announcements()
        #expect(announcements.closedPort(in: registry(.unreachable)) == nil)
        #expect(announcements.closedPort(in: registry(.unreachable, role: .relay))?.peerName == "laptop")
        #expect(announcements.closedPort(in: registry(.unreachable, role: .relay)) == nil)
        #expect(announcements.closedPort(in: registry(.verified, role: .relay)) == nil)
        #expect(announcements.closedPort(in: registry(.unreachable, role: .relay)) != nil)
    }

    @Test func `a closed port of a mapping for both is one for both protocols`() throws {
        var both = registry(.unreachable, role: .relay)
        let row = try #require(both.mappings.first)
        #expect(Announcements.protocols(of: row, in: both) == .tcp)
        var other = row
        other.type = .udp
        both.mappings.append(other)
        #expect(Announcements.protocols(of: row, in: both) == [.tcp, .udp])
    }

    @Test func `names a row that is left out once`() {
        var announcements = Announcements()
        #expect(announcements.newMisfits(["a", "b"]) == ["a", "b"])
        #expect(announcements.newMisfits(["b", "c"]) == ["c"])
        #expect(announcements.newMisfits([]) == [])
        #expect(announcements.newMisfits(["b"]) == ["b"])
    }
}
