import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What a node's log says of services that nobody reaches.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct FirewallLineTests {
        @Test("a mapping that nobody reaches is a warning in the node's log, with the ports to open, and once")
        func unreachable() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let ports = try FreePorts.range(20)
                // It says an address at which it does not listen: as closed as a firewall. By itself a peer would not
                // dial that on the relay's word.
                let relay = try await s.relay(ports: ports) { $0.advertise = "127.0.0.77" }
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"]) {
                    $0.config = "[mesh]\ndial = [\"127.0.0.0/8\"]"
                }
                let line = try await peer.program.line(containing: "cannot be reached from outside")
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                try #require(
                    line.contains("warning: 127.0.0.77:") && line.contains("-> 127.0.0.1:\(echo.port)"), "\(line)")
                try #require(
                    line.hasSuffix(
                        "open TCP ports \(ports.lowerBound)-\(ports.upperBound) in the firewall of relay \(address)"),
                    "\(line)")
                let asked = try await peer.command(["--mp", "\(echo.port)"])
                try #require(asked.status == ExitCode.unreachable)
                try #require(asked.stderr.contains("\(ports.lowerBound)-\(ports.upperBound)"), "\(asked.stderr)")
                try #require(peer.program.stderr.split(separator: "\n").count { $0.contains("cannot be reached") } == 1)
            }
        }
    }
}
