import PeerCore
import PeerDataPlane
import PeerReactor
import PeerWire
import Testing

@testable import P2PRCKit
@testable import PeerServices

@Suite struct MapOutcomeTests {
    static func row(
        _ host: String, _ standings: [PeerPortAgreement.Standing], _ protocols: TransportProtocols
    ) -> ExposedMapping {
        let count = standings.count
        let wish = MappingWish(
            id: MappingID(value: 1), target: .service(host: host, port: 6_001), protocols: protocols,
            ports: .any(count: count))
        return ExposedMapping(
            wish: wish, targetText: "\(host):6001", relay: Endpoint(host: "relay.example", port: 8_088),
            relayName: "relay", state: standings[0].state, reason: nil, standings: standings, refusal: nil,
            host: "203.0.113.11", ports: PortRange(first: 30_000, count: count),
            relayPorts: PortRange(first: 20_000, last: 32_767), receipt: nil, isPlain: nil, failures: 0,
            traffic: TrafficCounters())
    }

    static func reply(_ row: ExposedMapping) throws -> ControlReply {
        try #require(MapOutcome.reply([row], known: 0, waited: .seconds(9), isLate: true))
    }

    @Test func `of a service for UDP on another machine it is said that nobody looked whether it is there`() throws {
        let works = PeerPortAgreement.Standing(state: .verified)
        var row = Self.row("203.0.113.99", [works, works], .udp)
        row.services.isUnseen = true
        let reply = try Self.reply(row)
        #expect(reply.status == .success)
        #expect(
            reply.remarks == [
                "203.0.113.99:6001-6002 is on another machine: whether its service for UDP answers shows when a "
                    + "visitor comes; try it from outside"
            ])
        row.services.isUnseen = false
        #expect(try Self.reply(row).remarks == nil)
    }

    @Test(arguments: [(nil, "TCP and UDP"), (.udp, "UDP")] as [(TransportProtocols?, String)])
    func `what does not come through is what is to be opened`(_ closed: TransportProtocols?, _ words: String) throws {
        let standing = PeerPortAgreement.Standing(state: .unreachable, reason: "no answer")
        var row = Self.row("127.0.0.1", [standing], [.tcp, .udp])
        row.closed = closed
        let reply = try Self.reply(row)
        #expect(reply.status == .unreachable)
        #expect(
            reply.text == "203.0.113.11:30000 is agreed but not reachable: no answer; open \(words) ports 20000-32767 "
                + "in the firewall of relay.example:8088")
    }
}
