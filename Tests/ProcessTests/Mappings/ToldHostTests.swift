import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Relays that tell visitors another host than the one by which a peer reaches them.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct ToldHostTests {
        @Test("a port that nobody tried at the host which visitors are told works, and is not called verified")
        func untried() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay { $0.advertise = "192.0.2.77" }
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(echo.port)"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let row = try #require(try await peer.viewRPM().first { $0.target == "127.0.0.1:\(echo.port)" })
                let port = row.port
                #expect(made.stdout == "192.0.2.77:\(port) -> 127.0.0.1:\(echo.port) active\n")
                #expect(
                    made.stderr.contains("works at 127.0.0.1") && made.stderr.contains("192.0.2.77"), "\(made.stderr)")
                #expect(row.state == "active" && row.address == "192.0.2.77")
                let table = try await peer.command(["--view-rpm"])
                #expect(table.stdout.contains("works at 127.0.0.1"), "\(table.stdout)")
                try await s.expectEcho("127.0.0.1", port)
                #expect(!peer.program.stdout.contains("127.0.0.1:\(echo.port) verified"))
            }
        }
    }
}
