import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Two nodes with one key and two relays, without a mesh that could tell.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct TwoCopiesTests {
        private struct World {
            let s: Scenario
            let echo: Service
            let relays: [Node]

            init(_ s: Scenario) async throws {
                self.s = s
                echo = try await s.service("echo")
                relays = [try await s.relay("first"), try await s.relay("second")]
            }

            func address(_ relay: Int) -> String { "127.0.0.1:\(relays[relay].settings.serverPort ?? 0)" }

            func settings(_ name: String, _ relay: Int) -> NodeSettings {
                var settings = NodeSettings(name)
                settings.relays = [address(relay)]
                settings.mappings = ["\(echo.port)"]
                // None is chosen that was not named.
                settings.config = "relays = 0\n"
                return settings
            }

            /// A copy of a home, as it is now, that has not heard of any relay.
            func copy(of node: Node, as name: String) async throws -> String {
                let copy = "\(s.folder)/\(name)"
                // It runs, and writes its listings anew: what goes while it is copied is copied again.
                let made = try await s.shell(
                    """
                    for try in 1 2 3 4 5 6 7 8 9; do rm -rf \(copy); cp -a \(node.home) \(copy) && break; done &&
                        rm -f \(copy)/*.sock \(copy)/reverse_proxy_*.json &&
                        sqlite3 \(copy)/ip_table.sqlite 'delete from joined_relay'
                    """)
                try #require(made.status == 0, "\(made.stderr)")
                return copy
            }

            func expectStopped(_ node: Node) async throws {
                try #require(try await node.program.exit(within: .seconds(10)) == ExitCode.superseded)
                let said = try #require(node.program.stderr.split(separator: "\n").first { $0.contains("superseded") })
                try #require(said.contains("stop the other one"), "\(said)")
            }
        }

        /// The later one's clock.
        @Test(
            "whichever relay they meet at, and whenever, the copy that began later goes on and the older one says why",
            arguments: [WrongClock.right, "-1d", "+1d"])
        func met(_ time: String) async throws {
            try await scenario { s in
                let world = try await World(s)
                let older = try s.node(world.settings("older", 0))
                try await older.verified(world.echo.port)
                var settings = world.settings("later", 1)
                settings.wrapper = try WrongClock.wrapper(time)
                let later = try s.node(settings, home: try await world.copy(of: older, as: "copy"))
                defer { WrongClock.cleanUp(later) }
                let row = try await later.verified(world.echo.port)
                try #require(older.program.isRunning, "they have not met yet")
                // The older one comes to the later one's relay, where its proof is the newest.
                _ = try await older.command(["--connect-reverse-proxy", world.address(1)])
                try await world.expectStopped(older)
                try await throughout(.seconds(2), "the later one serves on") {
                    try await s.expectEcho("127.0.0.1", row.port)
                    return later.program.isRunning
                }
                // And the other way around: the later one comes to the relay of one that began before it.
                let next = try s.node(world.settings("next", 0), home: try await world.copy(of: later, as: "next"))
                try await next.verified(world.echo.port)
                _ = try await next.command(["--connect-reverse-proxy", world.address(1)])
                try await world.expectStopped(later)
                try await throughout(.seconds(2), "the last one serves on") { next.program.isRunning }
            }
        }

        @Test("a home whose process is killed, and whose clock is set back a day then, comes back at once")
        func setBack() async throws {
            try await scenario { s in
                let world = try await World(s)
                let peer = try s.node(world.settings("peer", 0))
                let row = try await peer.verified(world.echo.port)
                for time in ["-1d", "-2d"] {
                    peer.program.kill()
                    peer.settings.wrapper = try WrongClock.wrapper(time)
                    try await peer.restart()
                    let took = try await s.firstAnswer("127.0.0.1", row.port)
                    try #require(took < 2_000, "\(time): \(took) ms")
                    WrongClock.cleanUp(peer)
                }
                try #require(!peer.program.stderr.contains("superseded"))
            }
        }
    }
}
