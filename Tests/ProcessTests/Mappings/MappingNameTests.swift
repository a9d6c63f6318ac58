import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What mappings are called, whom they let in, and what a relay's owner takes back.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct MappingNameTests {
        private func rows(_ node: Node) async throws -> [[String: Any]] {
            let answer = try await node.command(["--view-rpm", "--json"])
            let document = try JSONSerialization.jsonObject(with: Data(answer.stdout.utf8)) as? [String: Any]
            return try #require(document?["reverse_proxy_mappings"] as? [[String: Any]])
        }

        private func answer(_ s: Scenario, _ port: Int, from address: String) async throws -> Int {
            let words = ["-sS", "--max-time", "5", "--interface", address, "http://127.0.0.1:\(port)/"]
            return try await s.run("curl", "curl", words, within: .seconds(10)).status
        }

        /// Visitors so far and their bytes, of each mapping.
        private func traffic(_ node: Node) async throws -> [[Int?]] {
            let status = try await node.command(["status", "--json"]).stdout
            let document = try JSONSerialization.jsonObject(with: Data(status.utf8)) as? [String: Any]
            let rows = try #require(document?["Mapping_traffic"] as? [[String: Any]])
            return rows.map { [$0["Connections"] as? Int, $0["Bytes_from_visitors"] as? Int] }
        }

        @Test("a mapping is listed and taken back by its name, and no other service takes it")
        func named() async throws {
            try await scenario { s in
                let (echo, other) = (try await s.service("echo"), try await s.service("echo"))
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                try #require(try await peer.command(["--mp", "\(echo.port)", "--name", "web"]).status == 0)
                try #require(try await rows(peer).map { $0["Name"] as? String } == ["web"])
                try #require(try await peer.command(["--view-rpm"]).stdout.contains("\nweb "))

                // The node's own checks are nobody's traffic.
                try await eventually("the relay has counted nobody", within: .seconds(5)) {
                    try await traffic(relay) == [[0, 0]]
                }

                // The same service once more is the same mapping; another one needs another name.
                try #require(try await peer.command(["--mp", "\(echo.port)"]).status == 0)
                try #require(try await rows(peer).count == 1)
                let taken = try await peer.command(["--mp", "\(other.port)", "--name", "web"])
                try #require(taken.status == ExitCode.usage && taken.stderr.contains("127.0.0.1:\(echo.port) already"))
                for text in ["80", "a b", "1web"] {
                    try #require(try await peer.command(["--mp", "1", "--name", text]).status == ExitCode.usage)
                }

                peer.program.kill()
                try await peer.restart()
                _ = try await peer.verified(echo.port)
                try #require(try await rows(peer).map { $0["Name"] as? String } == ["web"])
                try #require(try await peer.command(["unmap", "web"]).status == 0)
                try #require(try await rows(peer).isEmpty)
            }
        }

        @Test("a filter holds for every port of a service, also for one that is opened later, and listings show it")
        func filters() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "hello\n"])
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(http.port)"])
                let first = try await peer.verified(http.port)
                try #require(try await peer.command(["--mp", "\(http.port):1", "--any"]).status == 0)
                let second = try #require(try await peer.viewRPM().first { $0.port != first.port })
                let set = try await peer.command(["--mp", "\(http.port)", "--deny", "127.0.0.66"])
                // The ports are named that it holds for.
                let words = "visitors not 127.0.0.66 at "
                try #require(set.stdout.contains(words), "printed: \(set.stdout)\(set.stderr)")
                for port in [first.port, second.port] { try #require(set.stdout.contains(":\(port)")) }
                try #require(try await peer.command(["--mp", "\(http.port):2", "--any"]).status == 0)
                let listed = try await rows(peer)
                try #require(listed.count == 3)
                for row in listed {
                    try #require(row["Deny"] as? [String] == ["127.0.0.66"])
                    let port = try #require(row["blind_port"] as? Int)
                    try #require(try await answer(s, port, from: "127.0.0.66") != 0)
                    try #require(try await answer(s, port, from: "127.0.0.2") == 0)
                }
                try #require(try await rows(relay).allSatisfy { $0["Deny"] as? [String] == ["127.0.0.66"] })
                try #require(try await peer.command(["--view-rpm"]).stdout.contains("not 127.0.0.66"))

                // Open again, for all but one and then for all.
                let open = try await peer.command(["--mp", "\(http.port)", "--allow", "any", "--deny", "127.0.0.67"])
                try #require(open.status == 0 && open.stdout.contains("visitors not 127.0.0.67 at "), "\(open.stdout)")
                let all = try await peer.command(["--mp", "\(http.port)", "--allow", "any"])
                try #require(all.status == 0 && all.stdout.contains("visitors from everywhere at "), "\(all.stdout)")
                try #require(try await answer(s, first.port, from: "127.0.0.66") == 0)
                try #require(try await rows(peer).allSatisfy { $0["Deny"] == nil && $0["Allow"] == nil })
                let both = try await peer.command(["--mp", "\(http.port)", "--allow", "any", "--allow", "127.0.0.2"])
                try #require(both.status == ExitCode.usage && both.stderr.contains("leave the other networks out"))

                let ambiguous = try await peer.command(["unmap", "\(http.port)"])
                try #require(ambiguous.status == ExitCode.notFound && ambiguous.stderr.contains(":\(second.port)"))
                try #require(try await peer.command(["unmap", "127.0.0.1:\(second.port)"]).status == 0)
            }
        }

        @Test("a relay's owner takes a port back and sends a node away; both stay away, and a restart finds no lease")
        func released() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"]) { $0.nodeName = "home" }
                let row = try await peer.verified(echo.port)
                let hint = try await relay.command(["unmap", "\(row.port)"])
                try #require(hint.status == ExitCode.notFound && hint.stderr.contains("p2prc release \(row.port)"))
                try #require(try await relay.command(["release", "1"]).status == ExitCode.notFound)
                try #require(try await relay.command(["release", "nobody"]).status == ExitCode.notFound)
                try #require(try await peer.command(["release", "\(row.port)"]).status == ExitCode.notFound)

                let released = try await relay.command(["release", "\(row.port)"])
                try #require(released.status == 0 && released.stdout.contains("home"))
                try await s.expectRefused("127.0.0.1", row.port)
                let refused = try await peer.mapping(echo.port, in: "refused")
                try #require(refused.reason?.contains("owner took this port back") == true)

                let away = try await relay.command(["release", "home", "--json"])
                try #require(away.status == 0 && away.stdout.contains("Released"))
                try await eventually("the peer is told", within: .seconds(10)) {
                    peer.program.stderr.contains("the relay's owner sent this node away")
                }
                // It comes back ever more rarely, and is told of once.
                try await throughout(.seconds(4), "one line for all of its attempts") {
                    relay.program.stderr.split(separator: "\n").count { $0.contains("is not let in") } <= 1
                }
                try #require(
                    relay.program.find("home (") != nil && relay.program.find("is not let in: it was revoked") != nil)
                relay.program.kill()
                try await relay.restart()
                try #require(
                    try await rows(relay).allSatisfy {
                        $0["blind_port"] as? Int != row.port || $0["State"] as? String != "offline"
                    })
            }
        }

        @Test("what is to be exposed without a relay is listed as waiting, warned of at the start, and taken back")
        func waiting() async throws {
            try await scenario { s in
                var settings = NodeSettings("alone")
                settings.mappings = ["\(try FreePorts.range(1).lowerBound)"]
                let node = try s.node(settings)
                try await node.listening()
                try await node.program.line(containing: "no relay")
                try #require(try await rows(node).map { $0["State"] as? String } == ["waiting"])
                try #require(try await node.command(["--view-rpm"]).stdout.contains("waiting"))
            }
        }
    }
}
