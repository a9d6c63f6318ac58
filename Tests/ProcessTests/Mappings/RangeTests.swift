import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Mappings of several ports: each has a state of its own.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct RangeTests {
        private func mapping(_ local: ClosedRange<Int>, _ open: ClosedRange<Int>) -> String {
            "\(local.lowerBound)-\(local.upperBound):\(open.lowerBound)-\(open.upperBound)"
        }

        private func states(_ node: Node) async throws -> [String?] {
            try await node.viewRPM().sorted { $0.port < $1.port }.map(\.state)
        }

        @Test("each port serves when its own service answers, whatever the others do")
        func eachForItself() async throws {
            try await scenario { s in
                let (local, open) = (try FreePorts.range(5), try FreePorts.range(5))
                let relay = try await s.relay(ports: open)
                let peer = try await s.peer(of: relay)
                let second = try await s.service("echo", port: local.lowerBound + 1)

                let made = try await peer.command(["--mp", mapping(local, open)])
                try #require(made.status == ExitCode.targetDown)
                #expect(
                    made.stdout
                        == "127.0.0.1:\(open.lowerBound + 1) -> 127.0.0.1:\(second.port) verified\n")
                let complaints = made.stderr.split(separator: "\n")
                #expect(complaints.count == 2, "\(made.stderr)")
                #expect(complaints.first?.contains("127.0.0.1:\(local.lowerBound) does not answer") == true)
                #expect(
                    complaints.last?.contains("127.0.0.1:\(local.lowerBound + 2)-\(local.upperBound) do not answer")
                        == true)
                try await s.expectEcho("127.0.0.1", open.lowerBound + 1)
                for port in open where port != open.lowerBound + 1 {
                    try await s.expectRefused("127.0.0.1", port, times: 1)
                }
                let down: [String?] = ["target-down", "verified", "target-down", "target-down", "target-down"]
                for node in [peer, relay] {
                    #expect(try await states(node) == down)
                    // Neighbours of whom there is the same to say are one row.
                    let table = try await node.command(["--view-rpm"])
                    #expect(table.stdout.split(separator: "\n").count == 4, "\(table.stdout)")
                    #expect(table.stdout.contains("127.0.0.1:\(open.lowerBound + 2)-\(open.upperBound)"))
                }

                // Another comes, and then the first one goes.
                _ = try await s.service("echo", port: local.lowerBound)
                try await peer.verified(local.lowerBound)
                try await s.expectEcho("127.0.0.1", open.lowerBound)
                second.program.kill()
                try await peer.mapping(second.port, in: "target-down")
                try await s.expectEcho("127.0.0.1", open.lowerBound)
                try await s.expectRefused("127.0.0.1", open.lowerBound + 1)
                #expect(
                    try await states(peer) == ["verified", "target-down", "target-down", "target-down", "target-down"])

                // By one of its ports, or by the range.
                let gone = try await peer.command(["unmap", "\(local.lowerBound)-\(local.upperBound)"])
                #expect(gone.status == ExitCode.fine, "\(gone.stderr)")
            }
        }

        @Test("visitors of a dead port cost those of the others nothing, and the log a line or two")
        func deadPort() async throws {
            try await scenario { s in
                let (local, open) = (try FreePorts.range(60), try FreePorts.range(60))
                let relay = try await s.relay(ports: open)
                _ = try await s.service("echo", port: local.lowerBound, ["--count", "2"])
                let peer = try await s.peer(of: relay, mappings: [mapping(local, open)])
                try await peer.verified(local.lowerBound)
                try await peer.verified(local.lowerBound + 1)
                let dying = try await s.service("echo", port: local.lowerBound + 50)
                try await peer.verified(dying.port)
                let before = lines(peer)

                let good = try s.startVisitor(
                    "churn",
                    ["--address", "127.0.0.1", "--port", "\(open.lowerBound + 1)", "--connections", "300"])
                // It goes while somebody is there, so that visitors are the first to notice.
                dying.program.kill()
                for _ in 0..<30 {
                    try await s.visit(
                        "expect-refused", ["--port", "\(open.lowerBound + 30)", "--times", "1"], seconds: 10)
                    _ = try await s.startVisitor(
                        "garbage", ["--port", "\(open.lowerBound + 50)", "--kind", "silence"], seconds: 5
                    )
                    .exit(within: .seconds(10))
                }
                let end = try await good.exit(within: .seconds(60))
                try #require(end == 0, "\(good.stdout)\(good.stderr)")
                #expect(lines(peer) - before <= 3, "\(peer.program.stderr.suffix(2_000))")
            }
        }

        private func lines(_ node: Node) -> Int {
            (node.program.stdout + node.program.stderr).split(separator: "\n").count
        }

        @Test("a range of 1024 ports is verified, port by port")
        func many() async throws {
            try await scenario { s in
                // Above those that other tests take, and the relay on an address of its own.
                let ports = 31_100...32_123
                let (local, open) = (ports, ports)
                let relay = try await s.relay(ports: open) { $0.bind = "127.0.0.4" }
                let echo = try await s.service(
                    "echo", port: local.lowerBound, ["--count", "1024", "--bind", "127.0.0.1"])
                let peer = try await s.peer(of: relay) { $0.relays = ["127.0.0.4:\(relay.settings.serverPort ?? 0)"] }
                let idle = try relay.program.facts().descriptors
                let made = try await peer.command(["--mp", mapping(local, open)])
                try #require(made.status == ExitCode.fine, "\(made.stderr.prefix(500))")
                #expect(made.stdout.split(separator: "\n").count == 1_024)
                try await s.expectEcho("127.0.0.4", open.upperBound)
                // One for each port, and a few for channels.
                let used = try relay.program.facts().descriptors - idle
                #expect((1_024...1_024 + 64).contains(used), "\(used)")
                let table = try await peer.command(["--view-rpm"])
                #expect(table.stdout.split(separator: "\n").count == 2, "\(table.stdout.prefix(2_000))")
                echo.program.kill()
                try await peer.mapping(local.upperBound, in: "target-down")
            }
        }

        @Test("more than 1024 ports are refused by the command line")
        func tooMany() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let asked = try await peer.command(["--mp", "20000-21024"])
                #expect(asked.status == ExitCode.usage)
                #expect(asked.stderr.contains("1025 ports") && asked.stderr.contains("at most 1024"))
            }
        }

        @Test("ports that open for a moment only are served on demand, from the first visitor on")
        func onDemand() async throws {
            try await scenario { s in
                let ports = try FreePorts.range(11)
                let relay = try await s.relay(ports: ports)
                // The number that a visitor is told is the public one too, so both ends have an address of their own.
                let control = try await s.service(
                    "momentary", ["--data", "\(ports.lowerBound + 1)", "--bind", "127.0.0.2"])
                let peer = try await s.peer(of: relay)
                try #require(
                    try await peer.command(["--mp", "\(control.port):\(ports.lowerBound)", "--target", "127.0.0.2"])
                        .status
                        == ExitCode.fine)
                let data = (ports.lowerBound + 1)...ports.upperBound
                let words = ["--mp", mapping(data, data), "--on-demand", "--target", "127.0.0.2"]
                let made = try await peer.command(words)
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                try await s.visit("fetch", ["--port", "\(ports.lowerBound)", "--times", "25"])
                // It stays so over a restart, until it is taken back.
                try #require(try await peer.program.terminate() == 0)
                peer.settings.relays = []
                peer.settings.more = ["--no-server-port"]
                try await peer.restart()
                try await peer.verified(data.lowerBound)
                try await s.visit("fetch", ["--port", "\(ports.lowerBound)", "--times", "5"])
                let back = try await peer.command([
                    "--mp", mapping(data, data), "--no-on-demand", "--target", "127.0.0.2",
                ])
                #expect(back.status == ExitCode.targetDown)
                try await s.expectRefused("127.0.0.1", data.lowerBound)
            }
        }

        @Test("a service on the other address of this machine, and a name that there is not, are named")
        func hints() async throws {
            try await scenario { s in
                let echo = try await s.service("echo", ["--bind", "::1"])
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let asked = try await peer.command(["--mp", "\(echo.port)"])
                #expect(asked.status == ExitCode.targetDown)
                let hint =
                    "127.0.0.1:\(echo.port) does not answer, [::1]:\(echo.port) does: --target '[::1]:\(echo.port)'"
                #expect(asked.stderr.contains(hint), "\(asked.stderr)")
                let row = try #require(try await peer.viewRPM().first { $0.leads(to: echo.port) })
                #expect(row.reason == hint)
                let named = try await peer.command(["--mp", "22", "--target", "no-such-host.invalid:22"])
                #expect(named.status == ExitCode.targetDown)
                #expect(named.stderr.contains("no-such-host.invalid"), "\(named.stderr)")
            }
        }
    }
}
