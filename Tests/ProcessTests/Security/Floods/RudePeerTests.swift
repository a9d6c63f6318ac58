import Foundation
import PeerCore
import PeerWire
import TestSupport
import Testing

extension ProcessTests {
    /// One member that makes as much work as it can must not take a relay from the others.
    @Suite(.serialized, .timeLimit(.minutes(5)))
    struct RudePeerTests {
        private static let mappings = (UInt64(1)...8).map { MappingID(value: $0) }
        /// Those with 64 ports each. Wherever these and the single ports of the others come to lie among 1,000, and one
        /// that a flood left behind, there is room for four.
        private static let reported = mappings.prefix(4)

        private static func request(_ mapping: MappingID) -> PeerMessage {
            .request(
                PeerMessage.Request(
                    mapping: mapping, protocols: .tcp, wish: .any(count: 64), target: "127.0.0.1:1", allow: [], deny: []
                ))
        }

        private static let reports = "reports that open and close 64 ports"

        /// What is said over and over, by name.
        static let floods: [(name: String, words: [PeerMessage])] = [
            ("requests and releases", mappings.flatMap { [request($0), .release($0)] }),
            ("commits", mappings.flatMap { [request($0), .commit($0, attempt: 1), .release($0)] }),
            ("pings", [.ping(1)]),
            ("releases", mappings.map { .release($0) }),
            (
                reports,
                reported.flatMap {
                    [.report($0, state: .targetDown, isLeaving: false), .report($0, state: .active, isLeaving: false)]
                }
            ),
        ]

        private func p99(_ s: Scenario, _ port: Int, _ seconds: Int) async throws -> Int {
            let told = try await s.visit(
                "round-trips", ["--port", "\(port)", "--for", "\(seconds)", "--pause", "1000"], seconds: 60)
            return try #require(told["p99"] as? Int)
        }

        @Test("a flood of requests, commits, pings, releases or reports of one member takes nothing from the others")
        func floods() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let others = try FreePorts.range(Self.floods.count)
                _ = try await s.service("echo", port: others.lowerBound, ["--count", "\(Self.floods.count)"])
                let relay = try await s.relay(ports: try FreePorts.range(1_000))
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                let seconds = Scale.pick(2, long: 10)
                for (index, flood) in Self.floods.enumerated() {
                    let quiet = try await p99(s, row.port, seconds)
                    let rude = try RudePeer(UInt8(0x81 + index))
                    defer { rude.stop() }
                    try await rude.join(relay.settings.serverPort ?? 0)
                    if flood.name == Self.reports { try await rude.take(Self.reported, ports: 64) }
                    rude.flood(flood.words, for: .seconds(seconds + 2))
                    // What is there at once for a return is used up first.
                    try await eventually("the flood is on", within: .seconds(15)) { rude.sent > 1_000_000 }
                    let flooded = try await p99(s, row.port, seconds)
                    let mapping = try await milliseconds {
                        let made = try await peer.command(["--mp", "\(others.lowerBound + index)"])
                        try #require(made.status == ExitCode.fine, "\(made.stderr)")
                    }
                    try #require(rude.failure == nil, "\(flood.name): \(rude.failure ?? "")")
                    rude.stop()
                    try await Task.sleep(for: .seconds(1))
                    let after = try await p99(s, row.port, 1)
                    let told =
                        "\(flood.name): p99 in µs quiet \(quiet), under the flood \(flooded), after it \(after); "
                        + "--mp took \(mapping) ms; \(rude.sent) bytes said"
                    s.note(told)
                    print(told)
                    // As for the flood of strangers: relay, peers, service and visitor share few processors here. Ports
                    // that close and open, 64 at once, are felt for as long as that takes the system.
                    let times = flood.name == Self.reports ? 6 : 3
                    let bound = Scale.isLong ? quiet * times : 20_000
                    try #require(flooded <= bound && after <= bound, "\(told)")
                    try #require(mapping < (Scale.isLong ? 1_000 : 3_000), "\(told)")
                    try #require(peer.program.find("trying again") == nil, "the other one's session ended")
                    try await s.expectEcho("127.0.0.1", row.port)
                }
            }
        }
    }
}
