import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// `node-key rotate` at either end.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct NodeKeyTests {
        private func key(of node: Node) async throws -> String {
            let status = try await node.command(["status", "--json"])
            let document = try JSONSerialization.jsonObject(with: Data(status.stdout.utf8)) as? [String: Any]
            return try #require(document?["Key"] as? String)
        }

        private func rotate(_ node: Node, _ more: [String] = []) async throws -> String {
            let result = try await node.command(["node-key", "rotate", "--json"] + more)
            try #require(result.status == ExitCode.fine, "\(result.stderr)")
            let document = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any]
            return try #require(document?["Key"] as? String)
        }

        @Test("a peer that rotates its key keeps its port, also after a restart, and the former key is refused")
        func peerRotates() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "hello\n"])
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(http.port)"])
                let row = try await peer.verified(http.port)
                let former = try await key(of: peer)
                let copy = "\(s.folder)/copy"
                try FileManager.default.copyItem(atPath: "\(peer.home)/node.key", toPath: "\(s.folder)/former.key")

                let new = try await rotate(peer)
                try #require(new != former)
                try #require(try await key(of: peer) == new)
                let moved = try await eventually("the mapping is verified under the new key", within: .seconds(10)) {
                    try await peer.viewRPM().first { $0.state == "verified" && $0.peerKey == new }
                }
                try #require(moved.port == row.port)
                try #require(try await s.curl("http://127.0.0.1:\(row.port)/") == "hello\n")
                try #require(try await relay.viewRPM().map(\.peerKey) == [new])

                // Both ends start anew: the relay has it on its disk.
                _ = try await relay.program.terminate()
                try await relay.restart()
                try #require(try await peer.verified(http.port).port == row.port)
                try #require(try await s.curl("http://127.0.0.1:\(row.port)/") == "hello\n")

                // Whoever still has the former key.
                try FileManager.default.createDirectory(
                    atPath: copy, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
                try FileManager.default.moveItem(atPath: "\(s.folder)/former.key", toPath: "\(copy)/node.key")
                var settings = NodeSettings("thief")
                settings.relays = ["127.0.0.1:\(relay.settings.serverPort ?? 0)"]
                let thief = try s.node(settings, home: copy)
                try #require(try await thief.program.exit(within: .seconds(10)) == ExitCode.superseded)
                try #require(try await s.curl("http://127.0.0.1:\(row.port)/") == "hello\n")
            }
        }

        @Test("a peer that rotates without a running node keeps its port too")
        func peerRotatesOffline() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "hello\n"])
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(http.port)"])
                let row = try await peer.verified(http.port)
                _ = try await peer.program.terminate()
                let new = try await rotate(peer)
                try await peer.restart()
                let moved = try await peer.verified(http.port)
                try #require(moved.port == row.port && moved.peerKey == new)
            }
        }

        @Test("members follow a relay that rotates its key: one that is connected, and one that was away")
        func relayRotates() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "hello\n"])
                let relay = try await s.relay()
                let present = try await s.peer("present", of: relay, mappings: ["\(http.port)"])
                let absent = try await s.peer("absent", of: relay, mappings: ["\(http.port)"])
                let (first, second) = (try await present.verified(http.port), try await absent.verified(http.port))
                _ = try await absent.program.terminate()

                let new = try await rotate(relay)
                let link = try await relay.command(["mesh-key", "link"]).stdout
                // Links spell their own check in the case of their digits.
                try #require(link.lowercased().contains("/\(new)/"))
                try await eventually("the connected member knows the new key", within: .seconds(10)) {
                    try await present.viewRPS().contains { $0.key == new && $0.state == "connected" }
                }
                try #require(try await present.verified(http.port).port == first.port)
                try #require(try await s.curl("http://127.0.0.1:\(first.port)/") == "hello\n")
                try await present.program.line(containing: "was replaced by")

                try await absent.restart()
                try #require(try await absent.verified(http.port).port == second.port)
                try #require(try await absent.viewRPS().map(\.key) == [new])
                // Pinned for good: with the statement gone it still knows the relay.
                _ = try await relay.program.terminate()
                try await relay.restart()
                try #require(try await absent.verified(http.port).port == second.port)
            }
        }

        @Test("a token goes on for a peer that rotates its key, and at a relay that does")
        func tokens() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "hello\n"])
                let relay = try await s.relay()
                let issued = try await relay.command(["token", "issue", "--name", "box", "--expires", "1d"])
                let token = "\(s.folder)/box.token"
                try #require(
                    FileManager.default.createFile(
                        atPath: token, contents: Data(issued.stdout.utf8), attributes: [.posixPermissions: 0o600]))
                var settings = NodeSettings("box")
                settings.meshKey = nil
                settings.mappings = ["\(http.port)"]
                settings.more = ["--no-server-port"]
                let peer = try s.node(settings)
                try await peer.listening()
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                let joined = try await peer.command(["join", address, "--token-file", token])
                try #require(joined.status == ExitCode.fine, "\(joined.stderr)")
                let row = try await peer.verified(http.port)
                for node in [peer, relay] {
                    let new = try await rotate(node)
                    try await eventually("\(node.settings.name) is known by its new key", within: .seconds(10)) {
                        let peers = try await relay.viewRPM().filter { $0.state == "verified" }.map(\.peerKey)
                        let relays = try await peer.viewRPS().filter { $0.state == "connected" }.map(\.key)
                        return node === peer ? peers == [new] : relays == [new] && peers.count == 1
                    }
                    try #require(try await peer.verified(http.port).port == row.port)
                }
                // The token itself is judged anew.
                _ = try await peer.program.terminate()
                try await peer.restart()
                try #require(try await peer.verified(http.port).port == row.port)
                try #require(try await s.curl("http://127.0.0.1:\(row.port)/") == "hello\n")
            }
        }

        @Test("a member that was away for too long refuses the new key, until it is told to trust it")
        func tooLate() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "hello\n"])
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(http.port)"])
                let row = try await peer.verified(http.port)
                _ = try await peer.program.terminate()
                let new = try await rotate(relay, ["--keep", "0s"])
                try await peer.restart()
                try await peer.program.line(containing: "its key changed", within: .seconds(10))
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                try #require(try await peer.command(["trust", address, "--key", new]).status == ExitCode.fine)
                try #require(try await peer.verified(http.port).port == row.port)
            }
        }
    }
}
