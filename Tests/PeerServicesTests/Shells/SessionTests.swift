import PeerCore
import PeerReactor
import PeerServices
import PeerWire
import Testing

@Suite("Sessions that are lost and taken up again", .timeLimit(.minutes(2)))
struct SessionTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    @Test("a visitor's stream outlives the session that it came in by, where the peer's process does")
    func streams() throws {
        let relay = try bench.relay(lanes: 1)
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        let visitor = try HeldVisitor(to: port)
        #expect(visitor.echoes(1))
        try relay.whileSilent {
            try bench.time.eventually("missed", within: .seconds(10)) { try peer.mapping(id)?.state == .offline }
        }
        #expect(try bench.port(of: id, at: peer) == port)
        #expect(visitor.echoes(2))
    }

    @Test("a peer that hangs is given up by its relay after five seconds, and its port refuses until it is back")
    func peerHangs() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        let began = bench.time.clock.now
        try peer.whileSilent {
            try bench.time.eventually("given up", within: .seconds(10)) { try relay.sessions == 0 }
            let span = bench.time.clock.now - began
            #expect(span >= .seconds(4) && span <= SessionTiming.relayPatience + .seconds(1), "\(span)")
            #expect(try Visitor.says([1], to: port) == .refused)
            #expect(relay.log.first(with: "nothing was heard for too long") != nil)
        }
        #expect(try bench.port(of: id, at: peer) == port)
    }

    @Test("process after process takes over with the same key, each has the port, and the former one stops")
    func processes() throws {
        let relay = try bench.relay()
        var peers = [try bench.peer(at: [relay])]
        let port = try bench.port(of: peers[0].expose(1, port: service.port), at: peers[0])
        for number in UInt64(2)...4 {
            let next = try bench.peer(at: [relay]) { $0.process = ShellBench.process(number) }
            let id = try next.expose(1, port: service.port)
            #expect(try bench.port(of: id, at: next) == port)
            let former = try #require(peers.last)
            try bench.time.eventually("superseded") { try former.host { $0.isSuperseded } }
            #expect(former.log.first(with: "this process stops") != nil)
            peers.append(next)
        }
        #expect(try relay.sessions == 1)
        #expect(try Visitor.says([1], to: port) == .bytes([1]))
    }

    @Test("a process that began earlier does not take the port of a later one")
    func earlier() throws {
        let relay = try bench.relay()
        let later = try bench.peer(at: [relay]) { $0.process = ShellBench.process(5) }
        let id = try later.expose(1, port: service.port)
        let port = try bench.port(of: id, at: later)
        let earlier = try bench.peer(at: [relay]) { $0.process = ShellBench.process(4) }
        try bench.time.eventually("superseded") { try earlier.host { $0.isSuperseded } }
        #expect(try later.verified(id) == port)
        #expect(try !later.host { $0.isSuperseded })
    }

    @Test("visitors of a process that another one takes over from are broken off")
    func takenOver() throws {
        let relay = try bench.relay()
        let former = try bench.peer(at: [relay])
        let port = try bench.port(of: former.expose(1, port: service.port), at: former)
        let visitor = try HeldVisitor(to: port)
        #expect(visitor.echoes(1))
        let next = try bench.peer(at: [relay]) { $0.process = ShellBench.process(2) }
        _ = try bench.port(of: next.expose(1, port: service.port), at: next)
        try bench.time.eventually("broken off") { visitor.isBrokenOff }
    }

    @Test("leases are there again after a restart of the relay, before their peers come, and refuse visitors")
    func restored() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        try peer.run { $0.stop() }
        try bench.time.eventually("gone") { try relay.sessions == 0 }
        try relay.stop()
        let again = try bench.relay(port: relay.port, store: relay.store)
        #expect(try again.run { $0.leases.map(\.ports.first) } == [port])
        #expect(try Visitor.says([1], to: port) == .refused)
        #expect(throws: (any Error).self) { _ = try EchoService(port: port) }
        let carried = try #require(try again.carried.first)
        #expect(!carried.isLive && carried.isPlain == nil)
        let other = try bench.peer(seed: 3, at: [again])
        let wanted = try other.expose(1, port: service.port, .exactly(.init(first: port, count: 1)!))
        try bench.time.eventually("refused") { try other.mapping(wanted)?.refusal == .portLeased }
    }

    @Test("a lease that ran out while the relay was away waits an hour for its peer, and the log says so")
    func ranOut() throws {
        let store = MemoryStore()
        let key = NodeIdentity(seed: ShellBench.seed(2))!.key
        let ports = try FreePorts.range(1)
        let past = bench.time.clock.wall + -10
        let lease = Lease(
            key: key, mapping: MappingID(value: 1), ports: ports, protocols: .tcp,
            peerName: "peer 2", target: "127.0.0.1:80", expires: past)
        store.save(lease, for: nil) { _ in }
        let relay = try bench.relay(store: store)
        #expect(relay.log.first(with: "1 lease has run out by this machine's clock") != nil)
        #expect(try relay.run { $0.leases.count } == 1)
        let peer = try bench.peer(at: [relay])
        #expect(try bench.port(of: peer.expose(1, port: service.port), at: peer) == ports.first)
    }

    @Test("a mapping that its peer does not know any more is given back, but not where what it knew was lost")
    func unknown() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        _ = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        try peer.run { $0.stop() }
        try bench.time.eventually("gone") { try relay.sessions == 0 }
        let forgetful = try bench.peer(at: []) { $0.process = ShellBench.process(2) }
        try forgetful.run { service in
            service.releasesUnknown = false
            service.join(relay.endpoint)
        }
        try bench.time.eventually("connected") { try forgetful.standing(at: relay)?.state == .connected }
        try bench.time.throughout(.seconds(3), "leased") { relay.store.leases.count == 1 }
        try forgetful.run { $0.stop() }
        let careful = try bench.peer(at: [relay]) { $0.process = ShellBench.process(3) }
        try bench.time.eventually("given back") { relay.store.leases.isEmpty }
        #expect(try careful.run { $0.mappings() }.isEmpty)
    }

    @Test("a relay that is not there is tried again and again, and found when it comes up")
    func notThere() throws {
        let relay = try bench.relay()
        try relay.stop()
        let peer = try bench.peer(at: [relay])
        try bench.time.eventually("said") { try peer.standing(at: relay)?.reason != nil }
        let prospect = try #require(try peer.run { $0.prospect(of: relay.endpoint) })
        #expect(prospect.terms == nil && prospect.reason == "nothing listens there (connection refused)")
        try bench.time.throughout(.seconds(30), "one line for all attempts", step: .milliseconds(200)) {
            peer.log.count(of: "trying again") == 1
        }
        #expect(try #require(try peer.run { $0.prospect(of: relay.endpoint) }).failures > 5)
        let again = try bench.relay(port: relay.port)
        try bench.time.eventually("found", within: .seconds(5)) { try peer.standing(at: again)?.state == .connected }
        #expect(try peer.host { $0.stands } == [again.endpoint])
    }

    @Test("one that is hurried is tried at once")
    func hurried() throws {
        let relay = try bench.relay()
        try relay.stop()
        let peer = try bench.peer(at: [relay])
        // Far from its next attempt.
        try bench.time.throughout(.seconds(20), "away", step: .milliseconds(200)) {
            try peer.standing(at: relay)?.state != .connected
        }
        _ = try bench.relay(port: relay.port)
        try peer.run { $0.hurry() }
        try bench.time.eventually("found", within: .seconds(1)) {
            try peer.standing(at: relay)?.state == .connected
        }
    }

    @Test("a relay's latency is listed, and measured again in each session")
    func latency() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        try bench.time.eventually("measured") { try peer.standing(at: relay)?.latency != nil }
        let standing = try #require(try peer.standing(at: relay))
        #expect(standing.key == relay.keys.key && standing.name == "relay" && standing.isPlain == false)
        #expect(standing.lastHeard != nil)
    }

    @Test("relays and peers say goodbye: of a session that ended so nothing is written but that it did")
    func goodbye() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        try bench.time.eventually("connected") { try peer.standing(at: relay)?.state == .connected }
        #expect(relay.log.first(with: "session of peer 2 (\(peer.keys.key.short)) from 127.0.0.1:") != nil)
        #expect(peer.log.first(with: "session to relay \(relay.endpoint) (relay, \(relay.keys.key.short))") != nil)
        try peer.run { $0.stop() }
        try bench.time.eventually("gone") { try relay.sessions == 0 }
        #expect(relay.log.count(of: "ended") == 0)
    }

    @Test("of a session that breaks off the relay has one line")
    func brokenOff() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        try bench.time.eventually("connected") { try peer.standing(at: relay)?.state == .connected }
        try relay.run { $0.sendAway(peer.keys.key) }
        try bench.time.eventually("told") { peer.log.first(with: "sent this node away") != nil }
        try bench.time.throughout(.seconds(30), "one line for all attempts", step: .milliseconds(200)) {
            relay.log.count(of: "is not let in") <= 1
        }
    }

    @Test("several mappings of several peers are carried at once, each to its own service")
    func many() throws {
        let relay = try bench.relay(lanes: 2)
        let others = try (0..<3).map { _ in try EchoService() }
        var ports: Set<UInt16> = []
        for (index, other) in others.enumerated() {
            let peer = try bench.peer(seed: UInt8(30 + index), at: [relay])
            for number in UInt64(1)...3 {
                let port = try bench.port(of: peer.expose(number, port: other.port), at: peer)
                ports.insert(port)
                #expect(try Visitor.says([UInt8(number)], to: port) == .bytes([UInt8(number)]))
            }
        }
        #expect(ports.count == 9)
        #expect(try relay.sessions == 3 && relay.carried.count == 9)
        #expect(try relay.traffic.reduce(0) { $0 + $1.connections } >= 9)
    }
}
