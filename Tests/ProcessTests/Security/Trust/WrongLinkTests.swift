import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Join links that are not what they were when somebody copied them, and relays that are none.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct WrongLinkTests {
        private func link(of relay: Node) async throws -> String {
            try await relay.command(["mesh-key", "link"]).stdout.trimmingCharacters(in: .newlines)
        }

        /// Without the check of its digits, as an older relay prints it, and the first digit of a key another one.
        private func wrong(_ link: String, key number: Int) -> String {
            var parts = link.lowercased().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            parts[number + 2] = (parts[number + 2].first == "1" ? "2" : "1") + parts[number + 2].dropFirst()
            return parts.joined(separator: "/")
        }

        private func memberships(_ node: Node) -> String {
            (try? String(contentsOfFile: "\(node.home)/memberships.json", encoding: .utf8)) ?? ""
        }

        private func newcomer(_ s: Scenario) async throws -> Node {
            var settings = NodeSettings("newcomer")
            settings.meshKey = nil
            let node = try s.node(settings)
            try await node.listening()
            return node
        }

        @Test("a link that contradicts a proven key changes nothing and says so", arguments: [1, 2])
        func contradicting(_ key: Int) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let link = try await link(of: relay)
                let peer = try await newcomer(s)
                try #require(try await peer.command(["join", link]).status == ExitCode.fine)
                try #require(try await peer.command(["--mp", "\(echo.port)"]).status == ExitCode.fine)
                let before = memberships(peer)
                let refused = try await peer.command(["join", wrong(link, key: key)])
                try #require(refused.status == ExitCode.usage, "\(refused.stdout)\(refused.stderr)")
                try #require(refused.stderr.contains("copy the link again") && !refused.stderr.contains("trust"))
                try #require(memberships(peer) == before)
                // Nor where no node runs, as far as it can be known there.
                try #require(try await peer.program.terminate() == 0)
                let kept = try await peer.command(["join", wrong(link, key: key)])
                try #require(kept.status == (key == 1 ? ExitCode.usage : ExitCode.fine), "\(kept.stderr)")
                peer.settings.relays = [wrong(link, key: key)]
                try await peer.restart()
                _ = try await peer.verified(echo.port)
                try await eventually("what the relay has proven is what is kept", within: .seconds(5)) {
                    memberships(peer) == before
                }
            }
        }

        @Test("a mistyped link at the first join leaves nothing behind, and trust is not suggested")
        func atFirst() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let link = try await link(of: relay)
                let peer = try await newcomer(s)
                // One digit more than one: whichever it is, the link says that it is not what was printed.
                let last = link.last == "7" ? "8" : "7"
                let mistyped = try await peer.command(["join", link.dropLast() + last])
                try #require(
                    mistyped.status == ExitCode.usage && mistyped.stderr.contains("a digit of this join link is wrong"))
                let wrongKey = try await peer.command(["join", wrong(link, key: 1)])
                try #require(wrongKey.status == ExitCode.usage, "\(wrongKey.stderr)")
                try #require(wrongKey.stderr.contains("the join link names the key"))
                try #require(!(wrongKey.stderr + peer.program.stderr).contains("p2prc trust"))
                let wrongMeshKey = try await peer.command(["join", wrong(link, key: 2)])
                try #require(wrongMeshKey.status == ExitCode.refused, "\(wrongMeshKey.stderr)")
                try #require(try await peer.viewRPS().isEmpty)
                try #require(!memberships(peer).contains("Mesh_key"))
                try #require(try await peer.command(["join", link]).status == ExitCode.fine)
                try #require(try await peer.viewRPS().first?.state == "connected")
                // As an older relay prints it.
                try #require(try await peer.command(["join", link.lowercased()]).status == ExitCode.fine)
            }
        }

        @Test("a relay that does not answer is kept and that is said; one given with -s only when it has answered")
        func dead() async throws {
            try await scenario { s in
                let address = "127.0.0.1:\(try FreePorts.one())"
                let peer = try await newcomer(s)
                let joined = try await peer.command(["join", address])
                try #require(joined.status == ExitCode.relayUnreachable, "\(joined.stderr)")
                try #require(joined.stderr.contains("p2prc leave \(address) takes it back"))
                try #require(joined.stderr.contains("nothing listens there"))
                try #require(try await peer.program.terminate() == 0)
                let other = "127.0.0.1:\(try FreePorts.one())"
                let before = memberships(peer)
                let digits = String(repeating: "3f", count: 32)
                peer.settings.relays = ["p2prc://\(other)/\(digits)/\(digits)"]
                try await peer.restart()
                try #require(Set(try await peer.viewRPS().compactMap(\.address)) == [address, other])
                try #require(memberships(peer) == before)
                try #require(try await peer.program.terminate() == 0)
                try #require(memberships(peer) == before)
                try #require(peer.program.find("relay \(other) never let this node in") != nil)
                peer.settings.relays = []
                try await peer.restart()
                try #require(try await peer.viewRPS().compactMap(\.address) == [address])
                try #require(try await peer.command(["leave", address]).status == ExitCode.fine)
                try #require(try await peer.viewRPS().isEmpty)
            }
        }
    }

    /// What `leave` takes along.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct LeavingTests {
        @Test("leave forgets the secrets, by address and by name, with a node and without", arguments: [true, false])
        func forgets(_ isRunning: Bool) async throws {
            try await scenario { s in
                let relays = try await [
                    s.relay("one") { $0.nodeName = "relay1" }, s.relay("two") { $0.nodeName = "relay2" },
                ]
                var settings = NodeSettings("peer")
                settings.meshKey = nil
                let peer = try s.node(settings)
                try await peer.listening()
                for relay in relays {
                    let link = try await relay.command(["mesh-key", "link"]).stdout.trimmingCharacters(in: .newlines)
                    try #require(try await peer.command(["join", link]).status == ExitCode.fine)
                }
                if !isRunning { try #require(try await peer.program.terminate() == 0) }
                func memberships() throws -> String {
                    try String(contentsOfFile: "\(peer.home)/memberships.json", encoding: .utf8)
                }
                let first = try await peer.command(["leave", "relay1"])
                try #require(
                    first.status == ExitCode.fine && first.stdout.contains("its mesh key stays"),
                    "\(first.stdout)\(first.stderr)")
                let address = "127.0.0.1:\(relays[0].settings.serverPort ?? 0)"
                try #require(try memberships().contains("Mesh_key") && !memberships().contains(address))
                let unknown = try await peer.command(["leave", "relay1"])
                try #require(unknown.status == ExitCode.notFound)
                let second = try await peer.command(["leave", "127.0.0.1:\(relays[1].settings.serverPort ?? 0)"])
                try #require(
                    second.status == ExitCode.fine && second.stdout.contains("its mesh key is forgotten"),
                    "\(second.stdout)")
                try #require(try !memberships().contains("Mesh_key"))
                if !isRunning { try await peer.restart() }
                try #require(try await peer.viewRPS().isEmpty)
                let again = try await peer.command(["join", address])
                try #require(
                    again.status == ExitCode.refused && again.stderr.contains("not a member"), "\(again.stderr)")
            }
        }
    }
}
