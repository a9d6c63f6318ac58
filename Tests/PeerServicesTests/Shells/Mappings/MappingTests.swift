import PeerCore
import PeerServices
import PeerWire
import Testing

@Suite("A relay and its peer", .timeLimit(.minutes(2)))
struct MappingTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    @Test("agree a port, prove it from outside, and carry a visitor's bytes there and back")
    func carries() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(try Visitor.says(bytes, to: port) == .bytes(bytes))
        let carried = try #require(try relay.carried.first)
        #expect(
            carried.isLive && carried.standing.lease.ports == .init(first: port, count: 1)!
                && carried.host == "127.0.0.1")
        #expect(relay.store.leases.map(\.ports.first) == [port])
    }

    @Test("do all of that by TLS, as they do on any network")
    func encrypted() throws {
        let bench = try ShellBench(.encrypted)
        let relay = try bench.relay(lanes: 2)
        let peer = try bench.peer(at: [relay])
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        #expect(try Visitor.says([1, 2, 3], to: port) == .bytes([1, 2, 3]))
        #expect(bench.network.proofs == 0)
    }

    @Test("try again while the other end proves nothing, and find each other when it does")
    func unproven() throws {
        bench.network.provesNothing = true
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        try bench.time.eventually("told of the failure") { try peer.standing(at: relay)?.reason != nil }
        #expect(try relay.sessions == 0 && peer.verified(id) == nil)
        bench.network.provesNothing = false
        #expect(try Visitor.says([7], to: bench.port(of: id, at: peer)) == .bytes([7]))
    }

    @Test(
        "carry bytes without encryption where both want that, and with it where one does not", arguments: [true, false])
    func plain(_ allows: Bool) throws {
        let relay = try bench.relay { $0.allowsPlain = allows }
        let peer = try bench.peer(at: [relay]) { $0.wantsPlain = true }
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        #expect(try Visitor.says([1, 2, 3], to: port) == .bytes([1, 2, 3]))
        #expect(try peer.standing(at: relay)?.isPlain == allows)
    }

    @Test("refuse visitors while the service is down, and let them in again when it is back")
    func target() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        service.stop()
        try bench.time.eventually("seen to be down") { try peer.mapping(id)?.state == .targetDown }
        try bench.time.eventually("closed") { try Visitor.says([1], to: port) == .refused }
        let again = try EchoService(port: service.port)
        #expect(try bench.port(of: id, at: peer) == port)
        #expect(try Visitor.says([5], to: port) == .bytes([5]))
        again.stop()
    }

    @Test("give a port up when it is taken back, on the relay's disk too")
    func unmap() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        #expect(try peer.run { $0.unmap(id) })
        try bench.time.eventually("closed") { try Visitor.says([1], to: port) == .refused }
        try bench.time.eventually("forgotten") { try relay.carried.isEmpty && relay.store.leases.isEmpty }
    }

    @Test("keep a port for its peer: another one that asks for that number is told no")
    func leased() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        let other = try bench.peer(seed: 3, at: [relay])
        let id = try other.expose(1, port: service.port, .exactly(.init(first: port, count: 1)!))
        try bench.time.eventually("refused") { try other.mapping(id)?.refusal == .portLeased }
        // The owner of the relay takes it back; then it is anybody's.
        let claim = Claim(key: peer.keys.key, mapping: MappingID(value: 1))
        try peer.run { _ = $0.leave(relay.endpoint) }
        try relay.run { $0.release(claim) }
        #expect(try bench.port(of: id, at: other) == port)
    }

    @Test("promise nothing that is not written down: with a broken disk there is no port, and there is one afterwards")
    func disk() throws {
        let relay = try bench.relay()
        relay.store.breaks(true)
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        try bench.time.eventually("refused") { try peer.mapping(id)?.refusal == .storageFailed }
        #expect(relay.store.leases.isEmpty)
        relay.store.breaks(false)
        let port = try bench.port(of: id, at: peer)
        #expect(try Visitor.says([7], to: port) == .bytes([7]))
    }

    @Test("find each other again after the relay was restarted, with the port of before")
    func restarted() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        try relay.stop()
        try bench.time.eventually("missed") { try peer.standing(at: relay)?.state != .connected }
        #expect(try Visitor.says([1], to: port) == .refused)
        let again = try bench.relay(port: relay.port, store: relay.store)
        #expect(try bench.port(of: id, at: peer) == port)
        #expect(try Visitor.says([9], to: port) == .bytes([9]))
        #expect(try again.carried.count == 1)
    }

    @Test("notice that a machine hangs: the peer drops the session after three seconds, and comes back with its port")
    func hangs() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        let began = bench.time.clock.now
        try relay.whileSilent {
            try bench.time.eventually("missed", within: .seconds(10)) { try peer.mapping(id)?.state == .offline }
        }
        let span = bench.time.clock.now - began
        #expect(span >= .milliseconds(1_000) && span <= SessionTiming.peerPatience + .seconds(1), "\(span)")
        #expect(try bench.port(of: id, at: peer) == port)
    }
}
