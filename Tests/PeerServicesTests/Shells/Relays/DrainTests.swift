import PeerCore
import PeerServices
import PeerWire
import Testing

@Suite("A relay that lets its peers go, and a node with several relays", .timeLimit(.minutes(2)))
struct DrainTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    @Test("a mapping has the same number at two relays, and visitors are served at both")
    func both() throws {
        let relays = [try bench.relay(), try bench.relay(seed: 5, at: 2)]
        let peer = try bench.peer(at: relays)
        let id = try peer.expose(1, port: service.port)
        func ports() throws -> [UInt16] {
            try peer.run { $0.mappings() }.filter { $0.wish.id == id && $0.state == .verified }.compactMap(
                \.ports?.first)
        }
        try bench.time.eventually("verified at both, by one number") {
            let ports = try ports()
            return ports.count == 2 && Set(ports).count == 1
        }
        let port = try #require(try ports().first)
        for host in UInt8(1)...2 { #expect(try Visitor.says([4], to: port, at: host) == .bytes([4])) }
    }

    @Test("one that drains tells its peers, stays until it is told so, and takes nobody new")
    func drains() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        _ = try bench.port(of: id, at: peer)
        try relay.run { $0.drain(within: 600) }
        let other = try bench.peer(seed: 3, at: [relay])
        try bench.time.eventually("turned away") { try other.standing(at: relay)?.reason != nil }
        #expect(try peer.verified(id) != nil)
        try relay.run { $0.stay() }
        try bench.time.eventually("taken") { try other.standing(at: relay)?.state == .connected }
    }

    @Test("peers that are still there when the time is over are sent away")
    func late() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        try relay.run { $0.drain(within: 5) }
        try bench.time.throughout(.seconds(4), "there") { try relay.sessions == 1 }
        try bench.time.eventually("sent away", within: .seconds(3)) { try relay.sessions == 0 }
        #expect(try Visitor.says([1], to: port) == .refused)
    }

    @Test("a peer that the relay's owner sends away loses its leases, and comes back without them")
    func sentAway() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        try relay.run { $0.sendAway(peer.keys.key) }
        try bench.time.eventually("closed") { try Visitor.says([1], to: port) == .refused }
        #expect(relay.store.leases.isEmpty)
    }

    @Test("a relay that the user leaves has its ports back, and the session ends")
    func left() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        #expect(try peer.run { $0.leave(relay.endpoint) })
        try bench.time.eventually("forgotten") { try relay.carried.isEmpty && relay.sessions == 0 }
        #expect(try Visitor.says([1], to: port) == .refused)
        #expect(try peer.run { $0.mappings() }.isEmpty)
    }

    @Test("of two processes with one key the later one goes on, and the former one hears that it is superseded")
    func superseded() throws {
        let relay = try bench.relay()
        let first = try bench.peer(at: [relay])
        try bench.time.eventually("connected") { try first.standing(at: relay)?.state == .connected }
        let second = try bench.peer(at: [relay]) { $0.process = ShellBench.process(2) }
        try bench.time.eventually("superseded") { try first.host { $0.isSuperseded } }
        try bench.time.eventually("connected") { try second.standing(at: relay)?.state == .connected }
        #expect(try relay.sessions == 1)
    }
}
