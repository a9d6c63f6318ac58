import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// The secrets in a home: private to their owner, and never replaced by a guess.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct HomeSecretsTests {
        private static let files = ["node.key", "mesh.key", "memberships.json"]

        /// A node that is relay and peer, so that it has all of them, stopped again.
        private func node(_ s: Scenario) async throws -> Node {
            let relay = try await s.relay()
            let node = try await s.relay("both") { $0.relays = ["127.0.0.1:\(relay.settings.serverPort ?? 0)"] }
            try await eventually("it is connected", within: .seconds(10)) {
                try await node.viewRPS().contains { $0.state == "connected" }
            }
            try await eventually("it knows its relay", within: .seconds(5)) {
                FileManager.default.fileExists(atPath: node.home + "/memberships.json")
            }
            try #require(try await node.program.terminate() == 0)
            return node
        }

        private func mode(_ path: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        }

        @Test("nobody but its owner may read a home's secrets and use its sockets")
        func modes() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                try #require(try await relay.command(["token", "issue", "--name", "a", "--expires", "1h"]).status == 0)
                let peer = try await s.peer(of: relay)
                try await eventually("it knows its relay", within: .seconds(10)) {
                    FileManager.default.fileExists(atPath: peer.home + "/memberships.json")
                }
                for path in ["node.key", "mesh.key", "token.key", "control.sock", "api.sock"].map({
                    "\(relay.home)/\($0)"
                })
                    + ["\(peer.home)/node.key", "\(peer.home)/memberships.json"]
                {
                    try #require(try mode(path) == 0o600, "\(path)")
                }
                var settings = NodeSettings("fresh")
                settings.meshKey = nil
                let fresh = try s.node(settings)
                try await fresh.listening()
                try #require(try mode(fresh.home) == 0o700)
            }
        }

        @Test("neither a key log nor a hook gets a secret")
        func environment() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "hello\n"])
                let relay = try await s.relay()
                let link = try await relay.command(["mesh-key", "link"]).stdout
                let (log, seen) = ("\(s.folder)/keys.log", "\(s.folder)/seen")
                var settings = NodeSettings("peer")
                settings.meshKey = nil
                settings.mappings = ["\(http.port)"]
                settings.config = "hook = 'env > \(seen).new; mv \(seen).new \(seen)'\n" + Scenario.dialsLoopback
                settings.environment = [
                    "SSLKEYLOGFILE": log, "P2PRC_JOIN_LINK": link.trimmingCharacters(in: .newlines), "P2PRC_OTHER": "x",
                ]
                let peer = try s.node(settings)
                _ = try await peer.verified(http.port)
                let shown = try await eventually("the hook ran", within: .seconds(5)) {
                    (try? String(contentsOfFile: seen, encoding: .utf8)).flatMap {
                        $0.contains("P2PRC_ADDRESSES=127.0.0.1:") ? $0 : nil
                    }
                }
                #expect(!shown.contains("p2prc://") && !shown.contains("P2PRC_OTHER"))
                // Whatever is known of others came over the mesh's connections.
                try await eventually("it has asked another node", within: .seconds(20)) {
                    try await peer.knownKeys().count > 1
                }
                #expect(!FileManager.default.fileExists(atPath: log))
            }
        }

        @Test(
            "a secret that others may read is refused with the fix, and left as it is", arguments: files,
            [0o640, 0o604, 0o660])
        func exposed(_ file: String, _ mode: Int) async throws {
            try await scenario { s in
                let node = try await node(s)
                let path = "\(node.home)/\(file)"
                let before = try Data(contentsOf: URL(filePath: path))
                try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
                try await node.restart(waitingUntilListening: false)
                try #require(try await node.program.exit() == ExitCode.homeUnusable)
                try expectOneLine(node, naming: "chmod 600 '\(path)'")
                try #require(try Data(contentsOf: URL(filePath: path)) == before)
                try #require(try self.mode(path) == mode)
                // The fix, to the letter.
                let fix = try #require(
                    node.program.stderr.firstRange(of: #/chmod 600 '[^']+'/#).map { node.program.stderr[$0] })
                try #require(try await s.shell(String(fix)).status == 0)
                try await node.restart()
            }
        }

        @Test("a damaged secret is refused and left as it is", arguments: files)
        func damaged(_ file: String) async throws {
            try await scenario { s in
                let node = try await node(s)
                let path = "\(node.home)/\(file)"
                let whole = try Data(contentsOf: URL(filePath: path))
                for damage in [
                    Data(), whole.dropLast(whole.count / 2), Data("something else\n".utf8), Data([0, 255, 0, 13]),
                ] {
                    try damage.write(to: URL(filePath: path))
                    try await node.restart(waitingUntilListening: false)
                    try #require(try await node.program.exit() == ExitCode.damagedData, "\(damage.count) bytes")
                    try expectOneLine(node, naming: path)
                    try #require(try Data(contentsOf: URL(filePath: path)) == damage)
                    let names = try FileManager.default.contentsOfDirectory(atPath: node.home)
                    try #require(!names.contains { $0.hasPrefix("\(file).") }, "nothing is put aside: \(names)")
                }
                try whole.write(to: URL(filePath: path))
                try await node.restart()
            }
        }

        private func expectOneLine(_ node: Node, naming what: String) throws {
            let text = node.program.stderr
            try #require(text.contains(what), "\(text)")
            try #require(text.split(separator: "\n").count == 1, "one clear line: \(text)")
        }
    }
}
