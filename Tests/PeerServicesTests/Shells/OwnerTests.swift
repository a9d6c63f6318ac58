import PeerCore
import PeerReactor
import PeerServices
import PeerWire
import Testing

@Suite("What a relay's owner sees and takes back", .timeLimit(.minutes(2)))
struct OwnerTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    @Test("a port that the owner takes back refuses, is not given to that mapping again, and no lease is kept")
    func released() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        let claim = Claim(key: peer.keys.key, mapping: id)
        try relay.run { $0.release(claim) }
        try bench.time.eventually("refused") { try peer.mapping(id)?.state == .refused }
        #expect(try peer.mapping(id)?.reason?.contains("owner took this port back") == true)
        #expect(try Visitor.says([1], to: port) == .refused)
        #expect(relay.store.leases.isEmpty)
        #expect(relay.log.first(with: "port \(port) is taken back from peer 2 (\(peer.keys.key.short))") != nil)
        try bench.time.throughout(.seconds(30), "refused", step: .milliseconds(200)) { try peer.verified(id) == nil }
        // Ten minutes later it is as any other.
        _ = try bench.time.eventually("given", within: .seconds(700), step: .seconds(1)) {
            try peer.verified(id) != nil
        }
    }

    @Test("a node that is sent away stays away for ten minutes, and is told why")
    func sentAway() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        let visitor = try HeldVisitor(to: port)
        #expect(visitor.echoes(1))
        try relay.run { $0.sendAway(peer.keys.key) }
        try bench.time.eventually("broken off") { visitor.isBrokenOff }
        try bench.time.eventually("told") {
            try peer.standing(at: relay)?.reason?.contains("sent this node away") == true
        }
        #expect(try relay.run { !$0.hasSession(of: peer.keys.key) })
        try bench.time.eventually("let in", within: .seconds(800), step: .seconds(1)) { try relay.sessions == 1 }
    }

    @Test("of a relay that drains it is named who is still there, and relays are not waited for")
    func standing() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let other = try bench.peer(seed: 3, at: [relay])
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        try bench.time.eventually("both") { try relay.sessions == 2 }
        let visitor = try HeldVisitor(to: port)
        #expect(visitor.echoes(1))
        try relay.run { $0.drain(within: 600) }
        #expect(try relay.run { $0.isDraining })
        let left = try drainStanding(of: relay, besides: [other.keys.key])
        #expect(left.peers == ["peer 2"] && left.visitors == 1 && left.relays == ["peer 3"])
        #expect(left.sessions == 1 && !left.isEmpty)
        visitor.leave()
        try peer.run { $0.stop() }
        try bench.time.eventually("empty") { try drainStanding(of: relay, besides: [other.keys.key]).isEmpty }
    }

    private final class Answer {
        var standing: DrainStanding?
    }

    private func drainStanding(of relay: ShellBench.Relay, besides others: Set<NodeKey>) throws -> DrainStanding {
        let answer = Answer()
        try relay.run { $0.drainStanding(besides: others) { answer.standing = $0 } }
        try bench.time.eventually("answered") { try relay.run { _ in answer.standing != nil } }
        return try #require(try relay.run { _ in answer.standing })
    }

    @Test("a drain that is over breaks visitors off, also those whose session ended before")
    func over() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        let visitor = try HeldVisitor(to: port)
        #expect(visitor.echoes(1))
        try relay.run { $0.drain(within: 3) }
        try bench.time.eventually("broken off", within: .seconds(5)) { visitor.isBrokenOff }
        try bench.time.eventually("told") {
            try peer.standing(at: relay)?.reason?.contains("takes no new peers") == true
        }
        try relay.run { $0.stay() }
        try bench.time.eventually("back") { try relay.sessions == 1 }
    }

    @Test("who has a session is listed by name, and what each carries with its counters")
    func listed() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        try bench.time.eventually("checks are over") { try relay.traffic.map(\.open) == [0] }
        let before = try #require(try relay.traffic.first)
        for number in UInt8(0)..<5 { #expect(try Visitor.says([number, 1, 2], to: port) == .bytes([number, 1, 2])) }
        try bench.time.eventually("counted") { try relay.traffic.first?.open == 0 }
        let after = try #require(try relay.traffic.first)
        #expect(after.connections - before.connections == 5)
        #expect(after.bytesFromVisitors - before.bytesFromVisitors == 15)
        #expect(after.bytesToVisitors - before.bytesToVisitors == 15)
        #expect(try relay.run { $0.sessionNames } == [peer.keys.key: "peer 2"])
        let carried = try #require(try relay.carried.first)
        #expect(carried.standing.lease.peerName == "peer 2")
        #expect(carried.standing.lease.target == "127.0.0.1:\(service.port)")
        #expect(carried.isPlain == false && !carried.isShort)
    }

    @Test("both ends sign what was agreed, and the receipt is listed with the mapping")
    func receipt() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let wish = MappingWish(
            id: MappingID(value: 1), target: .service(host: "127.0.0.1", port: service.port), protocols: .tcp,
            ports: .any(count: 1))
        try peer.run { $0.add(wish, isTemporary: false) }
        _ = try bench.port(of: wish.id, at: peer)
        try bench.time.eventually("signed") { try peer.mapping(wish.id)?.receipt != nil }
        try peer.run { $0.unmap(wish.id) }
        // What is temporary leaves none behind.
        let id = try peer.expose(2, port: service.port)
        _ = try bench.port(of: id, at: peer)
        try bench.time.throughout(.seconds(2), "without a receipt") { try peer.mapping(id)?.receipt == nil }
    }

    @Test("a mapping takes another name and other visitors without losing its port or those who are there")
    func changed() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        let visitor = try HeldVisitor(to: port)
        #expect(visitor.echoes(1))
        let wish = try #require(try peer.mapping(id)).wish
        var renamed = wish
        renamed.name = "web"
        renamed.announcedAs = "web"
        try peer.run { [renamed] in $0.change(renamed) }
        #expect(try peer.verified(id) == port)
        try bench.time.eventually("told") { try peer.run { $0.told }.map(\.name) == ["web"] }
        var closed = renamed
        closed.deny = [try Network("127.0.0.1/32")]
        try peer.run { [closed] in $0.change(closed) }
        try bench.time.eventually("asked anew") { try relay.carried.first?.standing.filter?.words != nil }
        try bench.time.eventually("closed") { try Visitor.says([1], to: port) == .brokenOff }
        #expect(visitor.echoes(2))
    }
}
