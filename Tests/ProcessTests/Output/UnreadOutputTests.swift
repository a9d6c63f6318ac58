import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What becomes of a node when nobody takes what it prints.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct UnreadOutputTests {
        /// Starts a program with both outputs in a pipe of 4 KiB that is full and that nobody reads. Its other end goes
        /// with it, so that writing is no error either.
        private static let wrapper = [
            "/usr/bin/python3", "-c",
            """
            import fcntl, os, sys
            reader, writer = os.pipe()
            fcntl.fcntl(writer, 1031, 4096)
            os.set_inheritable(reader, True)
            os.write(writer, b"x" * 4096)
            for output in 1, 2: os.dup2(writer, output)
            os.execv(sys.argv[1], sys.argv[1:])
            """,
        ]

        private func answers(_ node: Node) async throws -> Bool {
            try await node.command(["status"], within: .seconds(4)).status == ExitCode.fine
        }

        /// It cannot say when it listens.
        private func relay(_ s: Scenario, _ port: Int, _ wrapper: [String]) async throws -> Node {
            var settings = NodeSettings("relay")
            settings.ports = try FreePorts.range(20)
            settings.serverPort = port
            settings.wrapper = wrapper
            let relay = try s.node(settings)
            try await eventually("the relay answers", within: .seconds(10)) { try await answers(relay) }
            return relay
        }

        @Test(
            "with full pipes that nobody reads both go on, members come and go, and SIGTERM ends both within 3 s"
        )
        func unread() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let port = try FreePorts.one()
                let relay = try await self.relay(s, port, Self.wrapper)
                var settings = NodeSettings("peer")
                settings.wrapper = Self.wrapper
                settings.relays = ["127.0.0.1:\(port)"]
                settings.mappings = ["\(echo.port)"]
                let peer = try s.node(settings)
                try await eventually("the peer answers", within: .seconds(10)) { try await answers(peer) }
                let row = try await peer.verified(echo.port)
                for round in 0..<4 {
                    let passing = try await s.peer("passing\(round)", of: relay, mappings: ["\(echo.port)"])
                    try await passing.verified(echo.port)
                    try #require(try await passing.program.terminate() == 0)
                    try await s.expectEcho("127.0.0.1", row.port)
                }
                // Its target goes and comes: lines on both of its outputs.
                var service = echo
                for _ in 0..<2 {
                    service.program.kill()
                    try await peer.mapping(echo.port, in: "target-down")
                    service = try await s.service("echo", port: echo.port)
                    try await peer.verified(echo.port)
                }
                for node in [relay, peer] { try #require(try await answers(node)) }
                for node in [peer, relay] {
                    try #require(try await node.program.terminate(within: .seconds(3)) == 0)
                }
            }
        }

        @Test("started with closed descriptors a node writes its lines nowhere, least of all into its home")
        func closed() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let port = try FreePorts.one()
                let relay = try await self.relay(s, port, ["/bin/sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"])
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                try await peer.verified(echo.port)
                let lock = try String(contentsOfFile: "\(relay.home)/lock", encoding: .utf8)
                try #require(lock == "\(relay.program.pid)\n")
                for descriptor in 0...2 {
                    let place = "/proc/\(relay.program.pid)/fd/\(descriptor)"
                    try #require(try FileManager.default.destinationOfSymbolicLink(atPath: place) == "/dev/null")
                }
                try #require(try await relay.program.terminate() == 0)
                let sound = try await s.run(
                    "sqlite3", "sqlite3", ["\(relay.home)/ip_table.sqlite", "pragma integrity_check"])
                try #require(sound.stdout == "ok\n")
            }
        }
    }
}
