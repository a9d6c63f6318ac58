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

        @Test("the same port is opened at both relays, and both serve")
        func samePort() async throws {
            try await scenario { s in
                let world = try await World(s)
                let rows = try await world.bothVerified()
                #expect(Set(rows.map(\.port)).count == 1)
                #expect(Set(rows.compactMap(\.address)) == ["127.0.0.1", "127.0.0.2"])
                for row in rows { try await s.expectEcho(row.address ?? "", row.port) }
                // A mapping that comes later has one number as well.
                let later = try await s.service("echo")
                try #require(try await world.peer.command(["--mp", "\(later.port)"]).status == 0)
                try await eventually("the later one has the same port at both", within: .seconds(10)) {
                    let rows = try await world.peer.viewRPM().filter {
                        $0.leads(to: later.port) && $0.state == "verified"
                    }
                    return rows.count == 2 && Set(rows.map(\.port)).count == 1
                }
            }
        }

        @Test("a relay that is new is asked for the number of before, also when those that gave it are used no longer")
        func sameNumberElsewhere() async throws {
            try await scenario { s in
                let world = try await World(s)
                let port = try await world.bothVerified()[0].port
                for name in world.peer.settings.relays {
                    try #require(try await world.peer.command(["leave", name]).status == ExitCode.fine)
                }
                let ports = try #require(world.relays[0].settings.ports)
                let third = try await s.relay("relay3", ports: ports) {
                    $0.bind = "127.0.0.3"
                    $0.advertise = "127.0.0.3"
                }
                let joined = try await world.peer.command(["join", "127.0.0.3:\(third.settings.serverPort ?? 0)"])
                try #require(joined.status == ExitCode.fine, "\(joined.stderr)")
                let row = try await world.peer.verified(world.local)
                #expect(row.address == "127.0.0.3" && row.port == port)
            }
        }

        @Test("of two numbers of one service the odd one is given back for the usual one, once that is free there")
        func oneNumber() async throws {
            try await scenario { s in
                let service = try await s.service("echo")
                let ports = try FreePorts.range(20)
                var relays: [Node] = []
                let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
                for (index, address) in addresses.enumerated() {
                    relays.append(
                        try await s.relay("relay\(index + 1)", ports: ports) {
                            $0.bind = address
                            $0.advertise = address
                        })
                }
                var settings = NodeSettings("peer")
                // Two of three: of two alike the one of the relay whose session stands first would be the usual one.
                settings.relays = [0, 2].map { "\(addresses[$0]):\(relays[$0].settings.serverPort ?? 0)" }
                settings.mappings = ["\(service.port)"]
                let peer = try s.node(settings)
                let usual = try await peer.verified(service.port).port
                func numbers(_ count: Int) async throws -> Set<Int> {
                    let rows = try await peer.viewRPM().filter { $0.leads(to: service.port) && $0.state == "verified" }
                    return rows.count == count ? Set(rows.map(\.port)) : []
                }
                try await eventually("it has one number", within: .seconds(10)) { try await numbers(2) == [usual] }
                let other = try await s.service("echo", port: usual, ["--bind", "127.0.0.2"])
                let joined = try await peer.command(["join", "127.0.0.2:\(relays[1].settings.serverPort ?? 0)"])
                try #require(joined.status == ExitCode.fine, "\(joined.stderr)")
                try await eventually("it has two numbers", within: .seconds(10)) { try await numbers(3).count == 2 }
                let odd = try #require(try await numbers(3).subtracting([usual]).first)
                // It is taken there: what the relay gave before is what it gives again.
                try await peer.program.line(
                    containing: "is asked for port \(usual) instead of \(odd)", within: .seconds(15))
                try await eventually("it has the other number again", within: .seconds(15)) {
                    try await numbers(3) == [usual, odd]
                }
                _ = try await other.program.terminate()
                s.forget(other.program)
                // What was refused is not asked for again by the same process.
                _ = try await peer.program.terminate()
                try await peer.restart()
                try await eventually("it has one number everywhere", within: .seconds(20)) {
                    try await numbers(3) == [usual]
                }
                for address in addresses { try await s.expectEcho(address, usual) }
            }
        }

        @Test(
            "a relay that stops answering is shown as gone after 1.2 s, and is back when it speaks", arguments: [0, 1])
        func silence(_ index: Int) async throws {
            try await scenario { s in
                let world = try await World(s)
                _ = try await world.bothVerified()
                let silent = world.relays[index]
                let address = ["127.0.0.1", "127.0.0.2"][index]
                silent.program.signal(SIGSTOP)
                let took = try await milliseconds {
                    try await eventually("it is shown as offline", within: .seconds(5)) {
                        try await world.rows("offline").contains { $0.address == address }
                    }
                }
                #expect(took >= 600 && took < 2_200, "it took \(took) ms")
                // What still serves comes first.
                let first = try #require(try await world.peer.viewRPM().first { $0.leads(to: world.local) })
                #expect(first.address != address && first.state == "verified")
                let servers = try await world.peer.viewRPS()
                #expect(servers.first?.state == "connected" && servers.first?.address.hasPrefix(address) == false)
                silent.program.signal(SIGCONT)
                _ = try await world.bothVerified()
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
