import PeerCore
import PeerReactor
import PeerServices
import PeerWire
import Synchronization
import Testing

@Suite("Relays that a peer chooses by itself", .timeLimit(.minutes(2)))
struct ChoiceTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    /// Round trips are longer in the loops' time than by the clock; the third is never as good as one that is in use.
    private static let costs: [Instant.Span] = [.milliseconds(10), .milliseconds(20), .seconds(5)]

    /// A peer that may choose among these relays, the cheapest first, for two sessions.
    private func peer(choosing relays: [ShellBench.Relay], seed: UInt8 = 2) throws -> ShellBench.Peer {
        let peer = try bench.peer(seed: seed, at: []) { $0.sessions = 2 }
        let candidates = relays.enumerated().map { index, relay in
            RelayCandidate(key: relay.keys.key, endpoint: relay.endpoint, cost: Self.costs[index])
        }
        try peer.host { $0.candidates = candidates }
        return peer
    }

    /// The relays at which a mapping is verified, in the order in which they are listed.
    private func serving(_ id: MappingID, _ peer: ShellBench.Peer) throws -> [Endpoint] {
        try peer.run { $0.mappings() }.filter { $0.wish.id == id && $0.state == .verified }.map(\.relay)
    }

    /// Where proving the first takes long, the third serves beside them for a while.
    private func settled(_ id: MappingID, _ peer: ShellBench.Peer, at relays: ArraySlice<ShellBench.Relay>) throws {
        try bench.time.eventually("served by those two alone", within: .seconds(120)) {
            try Set(serving(id, peer)) == Set(relays.map(\.endpoint))
        }
    }

    @Test("the two that cost least are taken, and the mapping is verified at both")
    func cheapest() throws {
        let relays = try (1...3).map { try bench.relay(seed: UInt8(10 + $0)) }
        let peer = try peer(choosing: relays)
        let id = try peer.expose(1, port: service.port)
        try settled(id, peer, at: relays.prefix(2))
        try bench.time.eventually("left by the others", within: .seconds(120)) { try relays[2].sessions == 0 }
    }

    @Test("one that goes away is replaced by the third within seconds, and it does not come back before its turn")
    func replaced() throws {
        let relays = try (1...3).map { try bench.relay(seed: UInt8(10 + $0)) }
        let peer = try peer(choosing: relays)
        let id = try peer.expose(1, port: service.port)
        try settled(id, peer, at: relays.prefix(2))
        try relays[0].stop()
        try bench.time.eventually("served by the others", within: .seconds(5)) {
            try Set(serving(id, peer)) == Set(relays.dropFirst().map(\.endpoint))
        }
    }

    @Test("one that hangs is replaced after 1.2 s of silence, and its visitors are sent to the others")
    func silent() throws {
        let relays = try (1...3).map { try bench.relay(seed: UInt8(10 + $0)) }
        let peer = try peer(choosing: relays)
        let id = try peer.expose(1, port: service.port)
        try settled(id, peer, at: relays.prefix(2))
        let began = bench.time.clock.now
        try relays[0].whileSilent {
            try bench.time.eventually("served by the others", within: .seconds(5)) {
                try Set(serving(id, peer)) == Set(relays.dropFirst().map(\.endpoint))
            }
        }
        let span = bench.time.clock.now - began
        #expect(span >= .milliseconds(700) && span <= .seconds(3), "\(span)")
    }

    @Test("one that gives no port is joined by a third one, for what visitors get decides")
    func useless() throws {
        let full = try bench.relay(seed: 11) { $0.policy.maximumMappingsPerSession = 0 }
        let relays = try [full] + (2...3).map { try bench.relay(seed: UInt8(10 + $0)) }
        let peer = try peer(choosing: relays)
        let id = try peer.expose(1, port: service.port)
        try bench.time.eventually("served by the others", within: .seconds(15)) {
            try Set(serving(id, peer)) == Set(relays.dropFirst().map(\.endpoint))
        }
    }

    @Test("a key that is another than the record's is shown nothing: no session, and the third relay is taken")
    func impostor() throws {
        let relays = try (1...3).map { try bench.relay(seed: UInt8(10 + $0)) }
        let peer = try bench.peer(at: []) { $0.sessions = 2 }
        let candidates = zip(relays, Self.costs).map { relay, cost in
            RelayCandidate(key: relay.keys.key, endpoint: relay.endpoint, cost: cost)
        }
        let wrong = RelayCandidate(
            key: NodeIdentity(seed: ShellBench.seed(99))!.key, endpoint: relays[0].endpoint, cost: .milliseconds(1))
        try peer.host { $0.candidates = [wrong] + candidates.dropFirst() }
        let id = try peer.expose(1, port: service.port)
        try bench.time.eventually("served by the others", within: .seconds(20)) {
            try Set(serving(id, peer)) == Set(relays.dropFirst().map(\.endpoint))
        }
        #expect(try relays[0].sessions == 0)
    }

    @Test("a relay that drains is left when others serve, without a moment in which nobody does")
    func drained() throws {
        let relays = try (1...3).map { try bench.relay(seed: UInt8(10 + $0)) }
        let peer = try peer(choosing: relays)
        let id = try peer.expose(1, port: service.port)
        try settled(id, peer, at: relays.prefix(2))
        try relays[0].run { $0.drain(within: 600) }
        try bench.time.eventually("left", within: .seconds(30)) {
            try #require(try !serving(id, peer).isEmpty)
            return try relays[0].sessions == 0
        }
        try bench.time.eventually("listed without it", within: .seconds(5)) {
            try Set(serving(id, peer)) == Set(relays.dropFirst().map(\.endpoint))
        }
    }
}
