import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// A peer with sessions to two relays at once.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct SeveralRelaysTests {
        struct World {
            let relays: [Node]
            let peer: Node
            let local: Int
            let scenario: Scenario

            /// - Parameter hook: with a hook that adds a line of hosts and addresses to this file.
            init(
                _ s: Scenario, tool: String = "echo", _ options: [String] = [], hook: String? = nil
            ) async throws {
                scenario = s
                let service = try await s.service(tool, port: nil, options)
                local = service.port
                let ports = try FreePorts.range(20)
                // Two machines, so to speak: each has these ports on an address of its own.
                var relays: [Node] = []
                for (name, address) in [("relay1", "127.0.0.1"), ("relay2", "127.0.0.2")] {
                    relays.append(
                        try await s.relay(name, ports: ports) {
                            $0.bind = address
                            $0.advertise = address
                        })
                }
                self.relays = relays
                var settings = NodeSettings("peer")
                settings.relays = zip(relays, ["127.0.0.1", "127.0.0.2"]).map {
                    "\($1):\($0.settings.serverPort ?? 0)"
                }
                settings.mappings = ["\(local)"]
                if let hook { settings.config = "hook = 'echo \"$P2PRC_HOSTS|$P2PRC_ADDRESSES\" >> \(hook)'" }
                peer = try s.node(settings)
                try await peer.listening()
            }

            func rows(_ state: String = "verified") async throws -> [MappingRow] {
                try await peer.viewRPM().filter { $0.leads(to: local) && $0.state == state }
            }

            func bothVerified() async throws -> [MappingRow] {
                try await eventually("both are verified", within: .seconds(15)) {
                    let rows = try await rows()
                    return rows.count == 2 ? rows : nil
                }
            }
        }

        @Test("a hook hears of every change, once each")
        func hook() async throws {
            try await scenario { s in
                let file = "\(s.folder)/hook"
                let world = try await World(s, hook: file)
                let rows = try await world.bothVerified()
                func lines() -> [String] {
                    let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
                    return text.split(separator: "\n").map(String.init)
                }
                let port = rows[0].port
                try await eventually("the hook heard of both", within: .seconds(15)) {
                    lines().last?.split(separator: "|").first?.split(separator: " ").count == 2
                }
                let before = lines()
                world.relays[0].program.kill()
                try await eventually("the hook heard that one is gone", within: .seconds(5)) {
                    lines().last == "127.0.0.2|127.0.0.2:\(port)"
                }
                try await world.relays[0].restart()
                _ = try await world.bothVerified()
                // It is told ten seconds after the loss, and that is waited for asleep, whatever else changes
                // meanwhile.
                let other = try await s.service("echo")
                try #require(try await world.peer.command(["--mp", "\(other.port)"]).status == ExitCode.fine)
                let used = try ProcessFacts.processorTime(of: world.peer.program.pid)
                try await pass(.seconds(2), because: "what it uses meanwhile is measured")
                let spent = try ProcessFacts.processorTime(of: world.peer.program.pid) - used
                #expect(lines().last == "127.0.0.2|127.0.0.2:\(port)", "it was told too early to see it wait")
                #expect(spent < .milliseconds(500), "\(spent) in two seconds")
                try await eventually("the hook heard that it is back", within: .seconds(15)) {
                    lines().last?.contains("127.0.0.1:\(port)") == true
                }
                #expect(lines().count >= before.count + 2)
                for (one, next) in zip(lines(), lines().dropFirst()) { #expect(one != next) }
            }
        }

        @Test("a hook that hangs is killed, and holds nobody up")
        func hangingHook() async throws {
            try await scenario { s in
                var settings = NodeSettings("peer")
                let relay = try await s.relay()
                let service = try await s.service("echo")
                settings.relays = ["127.0.0.1:\(relay.settings.serverPort ?? 0)"]
                settings.mappings = ["\(service.port)"]
                settings.config = "hook = \"echo begun >> \(s.folder)/begun; sleep 1000\""
                let peer = try s.node(settings)
                let row = try await peer.verified(service.port)
                try await eventually("the hook began", within: .seconds(5)) {
                    FileManager.default.fileExists(atPath: "\(s.folder)/begun")
                }
                try await s.expectEcho("127.0.0.1", row.port)
                // Stopping does not wait for it.
                let took = try await milliseconds { _ = try await peer.program.terminate() }
                #expect(took < 3_000, "it took \(took) ms")
            }
        }

        @Test(
            "relays = 9 and auto with relays = 0 are refused, and say what to write",
            arguments: [
                ("relays = 9", ExitCode.damagedData, "relays: 9 is out of range"),
                ("relays = 0", ExitCode.usage, "relays = 0"),
            ])
        func refused(_ config: String, _ status: Int, _ text: String) async throws {
            try await scenario { s in
                var settings = NodeSettings("peer")
                settings.relays = ["auto"]
                settings.config = config
                let node = try s.node(settings)
                #expect(try await node.program.exit() == status)
                #expect(node.program.stderr.contains(text), "\(node.program.stderr)")
                #expect(node.program.stderr.split(separator: "\n").count == 1)
            }
        }
    }
}
