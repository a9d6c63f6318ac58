import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Whoever has a node dial somebody, or say something of itself.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct OthersWordTests {
        private func hits(_ program: Program, at host: String) -> Int {
            program.stdout.split(separator: "\n").count { $0 == "hit \(host)" }
        }

        @Test(
            "a relay has its peer dial nobody but itself, however often it says another host",
            arguments: ["127.0.0.3", "localhost"])
        func active(_ host: String) async throws {
            try await scenario { s in
                let service = try await s.service("echo")
                let (port, offered) = (try FreePorts.one(), try FreePorts.one())
                let relay = try await s.falseRelay(
                    port: port, offering: offered, at: [host], count: 2_000, watching: ["127.0.0.1", "127.0.0.3"])
                var settings = NodeSettings("peer")
                settings.meshKey = nil
                settings.relays = ["127.0.0.1:\(port)"]
                settings.mappings = ["\(service.port)"]
                let peer = try s.node(settings)
                try await peer.listening()
                try await relay.line(containing: "sent 2000")
                // Four quick checks, and no more for five seconds.
                try await eventually("it looks at the relay itself", within: .seconds(10)) {
                    hits(relay, at: "127.0.0.1") >= 4
                }
                try await Task.sleep(for: .seconds(2))
                #expect(hits(relay, at: "127.0.0.1") == 4)
                #expect(hits(relay, at: "127.0.0.3") == 0)
                let row = try await peer.viewRPM().first { $0.leads(to: service.port) }
                #expect(row?.state == "unreachable")
            }
        }

        @Test("a relay that breaks every data channel is dialled ever more rarely")
        func channelsThatBreak() async throws {
            try await scenario { s in
                let port = try FreePorts.one()
                let relay = try await s.falseRelay(
                    port: port, offering: FreePorts.one(), at: ["127.0.0.1"], count: 1, watching: [])
                var settings = NodeSettings("peer")
                settings.meshKey = nil
                settings.relays = ["127.0.0.1:\(port)"]
                settings.mappings = ["\(try await s.service("echo").port)"]
                let peer = try s.node(settings)
                try await peer.listening()
                try await relay.line(containing: "sent 1")
                try await Task.sleep(for: .seconds(6))
                // Four at once, after 0.5, 1, 2 and 4 s; and the session, checks and the mesh.
                let came = relay.stdout.split(separator: "\n").count { $0 == "came" }
                #expect(came >= 8 && came <= 40, "\(came) connections in 6 s")
            }
        }

        @Test("a relay dials on a member's word no third host, and says no and nothing else")
        func checks() async throws {
            try await scenario { s in
                let third = try await s.service("echo")
                let relay = try await s.relay("relay") {
                    $0.more = ["--open"]
                    // Even where the network is allowed: no relay was met there.
                    $0.config = Scenario.dialsLoopback
                }
                let port = relay.settings.serverPort ?? 0
                let closed = try FreePorts.one()
                let member = try await s.falseMember(
                    of: port,
                    checks: [
                        "127.0.0.1:\(third.port)", "127.0.0.1:\(closed)", "127.0.0.1:\(port)",
                        "localhost:\(third.port)",
                        "::ffff:127.0.0.1:\(third.port)", "192.168.9.9:8088", "203.0.113.50:4444",
                    ])
                try #require(try await member.exit() == 0, "\(member.stderr)")
                let line = member.stdout.split(separator: "\n").last ?? ""
                let answers = try JSONDecoder().decode([Adversary.Answer].self, from: Data(line.utf8))
                #expect(answers.count == 7)
                for answer in answers {
                    #expect(!answer.passed && answer.detail == "" && answer.seconds < 2, "\(answer)")
                }
            }
        }

        @Test("what one peer says that it dialled is not the relay's address")
        func dialled() async throws {
            try await scenario { s in
                let relay = try await s.relay("relay") { $0.more = ["--open"] }
                let link = try await relay.command(["mesh-key", "link"]).stdout
                let member = try await s.falseMember(
                    of: relay.settings.serverPort ?? 0, dialled: "poison.example.net:8088", staying: 20)
                try await member.line(containing: "welcome")
                try await throughout(.seconds(2), "nothing of it shows") {
                    let after = try await relay.command(["--view-rps", "--json"]).stdout
                    return try await relay.command(["mesh-key", "link"]).stdout == link
                        && !after.contains("poison")
                }
                let registry = try String(contentsOfFile: "\(relay.home)/reverse_proxy_server.json", encoding: .utf8)
                #expect(!registry.contains("poison"))
            }
        }
    }
}
