import Foundation
import PeerWire
import TestSupport
import Testing

extension ProcessTests {
    /// Everybody at once, for longer: those who mean well with all that they do, and those who do not.
    @Suite(.serialized, .timeLimit(.minutes(40)))
    struct SoakTests {
        /// `P2PRC_SOAK_SECONDS`, else 20 minutes of `make test-long`, else what fits into a usual run.
        private static let seconds =
            ProcessInfo.processInfo.environment["P2PRC_SOAK_SECONDS"].flatMap { Int($0) } ?? Scale.pick(15, long: 1_200)
        /// What pools and the allocator take belongs to the first minutes.
        private static let isJudged = seconds >= 600

        private struct World {
            let relay: Node
            let peers: [Node]
            let mappings: [(echo: Int, http: Int)]
            let hostile: Program
            var relayPort: Int { relay.settings.serverPort ?? 0 }
        }

        /// An honest relay with two peers, one of which has a session with a relay that means ill as well.
        private func world(_ s: Scenario) async throws -> World {
            let relay = try await s.relay(ports: try FreePorts.range(1_000))
            let (port, offered) = (try FreePorts.one(), try FreePorts.one())
            let hostile = try await s.falseRelay(
                port: port, offering: offered, at: ["127.0.0.1", "127.0.0.3", "localhost", "192.0.2.1"], count: 2_000,
                watching: ["127.0.0.1", "127.0.0.3"], goesOn: true)
            var peers: [Node] = []
            var mappings: [(Int, Int)] = []
            for (name, others) in [("peer1", ["127.0.0.1:\(port)"]), ("peer2", [])] {
                let (echo, http) = (try await s.service("echo"), try await s.service("http"))
                let peer = try await s.peer(name, of: relay, mappings: ["\(echo.port)", "\(http.port)"]) {
                    $0.relays += others
                    $0.more = ["--accept-open"]
                }
                peers.append(peer)
                mappings.append((try await peer.verified(echo.port).port, try await peer.verified(http.port).port))
            }
            try await hostile.line(containing: "pester")
            return World(relay: relay, peers: peers, mappings: mappings, hostile: hostile)
        }

        /// A member that says all that makes work, without a pause, and serves nobody; who is sent away comes back with
        /// another key.
        private struct Rude {
            /// In one round: what the relay does not read yet waits in line, so kinds in turn would not all come up.
            private static let words =
                RudePeerTests.floods.flatMap(\.words) + (0..<32).map { PeerMessage.ping(UInt64($0)) }

            private let relay: Int
            private var peer: RudePeer
            private(set) var port = 0
            private(set) var sessions = 0
            private var former = (sent: 0, visitors: 0)

            var sent: Int { former.sent + peer.sent }
            var visitors: Int { former.visitors + peer.visitors }

            init(at relay: Int) async throws {
                self.relay = relay
                peer = try RudePeer(0x90)
                try await arrive()
            }

            private mutating func arrive() async throws {
                sessions += 1
                try await peer.join(relay)
                port = try await peer.take(MappingID(value: 99))
                peer.hold(channels: 32)
                peer.flood(Self.words, for: .seconds(SoakTests.seconds + 120))
            }

            mutating func returnWhenGone() async throws {
                guard peer.failure != nil else { return }
                leave()
                former = (sent, visitors)
                peer = try RudePeer(UInt8(0x90 + sessions % 100))
                try await arrive()
            }

            func leave() { peer.stop() }
        }

        /// What the honest ones hold, by the second.
        private struct Curve {
            let program: Program
            var samples: [ProcessFacts] = []

            /// The middle one of some, around a part of the time.
            func around(_ part: Double) -> (memory: Int, descriptors: Int) {
                let middle = Int(part * Double(samples.count))
                let width = max(2, samples.count / 20)
                let some = samples[max(0, middle - width)..<min(samples.count, middle + width)]
                func median(_ values: [Int]) -> Int { values.sorted()[values.count / 2] }
                return (median(some.map(\.memory)), median(some.map(\.descriptors)))
            }

            var text: String {
                let parts = [0.1, 0.25, 0.5, 0.75, 1].map { part in
                    let facts = around(part)
                    return "\(Int(part * 100)) %: \(facts.memory) KiB, \(facts.descriptors)"
                }
                let used = (try? ProcessFacts.processorTime(of: program.pid)) ?? .zero
                let most = (samples.map(\.memory).max() ?? 0, samples.map(\.descriptors).max() ?? 0)
                return "\(program.name) memory and descriptors at " + parts.joined(separator: "; ")
                    + "; at most \(most.0) KiB, \(most.1); processor time \(used.inMilliseconds) ms"
            }
        }

        /// Lines of its log that tell of a session with the honest relay that is no more.
        private func losses(_ world: World) -> Int {
            let peers = world.peers.flatMap { $0.program.stderr.split(separator: "\n") }
                .filter { $0.contains("relay 127.0.0.1:\(world.relayPort)") && $0.contains("trying again") }
            return peers.count
        }

        @Test("with a hostile member, a hostile relay and strangers at once no byte is changed, and nothing grows")
        func mixed() async throws {
            try await scenario { s in
                let world = try await world(s)
                var rude = try await Rude(at: world.relayPort)
                defer { rude.leave() }
                let servers = ([world.relay] + world.peers).compactMap(\.settings.serverPort)
                let span = Self.seconds + 30
                let crowd = try await s.crowd(
                    at: servers, visiting: [rude.port] + world.mappings.map(\.echo), for: span)
                let flood = try s.startVisitor(
                    "flood",
                    [
                        "--port", "\(world.relayPort)", "--from", "127.0.66.1,127.0.66.2,127.0.66.3", "--idle", "200",
                        "--half", "100", "--rate", "200", "--for", "\(span)",
                    ], seconds: span + 30)
                let loads = try world.mappings.map { mapping in
                    try s.startVisitor(
                        "mixed",
                        ["--echo", "\(mapping.echo)", "--http", "\(mapping.http)", "--for", "\(Self.seconds)"],
                        seconds: Self.seconds + 60)
                }
                let spare = try await s.service("echo")
                var curves = [world.relay.program, world.peers[0].program, world.peers[1].program].map {
                    Curve(program: $0)
                }
                var (tick, asked, slowest, late) = (0, 0, 0, 0)
                let begin = ContinuousClock.now
                while loads.contains(where: \.isRunning) {
                    try await rude.returnWhenGone()
                    if tick % 10 == 5 {
                        let took = try await milliseconds {
                            let made = try await world.peers[1].command(["--mp", "\(spare.port)"])
                            try #require(made.status == ExitCode.fine, "\(made.stderr)")
                            s.forget(made.program)
                        }
                        let gone = try await world.peers[1].command(["unmap", "\(spare.port)"])
                        try #require(gone.status == ExitCode.fine, "\(gone.stderr)")
                        s.forget(gone.program)
                        (asked, slowest) = (asked + 1, max(slowest, took))
                    }
                    for index in curves.indices { curves[index].samples.append(try curves[index].program.facts()) }
                    if Self.isJudged, tick % 60 == 0 {
                        let facts = curves.compactMap { $0.samples.last?.description }
                        s.note("\(tick) s: " + facts.joined(separator: "; "))
                    }
                    tick += 1
                    let next = begin + .seconds(tick)
                    late = max(late, (ContinuousClock.now - next).inMilliseconds)
                    try await pass(next - ContinuousClock.now, because: "a soak is of time")
                }
                try #require(crowd.isRunning && flood.isRunning, "the strangers were there to the end")

                let hits = world.hostile.stdout.split(separator: "\n")
                let turns = hits.count { $0.hasPrefix("pester") }
                for curve in curves { tell(s, curve.text) }
                for load in loads { tell(s, load.stdout) }
                rude.leave()
                let strangers = try await world.relay.strangers()
                let lines = curves.map { $0.program.stderr.split(separator: "\n").count }
                let lost = losses(world)
                tell(
                    s,
                    "the rude member said \(rude.sent) bytes in \(rude.sessions) sessions, \(rude.visitors) visitors "
                        + "waited; the hostile relay had \(turns) turns; --mp \(asked) times, \(slowest) ms at most; "
                        + "strangers \(strangers); sessions lost: \(lost); lines of log: \(lines); this test came "
                        + "\(late) ms late at most")

                for load in loads {
                    try #require(load.status == 0, "bytes or visitors went wrong: \(load.stdout)")
                    try #require(try load.json()["changed"] as? Int == 0)
                }
                try #require(lost == 0, "sessions with the honest relay that were lost: \(lost)")
                try #require(turns >= 3 && !hits.contains("hit 127.0.0.3"), "the hostile relay had nobody else dialled")
                try #require(rude.sent > 1_000_000 && rude.visitors > 0)
                // In a short run, which shares its machine, a command that hangs shows, and not one that waits.
                try #require(asked > 0 && slowest < (Self.isJudged ? 3_000 : 10_000), "--mp took \(slowest) ms")
                // Two minutes of twenty are for warming up; in a short run only what runs away shows.
                let (memory, descriptors) = Self.isJudged ? (4_096, 32) : (49_152, 512)
                for curve in curves {
                    let (before, after) = (curve.around(Self.isJudged ? 0.15 : 0.3), curve.around(1))
                    try #require(after.memory - before.memory < memory, "\(curve.text)")
                    try #require(after.descriptors - before.descriptors < descriptors, "\(curve.text)")
                }
            }
        }

        private func tell(_ s: Scenario, _ text: String) {
            s.note(text)
            print(text)
        }
    }
}
