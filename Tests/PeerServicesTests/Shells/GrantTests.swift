import PeerCore
import PeerReactor
import PeerServices
import PeerWire
import Testing

@Suite("What a session is allowed, and for how long", .timeLimit(.minutes(2)))
struct GrantTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    @Test("a token lets its holder in, and its end ends the session and what visitors have open")
    func expires() throws {
        let end = bench.time.clock.wall + 60
        let (relay, peer) = try bench.holder { $0.expires = end }
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        #expect(try Visitor.says([1], to: port) == .bytes([1]))
        try relay.host { $0.grants = [:] }
        try bench.time.eventually("over", within: .seconds(70), step: .milliseconds(200)) { try relay.sessions == 0 }
        #expect(bench.time.clock.wall.seconds >= end.seconds && bench.time.clock.wall.seconds <= end.seconds + 2)
        #expect(try Visitor.says([1], to: port) == .refused)
    }

    @Test("a token that is revoked ends its session at once, and lets nobody in again")
    func revoked() throws {
        let (relay, peer) = try bench.holder { _ in }
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        try relay.run { $0.tokenEnded("one") }
        #expect(try relay.sessions == 0)
        try bench.time.eventually("closed") { try Visitor.says([1], to: port) == .refused }
        try bench.time.throughout(.seconds(5), "away") { try relay.sessions == 0 }
    }

    @Test("a token that the relay did not issue is rejected, and the peer is told the reason")
    func unknown() throws {
        let relay = try bench.relay(meshKeys: [ShellBench.otherMeshKey])
        let peer = try bench.peer(at: [])
        try peer.show("x.y.z", to: relay)
        try bench.time.eventually("rejected") {
            try peer.standing(at: relay)?.reason?.contains("did not issue") == true
        }
    }

    @Test("a token for two ports gives two, and refuses the third")
    func leases() throws {
        let (_, peer) = try bench.holder { $0.limits.leases = 2 }
        for number in UInt64(1)...2 { _ = try bench.port(of: peer.expose(number, port: service.port), at: peer) }
        let third = try peer.expose(3, port: service.port)
        try bench.time.eventually("refused") { try peer.mapping(third)?.refusal == .limitReached }
    }

    @Test("a lease waits for a peer that is away as long as the relay says, and then its port is free for others")
    func away() throws {
        let relay = try bench.relay { $0.policy.leaseSeconds = 600 }
        let peer = try bench.peer(at: [relay])
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        try peer.run { $0.stop() }
        try bench.time.eventually("gone") { try relay.sessions == 0 }
        let other = try bench.peer(seed: 3, at: [relay])
        let id = try other.expose(1, port: service.port, .exactly(.init(first: port, count: 1)!))
        try bench.time.eventually("refused") { try other.mapping(id)?.refusal == .portLeased }
        #expect(relay.store.leases.map(\.ports.first) == [port])
        try bench.time.eventually("given", within: .seconds(1_300), step: .seconds(1)) {
            try other.verified(id) == port
        }
    }

    @Test("with several lanes each takes its turn at visitors, and all are served")
    func lanes() throws {
        let relay = try bench.relay(lanes: 3)
        let peer = try bench.peer(at: [relay])
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        for number in UInt8(0)..<30 { #expect(try Visitor.says([number, 1], to: port) == .bytes([number, 1])) }
        let carried = try #require(try relay.carried.first)
        #expect(carried.isLive)
    }
}
