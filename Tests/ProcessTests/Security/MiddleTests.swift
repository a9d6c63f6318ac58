import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Somebody between peer and relay who ends TLS with a key of its own.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct MiddleTests {
        private static let meshKey = String(repeating: "5e", count: 32)

        /// Nothing that a member would say went through these hands.
        private func expectNothingHeard(_ impostor: Impostor) throws {
            let heard = impostor.heard()
            for word in ["peer-with-a-name", "relay-with-a-name", "127.0.0.1:", "p2prc/0", Self.meshKey] {
                try #require(heard.range(of: Data(word.utf8)) == nil, "it heard \(word)")
            }
            try #require(heard.range(of: Data([UInt8](repeating: 0x5e, count: 32))) == nil, "it heard the mesh key")
        }

        @Test(
            "who knows the relay's key says nothing to another but which key it knows",
            arguments: Impostor.Manner.allCases)
        func pinned(_ manner: Impostor.Manner) async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.nodeName = "relay-with-a-name" }
                let impostor = try await s.impostor(manner, of: relay.settings.serverPort ?? 0)
                let shown = try await relay.command(["mesh-key", "link"])
                // The true relay's link, led astray: as if its address were taken over.
                let link = shown.stdout.trimmingCharacters(in: .newlines)
                    .replacing(":\(relay.settings.serverPort ?? 0)/", with: ":\(impostor.port)/")
                let peer = try await s.peer(of: relay) {
                    $0.nodeName = "peer-with-a-name"
                    $0.relays = [link]
                }
                let line = try await peer.program.line(containing: "the join link names the key")
                try #require(line.contains("somebody may be in between") && !line.contains("p2prc trust"))
                try await eventually("TLS with the impostor stood", within: .seconds(10)) { impostor.secured() >= 1 }
                // In each attempt a preamble and `keyHistoryWanted` with the key of the link; the answer is an empty
                // `keyHistory` (docs/protocol.md).
                let key = try #require(link.split(separator: "/").dropFirst(2).first?.lowercased())
                let heard = impostor.heard().map { String(format: "%02x", $0) }.joined()
                let question = "7032707263730001" + "09000023" + "010020" + key
                try #require(heard.hasPrefix(question), "\(heard)")
                let rest = heard.replacing(question, with: "").replacing("0a000003" + "010000", with: "")
                try #require(rest.isEmpty, "\(rest)")
                try expectNothingHeard(impostor)
                try #require(try await peer.viewRPS().first?.state != "connected")
            }
        }

        @Test("at first use a member is not taken in by who passes everything on, and neither is the relay")
        func forwarding() async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.nodeName = "relay-with-a-name" }
                let before = try #require(try await relay.strangers()["Broken_handshakes"])
                let impostor = try await s.impostor(.forward, of: relay.settings.serverPort ?? 0)
                let peer = try await s.peer(of: relay) {
                    $0.nodeName = "peer-with-a-name"
                    $0.relays = ["127.0.0.1:\(impostor.port)"]
                }
                // The relay refused: the peer's proof is bound to another connection than its own.
                try await peer.program.line(containing: "not a member there")
                try #require(try #require(try await relay.strangers()["Broken_handshakes"]) > before)
                try #require(!impostor.heard().isEmpty, "the peer's proof did pass through its hands")
                try expectNothingHeard(impostor)
                try #require(try await peer.viewRPS().allSatisfy { $0.key == nil && $0.state != "connected" })
                try #require(relay.program.find("session of") == nil)
                try #require(try await relay.viewRPM().isEmpty)
            }
        }

        @Test("at first use a member is not taken in by who claims to be an open relay")
        func claimingOpen() async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.nodeName = "relay-with-a-name" }
                let impostor = try await s.impostor(.open, of: relay.settings.serverPort ?? 0)
                let peer = try await s.peer(of: relay) {
                    $0.nodeName = "peer-with-a-name"
                    $0.relays = ["127.0.0.1:\(impostor.port)"]
                }
                let line = try await peer.program.line(containing: "does not know this node's mesh key")
                try #require(line.contains("--accept-open"), "what to do if it is meant: \(line)")
                try #require(!impostor.heard().isEmpty)
                try expectNothingHeard(impostor)
                try #require(try await peer.viewRPS().allSatisfy { $0.key == nil }, "nothing was pinned")
            }
        }

        @Test("a token is shown to nobody but the relay that issued it")
        func token() async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.nodeName = "relay-with-a-name" }
                let impostor = try await s.impostor(.open, of: relay.settings.serverPort ?? 0)
                let issued = try await relay.command(["token", "issue", "--name", "box", "--expires", "1h"])
                let token = issued.stdout.trimmingCharacters(in: .newlines)
                try #require(token.split(separator: ".").count == 3)
                let file = "\(s.folder)/token"
                _ = FileManager.default.createFile(
                    atPath: file, contents: Data(token.utf8), attributes: [.posixPermissions: 0o600])
                let address = "127.0.0.1:\(impostor.port)"
                var settings = NodeSettings("peer")
                settings.nodeName = "peer-with-a-name"
                settings.meshKey = nil
                let peer = try s.node(settings)
                try await peer.listening()
                let joined = try await peer.command(["join", address, "--token-file", file])
                try #require(joined.status != ExitCode.fine && !joined.stderr.contains(token), "\(joined.stderr)")
                try await eventually("the impostor heard a hello", within: .seconds(10)) { !impostor.heard().isEmpty }
                try #require(impostor.heard().range(of: Data(token.utf8)) == nil)
                try await peer.program.line(containing: "belongs to another relay")
            }
        }
    }
}
