import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Relays that a peer chooses itself, beside those that it was told to use.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct ChosenRelayTests {
        private func connected(_ peer: Node) async throws -> [String] {
            try await peer.viewRPS().filter { $0.state == "connected" }.compactMap(\.serverName).sorted()
        }

        @Test("one relay under two addresses is used once, and what is missing is chosen")
        func twins() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let second = try await s.meshRelay("second", of: first)
                let peer = try await s.meshPeer("peer", of: first) {
                    $0.relays = ["localhost:\(first.settings.serverPort ?? 0)"]
                }
                try await eventually("both are used", within: .seconds(20)) {
                    try await connected(peer) == ["first", "second"]
                }
                try await throughout(.seconds(4), "each has one session") {
                    guard try await connected(peer) == ["first", "second"] else { return false }
                    return [first, second].allSatisfy { node in
                        node.program.stderr.split(separator: "\n").count { $0.contains("session of peer") } == 1
                    }
                }
            }
        }

        @Test("what the user left is not chosen again, until he joins it")
        func left() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let second = try await s.meshRelay("second", of: first)
                let service = try await s.service("echo")
                let peer = try await s.meshPeer("peer", of: first) { $0.mappings = ["\(service.port)"] }
                try await eventually("both are used", within: .seconds(20)) {
                    try await connected(peer) == ["first", "second"]
                }
                let address = "127.0.0.1:\(first.settings.serverPort ?? 0)"
                try #require(try await peer.command(["leave", address]).status == 0)
                try await throughout(.seconds(4), "the other one alone is used") {
                    try await connected(peer) == ["second"]
                }
                let other = "127.0.0.1:\(second.settings.serverPort ?? 0)"
                try #require(try await peer.viewRPM().filter { $0.leads(to: service.port) }.map(\.relay) == [other])
                try #require(try await peer.command(["--connect-reverse-proxy", address]).status == 0)
                try await eventually("both are used again", within: .seconds(10)) {
                    try await connected(peer) == ["first", "second"]
                }
                // Without a node: the one that nobody named is not unknown, but there is nothing to leave.
                try #require(try await peer.program.terminate() == 0)
                for name in ["second", other] {
                    let left = try await peer.command(["leave", name])
                    try #require(
                        left.status == ExitCode.notFound && left.stderr.contains("found it by itself"), "\(left.stderr)"
                    )
                }
                try #require(try await peer.command(["leave", "first"]).status == 0)
            }
        }

        @Test("a mapping that is asked for before a relay is chosen waits for that, and is made")
        func early() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                _ = try await s.meshRelay("second", of: first)
                let service = try await s.service("echo")
                let peer = try await lonely(s)
                let seed = "127.0.0.1:\(first.settings.serverPort ?? 0)"
                try #require(try await peer.command(["--as", seed]).status == 0)
                let asked = try await peer.command(["--mp", "\(service.port)"])
                try #require(asked.status == ExitCode.fine, "\(asked.status): \(asked.stderr)")
                try #require(try await peer.viewRPM().contains { $0.leads(to: service.port) && $0.state == "verified" })
            }
        }

        @Test("without anybody to ask, and without a relay that can be used, a mapping says which, and what is next")
        func lack() async throws {
            try await scenario { s in
                let service = try await s.service("echo")
                let peer = try await lonely(s)
                func ask() async throws -> Finished { try await peer.command(["--mp", "\(service.port)"]) }
                let alone = try await ask()
                #expect(alone.status == ExitCode.relayUnreachable)
                let words = ["knows no other node", "p2prc --as HOST"]
                #expect(words.allSatisfy { alone.stderr.contains($0) }, "\(alone.stderr)")
                // Nobody is there.
                let nobody = try FreePorts.one()
                try #require(try await peer.command(["--as", "127.0.0.1:\(nobody)"]).status == 0)
                let unheard = try await ask()
                #expect(unheard.status == ExitCode.relayUnreachable)
                let others = ["has not chosen a reverse proxy yet, it has heard of none", "it is kept (p2prc unmap"]
                #expect(others.allSatisfy { unheard.stderr.contains($0) }, "\(unheard.stderr)")
                #expect(unheard.stderr.split(separator: "\n").count == 1)
                // It is, for it is made as soon as there is one.
                let relay = try await s.meshRelay("relay")
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                try #require(try await peer.command(["--connect-reverse-proxy", address]).status == 0)
                try await peer.verified(service.port)
            }
        }

        /// A member that was told of no other node.
        private func lonely(_ s: Scenario) async throws -> Node {
            var settings = NodeSettings("lonely")
            settings.config = Scenario.dialsLoopback
            let node = try s.node(settings)
            try await node.listening()
            return node
        }

        @Test("with relays = 0 only what is named is used")
        func namedOnly() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                _ = try await s.meshRelay("second", of: first)
                let peer = try await s.meshPeer("peer", of: first) {
                    $0.config = "relays = 0\n" + Scenario.dialsLoopback
                }
                try await eventually("it knows both", within: .seconds(20)) {
                    try await peer.candidates().count { $0.isProven && $0.answers >= 3 } == 2
                }
                try await throughout(.seconds(5), "the named one alone is used") {
                    try await connected(peer) == ["first"]
                }
                let asked = try await peer.command(["--connect-reverse-proxy", "auto"])
                #expect(asked.status == ExitCode.usage && asked.stderr.contains("relays = 0"), "\(asked.stderr)")
            }
        }
    }
}
