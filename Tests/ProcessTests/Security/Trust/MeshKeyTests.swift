import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Who knows the mesh key is a member, who does not is none; open relays; a mesh key that is replaced.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct MeshKeyTests {
        private static let otherKey = String(repeating: "a7", count: 32)

        private func connected(_ node: Node, within limit: Duration = .seconds(10)) async throws {
            try await eventually("\(node.settings.name) is connected", within: limit) {
                try await node.viewRPS().contains { $0.state == "connected" }
            }
        }

        private func rotated(_ relay: Node, keep: String) async throws -> String {
            let done = try await relay.command(["mesh-key", "rotate", "--keep", keep])
            try #require(done.status == ExitCode.fine, "\(done.stderr)")
            return try #require(done.stdout.split(whereSeparator: \.isWhitespace).last.map(String.init))
        }

        @Test(
            "with another mesh key, or none, a peer is told what to do, and the relay opens and tells nothing",
            arguments: [otherKey, nil])
        func wrongKey(_ key: String?) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay { $0.nodeName = "a-very-particular-name" }
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"]) { $0.meshKey = key }
                let line = try await peer.program.line(containing: "not a member there")
                try #require(line.contains("p2prc mesh-key link") && line.contains("p2prc join"), "\(line)")
                try #require(!line.contains("particular"))
                let row = try #require(try await peer.viewRPS().first)
                try #require(row.state != "connected" && row.key == nil && row.reason?.contains("not a member") == true)
                try #require(try await relay.viewRPM().isEmpty)
                try #require(relay.program.find("session of") == nil)
                // Its link mends it, while it runs.
                let link = try await relay.command(["mesh-key", "link"]).stdout.trimmingCharacters(in: .newlines)
                try #require(try await peer.command(["join", link]).status == ExitCode.fine)
                try await peer.verified(echo.port)
            }
        }

        @Test("an open relay warns at each start, takes anybody, and its peers are warned too")
        func open() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay {
                    $0.meshKey = nil
                    $0.more = ["--open"]
                }
                for _ in 0..<2 {
                    try await relay.program.line(containing: "this relay is OPEN")
                    try #require(try await relay.program.terminate() == 0)
                    try await relay.restart()
                }
                try await relay.program.line(containing: "this relay is OPEN")
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"]) { $0.meshKey = nil }
                try await peer.verified(echo.port)
                try await peer.program.line(containing: "is open: anybody may use it")
                let link = try await relay.command(["mesh-key", "link"]).stdout.trimmingCharacters(in: .newlines)
                try #require(link.split(separator: "/").count == 3, "no mesh key in an open relay's link: \(link)")
            }
        }

        @Test("a member joins an open relay that does not know its mesh key only where that is meant")
        func acceptOpen() async throws {
            try await scenario { s in
                let relay = try await s.relay {
                    $0.meshKey = Self.otherKey
                    $0.more = ["--open"]
                }
                let peer = try await s.peer(of: relay) { $0.mapsServerPort = true }
                let line = try await peer.program.line(containing: "does not know this node's mesh key")
                try #require(line.contains("--accept-open"))
                try #require(try await relay.viewRPM().isEmpty)
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                try #require(try await peer.command(["join", address, "--accept-open"]).status == ExitCode.fine)
                try await connected(peer)
                // Once said it is kept.
                try #require(try await peer.program.terminate() == 0)
                try await peer.restart()
                try await connected(peer)
            }
        }

        @Test("a new mesh key is told to the members that are there, and the former one lets others in for a while")
        func rotation() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                let caller = try await s.caller(at: row.port)
                let absent = try await s.peer("absent", of: relay) { $0.mapsServerPort = true }
                try await connected(absent)
                try #require(try await absent.program.terminate() == 0)

                let link = try await rotated(relay, keep: "1h")
                let newKey = link.suffix(64).lowercased()
                try #require(newKey != peer.settings.meshKey)
                try await peer.program.line(containing: "the mesh has a new key")
                try await eventually("the peer keeps it", within: .seconds(5)) {
                    try String(contentsOfFile: peer.home + "/memberships.json", encoding: .utf8).contains(newKey)
                }
                try await caller.echoes(5)

                // With the former key, which still counts, and told the new one as soon as it is in.
                try await absent.restart()
                try await connected(absent)
                try await absent.program.line(containing: "the mesh has a new key")
                // Nothing but the new key from now on; who was told is in.
                let text = try String(contentsOfFile: relay.home + "/mesh.key", encoding: .utf8)
                try #require(text.split(separator: "\n").count == 2)
                try #require(try await relay.program.terminate() == 0)
                try Data("\(newKey)\n".utf8).write(to: URL(filePath: relay.home + "/mesh.key"))
                try await relay.restart()
                try await connected(absent)
                try await peer.verified(echo.port)
            }
        }

        @Test("a former mesh key ends in time while the relay runs")
        func end() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                _ = try await rotated(relay, keep: "2s")
                try await eventually("somebody with the former key is no member", within: .seconds(15)) {
                    let late = try await s.peer("late", of: relay) { $0.mapsServerPort = true }
                    defer { late.program.kill() }
                    return try await eventually("an answer", within: .seconds(8)) {
                        if late.program.find("not a member there") != nil { return true }
                        return late.program.find("session to relay") == nil ? nil : false
                    }
                }
            }
        }

        @Test("after a leak all that came with the former mesh key end at once, and what their visitors had open")
        func leak() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                let caller = try await s.caller(at: row.port)
                let link = try await rotated(relay, keep: "0s")
                try await caller.brokenOff(within: .seconds(2))
                try await peer.program.line(containing: "not a member there", within: .seconds(5))
                try #require(peer.program.find("new key") == nil, "nobody is told")
                try await s.expectRefused("127.0.0.1", row.port)
                try #require(try await peer.command(["join", link]).status == ExitCode.fine)
                try #require(try await peer.verified(echo.port).port == row.port, "its port was still its own")
            }
        }
    }
}
