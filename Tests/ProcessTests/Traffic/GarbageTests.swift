import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// The relay's port is open to the world.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct GarbageTests {
        private static let kinds = [
            "random", "endless-header", "silence", "slow", "tls", "half-preamble", "session-then-random",
        ]

        @Test("garbage, endless headers and silence are closed within a bound, and a mapping works on meanwhile")
        func garbage() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                func startLoad() throws -> Program {
                    let options = ["--port", "\(row.port)", "--connections", "3000", "--parallel", "8"]
                    return try s.startVisitor("churn", options, seconds: 60)
                }
                // The first load fills the pool of ready channels.
                try #require(try await startLoad().exit(within: .seconds(60)) == 0)
                let leaks = try LeakGuard([relay.program])

                let port = "\(relay.settings.serverPort ?? 0)"
                let each = Scale.pick(5, long: 40)
                let visitors = try Self.kinds.flatMap { kind in
                    try (0..<each).map { _ in
                        try s.startVisitor("garbage", ["--port", port, "--kind", kind], seconds: 30)
                    }
                }
                let load = try startLoad()
                for visitor in visitors {
                    try #require(try await visitor.exit(within: .seconds(40)) == 0, "\(visitor.stdout)")
                }
                try #require(try await load.exit(within: .seconds(60)) == 0, "\(load.stdout)")
                try await s.expectEcho("127.0.0.1", row.port)
                try #require(try await peer.verified(echo.port).port == row.port)
                try await leaks.expectReturn(descriptors: 16, memory: 4096, within: .seconds(20))

                let counted = try await relay.strangers()
                try #require(counted.values.reduce(0, +) == visitors.count, "status counts each: \(counted)")
            }
        }

        @Test("five hundred silent connections to the relay's port keep nobody out")
        func silence() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let port = "\(relay.settings.serverPort ?? 0)"
                let word =
                    "exec 2>/dev/null; for i in $(seq 500); do exec "
                    + "{fd}<>/dev/tcp/127.0.0.1/\(port); done; echo held; sleep 60"
                let crowd = try s.start("crowd", "bash", ["-c", "ulimit -n 2000; \(word)"])
                try await crowd.line(containing: "held")
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                try await s.expectEcho("127.0.0.1", row.port)
            }
        }
    }
}
