import PeerCore
import PeerStorage
import PeerWire
import Testing

@testable import P2PRCKit

@Suite struct PortRowsTests {
    typealias Mapping = MappingRegistry.Mapping

    static func row(
        _ port: UInt16?, _ state: Mapping.State, to local: Int, reason: String? = nil, by verifiers: [String] = []
    ) -> Mapping {
        let peer = NamedNode(name: "peer", key: NodeKey(bytes: Array(repeating: 7, count: 32))!)
        var row = Mapping(
            MappingID(value: 1), .tcp, of: peer, at: "relay", role: .peer, state: state, target: "127.0.0.1:\(local)")
        row.address = "relay.example"
        row.blindPort = port
        row.relay = "relay:8088"
        row.verifiedBy = verifiers
        row.reason = reason
        return row
    }

    static func shown(_ rows: [Mapping]) -> [String] {
        PortRows.collapsed(rows).map {
            "\($0.publicAddress) \($0.target) \($0.first.state.rawValue) \($0.reason ?? "-")"
        }
    }

    @Test func `neighbours of whom there is the same to say are one row`() {
        func down(_ port: UInt16, _ local: Int) -> Mapping {
            Self.row(port, .targetDown, to: local, reason: "127.0.0.1:\(local) does not answer")
        }
        #expect(
            Self.shown([
                down(21_000, 17_000), down(21_001, 17_001), down(21_002, 17_002),
                Self.row(21_003, .verified, to: 17_003, by: ["this node", "another"]),
                Self.row(21_004, .verified, to: 17_004, by: ["this node"]),
                down(21_005, 17_005),
            ]) == [
                "relay.example:21000-21002 127.0.0.1:17000-17002 target-down 127.0.0.1:17000-17002 do not answer",
                "relay.example:21003-21004 127.0.0.1:17003-17004 verified -",
                "relay.example:21005 127.0.0.1:17005 target-down 127.0.0.1:17005 does not answer",
            ])
    }

    @Test func `neighbours that are down for the same reason are one row wherever it names the port`() {
        func down(_ port: UInt16, _ local: Int) -> Mapping {
            Self.row(port, .targetDown, to: local, reason: "nothing takes datagrams at 127.0.0.1:\(local)")
        }
        #expect(
            Self.shown([down(21_000, 17_000), down(21_001, 17_001), down(21_002, 17_002)]) == [
                "relay.example:21000-21002 127.0.0.1:17000-17002 target-down "
                    + "nothing takes datagrams at 127.0.0.1:17000-17002"
            ])
    }

    @Test func `what is no neighbour, or has another reason, stays a row of its own`() {
        #expect(
            Self.shown([
                Self.row(21_000, .verified, to: 17_000), Self.row(21_002, .verified, to: 17_001),
                Self.row(21_003, .verified, to: 17_003), Self.row(nil, .refused, to: 17_004),
                Self.row(nil, .refused, to: 17_005),
            ]).count == 5)
        #expect(
            Self.shown([
                Self.row(21_000, .targetDown, to: 17_000, reason: "127.0.0.1:17000 does not answer"),
                Self.row(21_001, .targetDown, to: 17_001, reason: "127.0.0.1:17001 does not answer, [::1]:17001 does"),
            ]).count == 2)
    }
}
