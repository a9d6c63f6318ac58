import Foundation
import PeerWire
import TestSupport
import Testing

extension ProcessTests {
    /// What somebody on the way between peer and relay sees.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct WireTests {
        private static let payload = "The payload that nobody on the way shall read, 0123456789.\n"

        /// A peer behind a wiretap, with visitors that fetch the known payload.
        private func tapped(
            _ s: Scenario, plainAtRelay: Bool = false, plainAtPeer: Bool = false
        ) async throws -> (relay: Node, peer: Node, wire: Wiretap, row: MappingRow) {
            let http = try await s.service("http", ["--body", Self.payload])
            let relay = try await s.relay {
                $0.nodeName = "relay-with-a-name"
                $0.more = plainAtRelay ? ["--plain"] : []
            }
            let wire = try await s.wiretap(to: relay.settings.serverPort ?? 0)
            let peer = try await s.peer(of: relay, mappings: ["\(http.port)"]) {
                $0.nodeName = "peer-with-a-name"
                $0.relays = ["127.0.0.1:\(wire.port)"]
                $0.more = plainAtPeer ? ["--plain"] : []
            }
            let row = try await peer.verified(http.port)
            for _ in 0..<5 {
                try #require(try await s.curl("http://127.0.0.1:\(row.port)/") == Self.payload)
            }
            return (relay, peer, wire, row)
        }

        /// Everything of the control side that must never be readable.
        private func secrets(_ peer: Node, _ row: MappingRow) throws -> [String: Data] {
            let meshKey = try #require(peer.settings.meshKey)
            let raw = Data(
                stride(from: 0, to: 64, by: 2).map { at -> UInt8 in
                    let start = meshKey.index(meshKey.startIndex, offsetBy: at)
                    return UInt8(meshKey[start..<meshKey.index(start, offsetBy: 2)], radix: 16) ?? 0
                })
            let target = try #require(row.target)
            try #require(row.serverName == "relay-with-a-name", "the name is told, inside TLS")
            return [
                "the mesh key": raw, "the mesh key in hex": Data(meshKey.utf8),
                "the relay's name": Data("relay-with-a-name".utf8), "the peer's name": Data("peer-with-a-name".utf8),
                "the target in the list of ports": Data(target.utf8), "the program's name": Data("p2prc/0".utf8),
            ]
        }

        @Test("neither payload nor ports nor names nor mesh key appear on the wire")
        func encrypted() async throws {
            try await scenario { s in
                let (_, peer, wire, row) = try await tapped(s)
                var words = try secrets(peer, row)
                words["the payload"] = Data(Self.payload.utf8)
                words["a part of the payload"] = Data("nobody on the way".utf8)
                words["an HTTP head"] = Data("HTTP/1.".utf8)
                try #require(try wire.connections().count >= 6, "session and data channels went this way")
                try #require(try wire.everything().count > 5_000)
                try #require(try wire.findings(of: words).isEmpty)
                // Each connection is TLS from its first byte.
                for connection in try wire.connections() where !connection.toRelay.isEmpty {
                    try #require(connection.toRelay.first == 0x16)
                }
            }
        }

        @Test("--plain at one end alone changes nothing", arguments: [true, false])
        func plainAtOneEnd(_ isRelay: Bool) async throws {
            try await scenario { s in
                let (_, peer, wire, row) = try await tapped(s, plainAtRelay: isRelay, plainAtPeer: !isRelay)
                var words = try secrets(peer, row)
                words["the payload"] = Data("nobody on the way".utf8)
                try #require(try wire.findings(of: words).isEmpty)
            }
        }

        @Test("--plain at both ends lets the payload be read, and still nothing of the session; both ends say so")
        func plain() async throws {
            try await scenario { s in
                let (relay, peer, wire, row) = try await tapped(s, plainAtRelay: true, plainAtPeer: true)
                try #require(try wire.findings(of: try secrets(peer, row)).isEmpty)
                try #require(try wire.findings(of: ["payload": Data(Self.payload.utf8)]) == ["payload"])
                try await relay.program.line(containing: "--plain")
                try await peer.program.line(containing: "data channels not encrypted")

                // A data channel that was recorded is refused when somebody plays it back.
                let count = DataChannelHello.byteCount
                let sent = try wire.connections().map(\.toRelay)
                let recorded = try #require(sent.first { $0.first == 0x70 && $0.count >= count })
                let before = try #require(try await relay.strangers()["Unproven"])
                let hex = recorded.prefix(count).map { String(format: "%02x", $0) }.joined()
                let played = try await s.stranger(.plaintext, at: relay.settings.serverPort ?? 0, saying: hex)
                try #require(played.isOver && played.answer.isEmpty && played.milliseconds < 3_000)
                try #require(try await relay.strangers()["Unproven"] == before + 1)
            }
        }

        @Test("a session and data channels that were recorded are worth nothing when played back")
        func replay() async throws {
            try await scenario { s in
                let (relay, peer, wire, row) = try await tapped(s)
                let port = relay.settings.serverPort ?? 0
                for connection in try wire.connections().prefix(8) where !connection.toRelay.isEmpty {
                    let hex = connection.toRelay.prefix(60_000).map { String(format: "%02x", $0) }.joined()
                    let played = try await s.stranger(.plaintext, at: port, saying: hex)
                    try #require(played.isOver && played.milliseconds < 10_000)
                }
                try #require(
                    try await peer.verified(row.port == 0 ? 0 : Int(row.target?.split(separator: ":").last ?? "") ?? 0)
                        .port == row.port)
                try #require(try await s.curl("http://127.0.0.1:\(row.port)/") == Self.payload)
                try #require(!peer.program.stderr.contains("superseded"))
            }
        }
    }
}
