import Foundation
import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// Every state with every event, as committed text: a change of a machine is a difference to read.
/// `P2PRC_SNAPSHOTS=write swift test --filter SnapshotTests` rewrites the files.
@Suite struct SnapshotTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Snapshots")

    static func compare(_ text: String, with name: String) throws {
        let file = folder.appending(path: name)
        if Environment.writesSnapshots { try Data(text.utf8).write(to: file) }
        let committed = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        let (found, expected) = (text.split(separator: "\n"), committed.split(separator: "\n"))
        for line in found where !expected.contains(line) { Issue.record("\(name) lacks: \(line)") }
        for line in expected where !found.contains(line) { Issue.record("\(name) is not so any more: \(line)") }
        #expect(text == committed)
    }

    static func line(
        _ from: String, _ event: String, _ to: String, _ actions: [String], width: Int = 18
    ) -> String {
        let actions = actions.isEmpty ? "-" : actions.joined(separator: ", ")
        return "\(pad(from, width)) \(pad(event, 24)) \(pad(to == from ? "=" : to, width)) \(actions)\n"
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text.padding(toLength: max(width, text.count), withPad: " ", startingAt: 0)
    }

    static func table(_ title: String, _ lines: [String]) -> String {
        "# \(title)\n# from, event, to (= the same), actions\n\n" + lines.joined()
    }

    @Test func `transitions of a peer's port agreement`() throws {
        var lines: [String] = []
        for from in AgreementStates.names {
            #expect(AgreementStates.name(of: AgreementStates.inState(from)) == from)
            for (name, event) in AgreementStates.events {
                var agreement = AgreementStates.inState(from)
                let now = name == "timePassed" ? agreement.nextDeadline ?? .zero : .zero
                let actions = agreement.handle(event, at: now)
                lines.append(Self.line(from, name, AgreementStates.name(of: agreement), actions.map(\.name)))
            }
        }
        try Self.compare(
            Self.table("PeerPortAgreement, for the server port", lines), with: "PeerPortAgreement.txt")
    }

    @Test func `transitions of a link to a relay`() throws {
        let events: [(String, (inout LinkPair) -> [RelayLink.Action])] = [
            ("timePassed (deadline)", { $0.link.timePassed(at: $0.link.nextDeadline ?? .zero) }),
            ("timePassed (a minute)", { $0.link.timePassed(at: Instant.zero + .seconds(60)) }),
            ("connected", { $0.link.connected(HandshakePair(run: 9).peer, at: .zero) }),
            ("connectionFailed", { $0.link.connectionFailed("refused", at: .zero) }),
            ("closed", { $0.link.closed("closed", at: .zero) }),
            ("receivedVersion", { $0.link.receivedVersion(2, at: .zero) }),
            ("received welcome", { $0.link.received(HandshakePair.welcome.frame, at: .zero) }),
            ("received ping", { $0.link.received(RelayMessage.ping(1).frame, at: .zero) }),
            ("received released", { $0.link.received(RelayMessage.released(.number(1)).frame, at: .zero) }),
            ("received request", { $0.link.received(PeerMessage.wants(1, .any(count: 1)).frame, at: .zero) }),
            ("received unknown 0x7f", { $0.link.received(Frame(type: 0x7f, payload: []), at: .zero) }),
            ("received unknown 0x80", { $0.link.received(Frame(type: 0x80, payload: []), at: .zero) }),
            ("received close leaving", { $0.link.received(RelayMessage.close(.leaving, detail: "").frame, at: .zero) }),
            (
                "received close superseded",
                { $0.link.received(RelayMessage.close(.superseded, detail: "").frame, at: .zero) }
            ),
            (
                "stop",
                {
                    $0.link.stop()
                    return []
                }
            ),
        ]
        var lines: [String] = []
        for from in ["waiting", "connecting", "opening", "proving", "established", "stopped"] {
            for (name, event) in events {
                var pair = LinkPair.inState(from)
                let actions = event(&pair)
                let to = pair.link.state.name
                let isSame = to == (from == "proving" ? "opening" : from)
                lines.append(Self.line(from, name, isSame ? from : to, actions.map(\.name)))
            }
        }
        try Self.compare(
            Self.table("RelayLink; proving is opening after the challenge", lines), with: "RelayLink.txt")
    }
}
