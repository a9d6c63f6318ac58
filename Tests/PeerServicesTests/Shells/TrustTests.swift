import PeerCore
import PeerServices
import PeerWire
import Testing

@Suite("Who may come in, and whom a peer trusts", .timeLimit(.minutes(2)))
struct TrustTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    /// What a peer says of a relay that it has no session with.
    private func reason(_ peer: ShellBench.Peer, _ relay: ShellBench.Relay) throws -> String {
        var reason: String?
        try bench.time.eventually("turned away") {
            reason = try peer.standing(at: relay)?.reason
            return reason != nil
        }
        return try #require(reason)
    }

    @Test("a peer with another mesh key is no member, and the relay counts no session")
    func stranger() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(meshKeys: [ShellBench.otherMeshKey], at: [relay])
        #expect(try reason(peer, relay).contains("member"))
        #expect(try relay.sessions == 0)
    }

    @Test("an open relay takes anybody, and a peer with a mesh key of its own takes it only when its user allows it")
    func open() throws {
        let relay = try bench.relay(meshKeys: []) { $0.isOpen = true }
        let peer = try bench.peer(at: [relay])
        _ = try reason(peer, relay)
        #expect(try relay.sessions == 0)
        try peer.run { service in
            service.change(relay.endpoint) { _ = $0.acceptOpen(at: relay.endpoint.description) }
        }
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        #expect(try Visitor.says([1], to: port) == .bytes([1]))
    }

    @Test("a peer follows a relay to a new key that both have signed, and keeps its port")
    func relayKey() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        let former = relay.keys.key
        try rotate(relay.keys, to: 11)
        try relay.run { $0.keyRotated() }
        try bench.time.eventually("known by its new key") { try peer.standing(at: relay)?.key == relay.keys.key }
        #expect(relay.keys.key != former)
        #expect(try peer.run { $0.knownRelays[relay.endpoint.description].key } == relay.keys.key)
        #expect(try bench.port(of: id, at: peer) == port)
    }

    @Test("a relay moves the ports of a peer to its new key, and refuses the former one")
    func peerKey() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        try rotate(peer.keys, to: 12)
        try peer.run { $0.keyRotated() }
        try bench.time.eventually("moved") {
            try relay.carried.map(\.standing.lease.key) == [peer.keys.key] && (try peer.verified(id)) == port
        }
        #expect(try Visitor.says([3], to: port) == .bytes([3]))
        let thief = try bench.peer(seed: 2, at: [relay])
        try bench.time.eventually("refused") { try thief.host { $0.isSuperseded } }
    }

    @Test("members learn a new mesh key while the former one counts, and their sessions go on")
    func meshKey() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        _ = try bench.port(of: id, at: peer)
        #expect(relay.keys.change(meshKeys: [ShellBench.otherMeshKey, ShellBench.meshKey]))
        try relay.run { $0.meshKeysChanged() }
        try bench.time.eventually("told") {
            try peer.run { $0.knownRelays[relay.endpoint.description].meshKey } == ShellBench.otherMeshKey
        }
        try bench.time.throughout(.seconds(5), "verified") { try peer.verified(id) != nil }
    }

    @Test("a mesh key that leaked counts no more: sessions by it end, and so does what their visitors have")
    func leakedMeshKey() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        #expect(relay.keys.change(meshKeys: [ShellBench.otherMeshKey]))
        try relay.run { $0.meshKeysChanged() }
        #expect(try reason(peer, relay).contains("member"))
        #expect(try Visitor.says([1], to: port) == .refused)
        #expect(try relay.sessions == 0)
    }

    private func rotate(_ keys: KeyRing, to number: UInt8) throws {
        let seed = ShellBench.seed(number)
        let next = NodeIdentity(seed: seed)!
        let now = bench.time.clock.wall.seconds
        let succession = KeySuccession(from: keys.identity, to: next, made: now, until: now + 86_400)
        try keys.rotate(to: next, seed: seed, history: keys.history.adding(succession))
    }
}
