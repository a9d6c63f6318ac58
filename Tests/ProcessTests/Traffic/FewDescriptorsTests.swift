import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What a relay says and does when the system gives it too few open files.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct FewDescriptorsTests {
        private func limited(_ files: Int) -> [String] { ["/usr/bin/prlimit", "--nofile=\(files)"] }

        @Test("a relay without room for a port says so, to its owner and to the peer, and sessions stand all the same")
        func noRoom() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay { $0.wrapper = limited(64) }
                try #require(relay.program.find("room for 16 visitors") != nil, "\(relay.program.stderr)")
                let peer = try await s.peer(of: relay)
                let answer = try await peer.command(["--mp", "\(echo.port)"])
                try #require(answer.status == ExitCode.refused, "\(answer.status): \(answer.stderr)")
                try #require(answer.stderr.contains("the relay has no descriptors left"), "\(answer.stderr)")
                try #require(relay.program.find("no descriptors are left") != nil)
                try #require(try await peer.viewRPS().first?.state == "connected")
            }
        }

        @Test("visitors beyond what descriptors allow are refused with one line in the log, and all is well afterwards")
        func shortOfThem() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay { $0.wrapper = limited(256) }
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                let crowd = try s.startVisitor("hold", ["--port", "\(row.port)", "--connections", "150"], seconds: 20)
                try await crowd.line(containing: "held", within: .seconds(15))
                try await relay.program.line(containing: "no descriptors are left", within: .seconds(5))
                let listing = try await relay.command(["--view-rpm", "--json"])
                try #require(listing.stdout.contains("no descriptors are left here"), "\(listing.stdout)")
                try #require(try await peer.viewRPS().first?.state == "connected", "the session has its own")
                crowd.kill()
                try await relay.program.line(containing: "there are descriptors again", within: .seconds(20))
                try await s.expectEcho("127.0.0.1", row.port)
                let said = relay.program.stderr.split(separator: "\n").filter { $0.contains("descriptors") }
                try #require(said.count == 2, "one line for the shortage, one for its end: \(said)")
            }
        }

        @Test("a peer that has too few of them says so in its log, once, and in its listing")
        func peerIsShort() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"]) { $0.wrapper = limited(128) }
                let row = try await peer.verified(echo.port)
                let crowd = try s.startVisitor("hold", ["--port", "\(row.port)", "--connections", "150"], seconds: 20)
                try await peer.program.line(containing: "no descriptors are left", within: .seconds(15))
                let listing = try await peer.command(["--view-rpm", "--json"])
                try #require(
                    listing.stdout.contains("no descriptors are left here"), "\(listing.stdout)\(listing.stderr)")
                crowd.kill()
                try await peer.program.line(containing: "there are descriptors again", within: .seconds(20))
                try await s.expectEcho("127.0.0.1", row.port)
                let said = peer.program.stderr.split(separator: "\n").filter { $0.contains("descriptors") }
                try #require(said.count == 2, "one line for the shortage, one for its end: \(said)")
            }
        }

        @Test(
            "a relay with more leases than descriptors starts with those that fit, and keeps the others for their peers"
        )
        func leasesThatFit() async throws {
            try await scenario { s in
                let relay = try await s.relay(ports: FreePorts.range(200))
                let peer = try await s.peer(of: relay)
                let echo = try await s.service("echo", ["--count", "60"])
                let made = try await peer.command(["--mp", "\(echo.port)-\(echo.port + 59)"])
                try #require(made.status == 0, "\(made.stderr)")
                let before = Set(try await peer.viewRPM().map(\.port))
                relay.program.kill()
                relay.settings.wrapper = limited(128)
                try await relay.restart()
                try #require(relay.program.find("no descriptors are left") != nil, "\(relay.program.stderr)")
                relay.program.kill()
                relay.settings.wrapper = []
                try await relay.restart()
                for port in before.sorted().prefix(3) { _ = try await s.firstAnswer("127.0.0.1", port) }
                try #require(Set(try await peer.viewRPM().map(\.port)) == before, "the numbers are the same")
            }
        }
    }
}
