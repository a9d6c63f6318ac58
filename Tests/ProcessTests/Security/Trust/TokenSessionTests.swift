import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Sessions that live by a token: how they begin, go on, and end.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct TokenSessionTests {
        private func issue(_ relay: Node, _ name: String, expires: String = "1h", _ more: [String] = []) async throws
            -> String
        {
            let done = try await relay.command(["token", "issue", "--name", name, "--expires", expires] + more)
            try #require(done.status == ExitCode.fine, "\(done.stderr)")
            return done.stdout.trimmingCharacters(in: .newlines)
        }

        private func address(_ relay: Node) -> String { "127.0.0.1:\(relay.settings.serverPort ?? 0)" }

        /// Hands a running node a token in a file.
        @discardableResult
        private func give(
            _ token: String, of relay: Node, to node: Node, expecting status: Int = ExitCode.fine
        ) async throws -> String {
            let s = node.scenario
            let file = "\(s.folder)/token-\(UInt32.random(in: 0...999_999))"
            _ = FileManager.default.createFile(
                atPath: file, contents: Data(token.utf8), attributes: [.posixPermissions: 0o600])
            let joined = try await node.command(["join", address(relay), "--token-file", file])
            try #require(joined.status == status, "\(joined.stderr)")
            try #require(!(joined.stdout + joined.stderr).contains(token))
            return joined.stdout + joined.stderr
        }

        /// A node that knows no mesh key, with something to expose.
        private func outsider(_ s: Scenario, _ name: String = "outsider", exposing service: Service) async throws
            -> Node
        {
            var settings = NodeSettings(name)
            settings.meshKey = nil
            settings.mappings = ["\(service.port)"]
            let node = try s.node(settings)
            try await node.listening()
            return node
        }

        @Test("a token revoked ends its session within 2 s, and what its visitors had open; a member's goes on")
        func revocation() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let member = try await s.peer("member", of: relay, mappings: ["\(echo.port)"])
                let memberPort = try await member.verified(echo.port).port
                let outsider = try await outsider(s, exposing: echo)
                try await give(try await issue(relay, "box"), of: relay, to: outsider)
                let port = try await outsider.verified(echo.port).port
                let (caller, other) = (try await s.caller(at: port), try await s.caller(at: memberPort))

                // From the command's beginning, its own start included.
                let time = try await milliseconds {
                    try #require(try await relay.command(["token", "revoke", "box"]).status == ExitCode.fine)
                    try await caller.brokenOff(within: .seconds(5))
                    try await outsider.program.line(containing: "revoked", within: .seconds(5))
                }
                s.note("revocation took \(time) ms")
                print("revocation: \(time) ms from the command's start to the end of session and visitor")
                try #require(time < 2_000, "\(time) ms")
                try await s.expectRefused("127.0.0.1", port)
                // It comes back and is told why it stays outside.
                try await outsider.program.line(containing: "does not accept this node's token: the token was revoked")
                try await other.echoes(5)
            }
        }

        @Test("a newer token that is worth nothing changes nothing, and that is said")
        func renewalRefused() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let outsider = try await outsider(s, exposing: echo)
                try await give(try await issue(relay, "first"), of: relay, to: outsider)
                let caller = try await s.caller(at: try await outsider.verified(echo.port).port)
                let second = try await issue(relay, "second", ["--for", String(repeating: "ab", count: 32)])
                let said = try await give(second, of: relay, to: outsider, expecting: ExitCode.refused)
                try #require(said.contains("the one before stays"), "\(said)")
                let kept = try String(contentsOfFile: "\(outsider.home)/memberships.json", encoding: .utf8)
                try #require(!kept.contains(second))
                let line = try await outsider.program.line(containing: "the new token is not accepted")
                try #require(line.contains("belongs to another node key"))
                try await caller.echoes(20)
            }
        }

        @Test("a token is bound to the node key that used it first")
        func boundToKey() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let first = try await outsider(s, "first", exposing: echo)
                let second = try await outsider(s, "second", exposing: echo)
                let token = try await issue(relay, "box")
                try await give(token, of: relay, to: first)
                let port = try await first.verified(echo.port).port
                try await give(token, of: relay, to: second, expecting: ExitCode.refused)
                try await second.program.line(containing: "the token belongs to another node key")
                try #require(relay.program.find("session of second") == nil)
                try await s.expectEcho("127.0.0.1", port)
            }
        }

        @Test("a token of another relay is not shown, and the reason is said")
        func otherRelay() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let (relay, other) = (try await s.relay(), try await s.relay("other"))
                let outsider = try await outsider(s, exposing: echo)
                try await give(try await issue(other, "box"), of: relay, to: outsider, expecting: ExitCode.refused)
                let line = try await outsider.program.line(containing: "not a member there")
                try #require(line.contains("the token given for it belongs to another relay"), "\(line)")
                try await give(try await issue(relay, "box"), of: relay, to: outsider)
                try await outsider.verified(echo.port)
            }
        }

        @Test("a token with a signature of somebody else, or changed, opens nothing")
        func changed() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let outsider = try await outsider(s, exposing: echo)
                let token = try await issue(relay, "box")
                let last = try #require(token.dropLast(10).last)
                let changed = token.dropLast(11) + (last == "A" ? "B" : "A") + token.suffix(10)
                try await give(String(changed), of: relay, to: outsider, expecting: ExitCode.refused)
                try await outsider.program.line(containing: "the token's signature is wrong")
                try #require(try await relay.viewRPM().isEmpty)
            }
        }
    }
}
