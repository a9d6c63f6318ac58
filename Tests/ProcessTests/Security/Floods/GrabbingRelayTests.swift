import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// A relay that sends its peer visitors, words and halves of them.
    @Suite(.serialized, .timeLimit(.minutes(5)))
    struct GrabbingRelayTests {
        private func peer(
            _ s: Scenario, of relays: [String], mapping port: Int, _ change: (inout NodeSettings) -> Void = { _ in }
        ) async throws -> Node {
            var settings = NodeSettings("peer")
            settings.relays = relays
            settings.mappings = ["\(port)"]
            settings.more = ["--plain", "--accept-open"]
            change(&settings)
            let peer = try s.node(settings)
            try await peer.listening()
            return peer
        }

        @Test(
            "a relay that sends a visitor on each channel leaves its peer enough for the other relay and for commands"
        )
        func grabs() async throws {
            try await scenario { s in
                let files = Scale.pick(1_024, long: 4_096)
                let hoard = try await s.service("echo")
                let echo = try FreePorts.one()
                _ = try await s.service("echo", port: echo)
                let honest = try await s.relay { $0.more = ["--plain"] }
                let port = try FreePorts.one()
                let grabber = try await s.grabbingRelay(port: port, offering: FreePorts.one(), as: "grab")
                let peer = try await peer(
                    s, of: ["127.0.0.1:\(honest.settings.serverPort ?? 0)", "127.0.0.1:\(port)"], mapping: hoard.port
                ) { $0.wrapper = ["/usr/bin/prlimit", "--nofile=\(files)"] }
                try await grabber.line(containing: "grabbed 100", within: .seconds(20))
                let row = try await eventually("the honest relay serves", within: .seconds(20)) {
                    try await peer.viewRPM().first { $0.leads(to: hoard.port) && $0.state == "verified" }
                }
                var most = 0
                for _ in 0..<Scale.pick(6, long: 20) {
                    most = max(most, try peer.program.facts().descriptors)
                    // Ten at a time.
                    try await s.visit(
                        "hitters", ["--port", "\(row.port)", "--connections", "10", "--bytes", "1KiB"], seconds: 15)
                    try await Task.sleep(for: .milliseconds(300))
                }
                print("\(most) of \(files) descriptors; \(grabber.stdout.split(separator: "\n").last ?? "")")
                // Commands and files have some.
                let made = try await peer.command(["--mp", "\(echo)"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                try await eventually("the registry is written", within: .seconds(5)) {
                    try String(contentsOfFile: "\(peer.home)/reverse_proxy_mapping.json", encoding: .utf8)
                        .contains("\(echo)")
                }
                #expect(peer.program.find("Too many open files") == nil)
                #expect(peer.program.find("does not answer") == nil)
                let said = peer.program.stderr.split(separator: "\n").filter { $0.contains("descriptors") }
                #expect(said.count <= 1, "\(said)")
            }
        }

        @Test("what cannot become a visitor ends a data channel with its first wrong byte, and half of one after 5 s")
        func halves() async throws {
            try await scenario { s in
                let service = try await s.service("echo")
                let port = try FreePorts.one()
                let relay = try await s.grabbingRelay(port: port, offering: FreePorts.one(), as: "halves")
                _ = try await peer(s, of: ["127.0.0.1:\(port)"], mapping: service.port) { $0.meshKey = nil }
                func seconds(_ what: String) async throws -> Double {
                    let line = try await relay.line(containing: what, within: .seconds(15))
                    return try #require(line.split(separator: " ").last.flatMap { Double($0) }, "\(line)")
                }
                #expect(try await seconds("wrong: ended after") < 2)
                let half = try await seconds("half: ended after")
                #expect(half > 4 && half < 8, "\(half)")
            }
        }

        @Test("a relay that goes and stays without end is told of twice, and then once in ten seconds")
        func drains() async throws {
            try await scenario { s in
                let service = try await s.service("echo")
                let port = try FreePorts.one()
                let relay = try await s.grabbingRelay(port: port, offering: FreePorts.one(), as: "drains")
                let peer = try await peer(s, of: ["127.0.0.1:\(port)"], mapping: service.port) { $0.meshKey = nil }
                try await relay.line(containing: "draining", within: .seconds(10))
                try await pass(.seconds(Scale.pick(8, long: 32)), because: "it goes on")
                let said = peer.program.stderr.split(separator: "\n")
                    .filter { $0.contains("lets its peers go") || $0.contains(" stays") }
                print("\(said.count) lines")
                #expect(!said.isEmpty && said.count <= Scale.pick(3, long: 6), "\(said)")
            }
        }
    }
}
