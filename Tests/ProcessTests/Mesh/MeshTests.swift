import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Nodes that find each other from one address.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct MeshTests {
        private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()

        @Test("from one address, three relays and a peer find each other, measure the relays, and list them")
        func finding() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let others = [try await s.meshRelay("second", of: first), try await s.meshRelay("third", of: first)]
                let peer = try await s.meshPeer("peer", of: first)
                let nodes = [first, peer] + others
                var keys: Set<String> = []
                for node in nodes { keys.insert(try await node.key()) }
                for node in nodes {
                    try await eventually("\(node.settings.name) knows all", within: .seconds(20)) {
                        try await node.knownKeys() == keys
                    }
                    let relays = Set(["first", "second", "third"])
                    try await eventually("\(node.settings.name) lists every relay", within: .seconds(20)) {
                        let rows = try await node.viewRPS()
                        let measured = rows.filter { $0.latency != nil || $0.state == "self" }
                        return Set(measured.compactMap(\.serverName)) == relays && rows.count == 3
                    }
                }
                let candidates = try await peer.candidates()
                try #require(candidates.count == 3 && candidates.allSatisfy(\.isProven), "\(candidates)")
                // Not always the first: the one in use is kept until another is clearly better.
                try #require(candidates.count(where: \.isChosen) == 1, "\(candidates)")
                for row in candidates {
                    // Connection set-up is more than a round trip, and both are loopback's.
                    let latency = try #require(row.latency)
                    let setUp = try #require(row.setUp)
                    try #require(latency > 0 && latency < setUp && setUp < 500, "\(row)")
                }
                let check = try await peer.netcheck()
                try #require(check.reachable == "yes" && check.nodes == 4)
                try #require(check.at == ["127.0.0.1:\(peer.settings.serverPort ?? 0)"])
                try await validate(s, peer)
            }
        }

        @Test("how fast bytes go to the best relay and back is measured while no visitor is there, and listed")
        func bandwidth() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let second = try await s.meshRelay("second", of: first)
                let peer = try await s.meshPeer("peer", of: first)
                let keys: Set = [try await first.key(), try await second.key()]
                try await eventually("one of them is measured", within: .seconds(40), every: .milliseconds(200)) {
                    try await peer.bandwidths().contains { keys.contains($0.key) && $0.down > 0 && $0.up > 0 }
                }
            }
        }

        @Test("a relay that is started with the join link of another is of its mesh, and its members use both")
        func secondRelay() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let link = try await first.command(["mesh-key", "link"])
                let address = "127.0.0.1:\(first.settings.serverPort ?? 0)"
                let parts = link.stdout.trimmingCharacters(in: .whitespacesAndNewlines).split(separator: "/")
                let joinLink = "p2prc://\(address)/" + parts.suffix(2).joined(separator: "/")
                let second = try await s.meshRelay("second") { settings in
                    settings.meshKey = nil
                    settings.relays = [joinLink]
                }
                let service = try await s.service("echo")
                let peer = try await s.meshPeer("peer", of: first) { settings in
                    settings.meshKey = nil
                    settings.relays = [joinLink]
                    settings.mappings = ["\(service.port)"]
                }
                try await eventually("one public port at each relay", within: .seconds(30)) {
                    let rows = try await peer.viewRPM().filter { $0.leads(to: service.port) }
                    return Set(rows.filter { $0.state == "verified" }.compactMap(\.serverName)) == ["first", "second"]
                }
                try #require(try await second.key() != first.key())
            }
        }

        /// What the two new documents say fits their schemas.
        private func validate(_ s: Scenario, _ node: Node) async throws {
            let python =
                "import json,sys,jsonschema; jsonschema.validate(json.load(sys.stdin), json.load(open(sys.argv[1])))"
            for (words, schema) in [(["--view-rps", "--explain"], "explain"), (["netcheck"], "netcheck")] {
                let document = "\(s.folder)/\(schema).json"
                try await node.json(words).write(to: URL(filePath: document))
                let path = Self.root.appending(path: "json/schema/\(schema).schema.json").path
                let result = try await s.shell("python3 -W ignore -c '\(python)' \(path) < \(document)")
                try #require(result.status == 0, "\(schema): \(result.stderr)")
            }
        }

        @Test("what was found is there again after a restart without anybody to ask")
        func kept() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let second = try await s.meshRelay("second", of: first)
                let peer = try await s.meshPeer("peer", of: first)
                let keys: Set = [try await first.key(), try await second.key(), try await peer.key()]
                try await eventually("it knows all", within: .seconds(20)) { try await peer.knownKeys() == keys }
                first.program.kill()
                second.program.kill()
                peer.program.kill()
                try await peer.restart()
                try #require(try await peer.knownKeys() == keys)
                let rows = try await peer.viewRPS()
                try #require(Set(rows.compactMap(\.serverName)).isSuperset(of: ["second"]), "\(rows)")
            }
        }

        @Test("a relay that nobody can reach says so, and is nobody's relay")
        func firewalled() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let second = try await s.meshRelay("second", of: first)
                let walled = try await s.meshRelay("walled", of: first) { settings in
                    settings.config = Scenario.dialsLoopback + "[peers]\ndeny = [\"127.0.0.0/8\"]\n"
                }
                try await walled.program.line(containing: "other nodes cannot reach this node", within: .seconds(30))
                try #require(try await walled.netcheck().reachable == "no")
                let key = try await walled.key()
                for node in [first, second] {
                    try await eventually("\(node.settings.name) knows it", within: .seconds(20)) {
                        try await node.knownKeys().contains(key)
                    }
                    try #require(try await !node.candidates().contains { $0.key == key })
                }
            }
        }

        @Test("a relay whose peers cannot be dialled is proven by them, and chosen by one that was not told of it")
        func vouchedFor() async throws {
            try await scenario { s in
                let walls = Scenario.dialsLoopback + "[peers]\ndeny = [\"127.0.0.0/8\"]\n"
                let relay = try await s.meshRelay("relay")
                let named = try await s.meshPeer("named", of: relay) { $0.config = walls }
                try await eventually("the relay knows that it can be reached", within: .seconds(40)) {
                    try await relay.netcheck().reachable == "yes"
                }
                try #require(try await relay.netcheck().at == ["127.0.0.1:\(relay.settings.serverPort ?? 0)"])
                try #require(try await named.netcheck().reachable != "yes")
                let service = try await s.service("echo")
                var settings = NodeSettings("chooser")
                settings.config = walls
                let chooser = try s.node(settings)
                try await chooser.listening()
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                try #require(try await chooser.command(["--as", address]).status == 0)
                try await eventually("it is proven there", within: .seconds(30)) {
                    try await chooser.candidates().contains { $0.name == "relay" && $0.isProven }
                }
                let asked = try await chooser.command(["--mp", "\(service.port)"])
                try #require(asked.status == ExitCode.fine, "\(asked.stderr)")
            }
        }

        @Test("of two processes with one key the older stops and says why, though they never meet at one relay")
        func copiedHome() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let second = try await s.meshRelay("second", of: first)
                // They hold no session but to the relay that each was told of: only the mesh tells of the other.
                let config = "relays = 0\n" + Scenario.dialsLoopback
                let older = try await s.meshPeer("older", of: first) { $0.config = config }
                let key = try await older.key()
                try await eventually("it is known", within: .seconds(20)) {
                    try await second.knownKeys().contains(key)
                }
                let copy = "\(s.folder)/copy"
                try FileManager.default.createDirectory(
                    atPath: copy, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
                for file in ["node.key", "mesh.key"] {
                    try FileManager.default.copyItem(atPath: "\(older.home)/\(file)", toPath: "\(copy)/\(file)")
                }
                var settings = NodeSettings("newer")
                settings.relays = ["127.0.0.1:\(second.settings.serverPort ?? 0)"]
                settings.config = config
                let newer = try s.node(settings, home: copy)
                try await newer.listening()
                try #require(try await older.program.exit(within: .seconds(60)) == ExitCode.superseded)
                try #require(older.program.stderr.contains("superseded: another process with this node's key"))
                try #require(newer.program.isRunning)
                try #require(try await newer.key() == key)
            }
        }
    }
}
