import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Clocks that are wrong (libfaketime): they stop nobody who knows the mesh key, and are named when a token fails.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct ClockTests {
        private static let in1970 = "@1970-01-01 00:01:00"
        private static let nextYear = "+400d"
        private static let right = WrongClock.right
        private static let clocks: [(relay: String, peer: String)] = [
            (in1970, right), (nextYear, right), (right, in1970), (right, nextYear), (in1970, nextYear),
        ]
        private static let failures: [(clock: String, what: String, named: String)] = [
            (in1970, "does not count yet", "1970-01-01"), (nextYear, "the token is over", "this relay's clock says 20"),
        ]

        @Test(
            "a clock that says 1970 or next year, at either end, stops nobody from joining by mesh key",
            arguments: clocks)
        func joining(_ relayTime: String, _ peerTime: String) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let (relayClock, peerClock) = (try WrongClock.wrapper(relayTime), try WrongClock.wrapper(peerTime))
                let relay = try await s.relay { $0.wrapper = relayClock }
                let link = try await relay.command(["mesh-key", "link"]).stdout.trimmingCharacters(in: .newlines)
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"]) {
                    $0.wrapper = peerClock
                    $0.meshKey = nil
                    $0.relays = [link]
                }
                defer { WrongClock.cleanUp(relay, peer) }
                let row = try await peer.verified(echo.port)
                try await s.expectEcho("127.0.0.1", row.port)
                // The fake clock was really on: whoever ran under it wrote such times down.
                for (node, time) in [(relay, relayTime), (peer, peerTime)] {
                    let newest = try await s.run(
                        "sqlite3", "sqlite3",
                        ["\(node.home)/ip_table.sqlite", Self.newestTime(isRelay: node === relay)])
                    let seconds = try #require(Int(newest.stdout.trimmingCharacters(in: .newlines)))
                    let now = Int(Date().timeIntervalSince1970)
                    switch time {
                    case Self.in1970: try #require(seconds < 10 * 86_400, "\(seconds)")
                    case Self.nextYear: try #require(seconds > now + 300 * 86_400, "\(seconds)")
                    default: try #require(abs(seconds - now) < 10 * 86_400, "\(seconds)")
                    }
                }
            }
        }

        private static func newestTime(isRelay: Bool) -> String {
            isRelay ? "select max(expires) from lease" : "select max(first_seen) / 1000 from node"
        }

        @Test("a clock two days ahead for a moment takes no lease from an absent peer, and is told in one line")
        func jump() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let clock = "\(s.folder)/clock"
                func set(_ time: String) throws { try Data("\(time)\n".utf8).write(to: URL(filePath: clock)) }
                try set("+0")
                let wrapper = try WrongClock.wrapper(file: clock)
                let relay = try await s.relay { $0.wrapper = wrapper }
                defer { WrongClock.cleanUp(relay) }
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                try #require(try await peer.program.terminate() == 0)
                try await eventually("the relay knows that it is away", within: .seconds(5)) {
                    try await relay.viewRPM().contains { $0.port == row.port && $0.state != "verified" }
                }
                try set("+2d")
                try await relay.program.line(containing: "jumped 2 days ahead", within: .seconds(5))
                try await pass(.seconds(1.5), because: "leases end at a tick")
                try set("+0")
                try await pass(.seconds(1.5), because: "leases end at a tick")
                try #require(try await relay.viewRPM().contains { $0.port == row.port })
                let lines = relay.program.stderr.split(separator: "\n").filter { $0.contains("clock") }
                try #require(lines.count == 1, "\(lines)")
                try await peer.restart()
                try #require(try await peer.verified(echo.port).port == row.port)
            }
        }

        @Test("a relay that starts with a clock two days ahead keeps the leases of its peers, and says so")
        func start() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                try #require(try await peer.program.terminate() == 0)
                try #require(try await relay.program.terminate() == 0)
                relay.settings.wrapper = try WrongClock.wrapper("+2d")
                try await relay.restart()
                defer { WrongClock.cleanUp(relay) }
                try await relay.program.line(containing: "1 lease has run out by this machine's clock")
                try await pass(.seconds(1), because: "leases end at a tick")
                try #require(try await relay.viewRPM().contains { $0.port == row.port })
                try await peer.restart()
                try #require(try await peer.verified(echo.port).port == row.port)
            }
        }

        @Test(
            "where a token fails because of the relay's clock, the clock is named",
            arguments: failures)
        func token(_ time: String, _ what: String, _ named: String) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let issued = try await relay.command(["token", "issue", "--name", "box", "--expires", "30d"])
                let file = "\(s.folder)/token"
                _ = FileManager.default.createFile(
                    atPath: file, contents: Data(issued.stdout.utf8), attributes: [.posixPermissions: 0o600])
                try #require(try await relay.program.terminate() == 0)
                relay.settings.wrapper = try WrongClock.wrapper(time)
                try await relay.restart()
                defer { WrongClock.cleanUp(relay) }
                var settings = NodeSettings("outsider")
                settings.meshKey = nil
                settings.mappings = ["\(echo.port)"]
                let outsider = try s.node(settings)
                try await outsider.listening()
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                let joined = try await outsider.command(["join", address, "--token-file", file])
                try #require(
                    joined.status == ExitCode.refused && joined.stderr.contains("it is kept"), "\(joined.stderr)")
                let line = try await outsider.program.line(containing: what)
                try #require(line.contains(named) && line.contains("this relay's clock says"), "\(line)")
                // The clock put right, the same token lets it in.
                try #require(try await relay.program.terminate() == 0)
                WrongClock.cleanUp(relay)
                relay.settings.wrapper = []
                try await relay.restart()
                try await outsider.verified(echo.port)
            }
        }
    }
}
