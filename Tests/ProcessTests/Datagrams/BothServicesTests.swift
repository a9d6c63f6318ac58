import TestSupport
import Testing

extension ProcessTests {
    /// Mappings for TCP and UDP on one number, of whose services one is down.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct BothServicesTests {
        /// TCP's, then UDP's.
        private func states(_ node: Node, _ port: Int) async throws -> [String?] {
            let rows = try await node.viewRPM().filter { $0.target == "127.0.0.1:\(port)" }
            return ["TCP", "UDP"].map { type in rows.first { $0.type == type }?.state }
        }

        @Test("with TCP alone the row for UDP says that its service is down; with neither the port refuses both")
        func tcpAlone() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(echo.port)", "--both"])
                try #require(made.status == ExitCode.fine, "\(made.status): \(made.stderr)")
                let reason = "nothing takes datagrams at 127.0.0.1:\(echo.port)"
                try #require(made.stderr.contains(reason), "\(made.stderr)")
                try #require(made.stderr.contains("works for UDP as soon as that changes"), "\(made.stderr)")
                let port = try await peer.verified(echo.port).port
                try #require(try await states(peer, echo.port) == ["verified", "target-down"])
                try await peer.program.line(containing: "127.0.0.1:\(echo.port) for UDP does not answer")
                try await s.expectEcho("127.0.0.1", port)
                var service: DatagramVisitor? = try DatagramVisitor(port: echo.port)
                try await eventually("both are up", within: .seconds(10)) {
                    try await states(peer, echo.port) == ["verified", "verified"]
                }
                service = nil
                echo.program.kill()
                try await eventually("both are down", within: .seconds(10)) {
                    try await states(peer, echo.port) == ["target-down", "target-down"]
                }
                let visitor = try DatagramVisitor()
                try await eventually("the port refuses", within: .seconds(5)) {
                    do {
                        _ = try visitor.ask([1], at: port, within: 1)
                        return false
                    } catch is DatagramVisitor.Refused { return true }
                }
                let tcp = try await s.shell("timeout 3 bash -c 'exec 3<>/dev/tcp/127.0.0.1/\(port)' 2>&1")
                try #require(tcp.status == 1, "\(tcp.status): \(tcp.stdout)")
                withExtendedLifetime(service) {}
            }
        }

        @Test("with UDP alone the row for TCP says that its service is down, and its visitors are reset")
        func udpAlone() async throws {
            try await scenario { s in
                let service = try DatagramVisitor(port: try FreePorts.one())
                service.echo()
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(service.port)", "--both"])
                try #require(made.status == ExitCode.targetDown, "\(made.status): \(made.stderr)")
                try #require(made.stderr.contains("works as soon as it does for TCP"), "\(made.stderr)")
                let port = try await peer.verified(service.port).port
                try #require(try await states(peer, service.port) == ["target-down", "verified"])
                let visitor = try DatagramVisitor()
                try await eventually("an echo", within: .seconds(5)) {
                    try visitor.ask([1, 2], at: port, within: 1) == [1, 2]
                }
                let read = "exec 3<>/dev/tcp/127.0.0.1/\(port) && head -c1 <&3 | wc -c"
                let tcp = try await s.shell("timeout 5 bash -c '\(read)' 2>/dev/null")
                try #require(tcp.status != 124, "it waits for nothing")
                try #require(["", "0"].contains(tcp.stdout.filter { !$0.isWhitespace }), "\(tcp.stdout)")
                _ = try await s.service("echo", port: service.port)
                try await eventually("both are up", within: .seconds(10)) {
                    try await states(peer, service.port) == ["verified", "verified"]
                }
                try await s.expectEcho("127.0.0.1", port)
            }
        }
    }
}
