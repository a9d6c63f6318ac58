import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// The key of a relay is pinned at its first use; another one is refused until the user says otherwise.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct TrustTests {
        private func key(of node: Node) async throws -> String {
            let printed = try await node.command(["status", "--json"]).stdout
            let status = try JSONSerialization.jsonObject(with: Data(printed.utf8)) as? [String: Any]
            return try #require(status?["Key"] as? String)
        }

        /// A relay that took another one's place, of the same mesh, and a peer that knew the former.
        private func replaced(_ s: Scenario) async throws -> (relay: Node, peer: Node, address: String, echo: Service) {
            let echo = try await s.service("echo")
            let port = try FreePorts.one()
            let first = try await s.relay(serverPort: port)
            let peer = try await s.peer(of: first, mappings: ["\(echo.port)"])
            _ = try await peer.verified(echo.port)
            try #require(try await first.program.terminate() == 0)
            let second = try await s.relay("second", serverPort: port)
            return (second, peer, "127.0.0.1:\(port)", echo)
        }

        @Test(
            "a relay with another key gets a loud line and no session, and p2prc trust mends it",
            arguments: [true, false])
        func running(_ namesKey: Bool) async throws {
            try await scenario { s in
                let (relay, peer, address, echo) = try await replaced(s)
                let key = try await key(of: relay)
                let line = try await peer.program.line(containing: "its key changed from")
                try #require(line.contains("p2prc trust \(address) --key \(key)"), "the whole command: \(line)")
                try #require(relay.program.find("session of") == nil)
                try #require(try await peer.viewRPS().first { $0.address == address }?.state != "connected")
                let command = ["trust", address] + (namesKey ? ["--key", key] : [])
                try #require(try await peer.command(command).status == ExitCode.fine)
                let row = try await peer.verified(echo.port)
                try await s.expectEcho("127.0.0.1", row.port)
            }
        }

        @Test("trust works in a home that no node runs with, and the pin outlives the process")
        func resting() async throws {
            try await scenario { s in
                let (relay, peer, address, echo) = try await replaced(s)
                try await peer.program.line(containing: "its key changed from")
                try #require(try await peer.program.terminate() == 0)
                try await peer.restart()
                try await peer.program.line(containing: "its key changed from")
                try #require(try await peer.program.terminate() == 0)
                let key = try await key(of: relay)
                try #require(try await peer.command(["trust", address, "--key", key]).status == ExitCode.fine)
                try await peer.restart()
                _ = try await peer.verified(echo.port)
            }
        }

        @Test("trust in a third key lets neither in, and what is no key or no relay is named")
        func wrong() async throws {
            try await scenario { s in
                let (relay, peer, address, _) = try await replaced(s)
                try await peer.program.line(containing: "its key changed from")
                let third = String(repeating: "ab", count: 32)
                try #require(try await peer.command(["trust", address, "--key", third]).status == ExitCode.fine)
                try await peer.program.line(containing: "its key changed from \(third.prefix(16))")
                try #require(relay.program.find("session of") == nil)
                let noKey = try await peer.command(["trust", address, "--key", "abc"])
                try #require(noKey.status == ExitCode.usage && noKey.stderr.contains("abc"))
                let nobody = try await peer.command(["trust", "192.0.2.1"])
                try #require(nobody.status == ExitCode.notFound && nobody.stderr.contains("192.0.2.1"))
                try #require(try await peer.program.terminate() == 0)
                let resting = try await peer.command(["trust", "192.0.2.1"])
                try #require(resting.status == ExitCode.notFound && resting.stderr.contains("192.0.2.1"))
            }
        }
    }
}
