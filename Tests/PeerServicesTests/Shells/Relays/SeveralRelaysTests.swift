import PeerCore
import PeerReactor
import PeerServices
import PeerStorage
import PeerWire
import Testing

@Suite("A peer with several relays", .timeLimit(.minutes(2)))
struct SeveralRelaysTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    /// Relays at addresses of their own, so that they can give the same number.
    private func relays(_ count: Int) throws -> [ShellBench.Relay] {
        try (1...count).map { try bench.relay(seed: UInt8(20 + $0), at: UInt8($0)) }
    }

    /// The number that it has everywhere.
    private func number(_ id: MappingID, _ peer: ShellBench.Peer, at count: Int) throws -> UInt16 {
        var ports: [UInt16] = []
        try bench.time.eventually("verified with one number at \(count)") {
            ports = try peer.verifiedPorts(id)
            return ports.count == count && Set(ports).count == 1
        }
        return try #require(ports.first)
    }

    @Test("has one number everywhere for each service, also for one that comes later")
    func sameNumber() throws {
        let relays = try relays(2)
        let peer = try bench.peer(at: relays)
        let port = try number(peer.expose(1, port: service.port), peer, at: 2)
        for host in UInt8(1)...2 { #expect(try Visitor.says([host], to: port, at: host) == .bytes([host])) }
        let later = try EchoService()
        let other = try number(peer.expose(2, port: later.port), peer, at: 2)
        #expect(other != port)
    }

    @Test("asks a new relay for the number of before, also when those that gave it are used no longer")
    func numberOfBefore() throws {
        let relays = try relays(3)
        let peer = try bench.peer(at: Array(relays.prefix(2)))
        let id = try peer.expose(1, port: service.port)
        let port = try number(id, peer, at: 2)
        for relay in relays.prefix(2) { #expect(try peer.run { $0.leave(relay.endpoint) }) }
        #expect(try peer.run { $0.join(relays[2].endpoint) })
        #expect(try number(id, peer, at: 1) == port)
    }

    @Test("begins after a restart with the numbers that it had")
    func restarted() throws {
        let relays = try relays(2)
        let wanted = try FreePorts.range(1)
        let peer = try bench.peer(at: relays) { setup in
            setup.remembered = relays.map {
                AgreedPorts(mapping: MappingID(value: 1), relay: $0.endpoint.description, ports: wanted)
            }
        }
        #expect(try number(peer.expose(1, port: service.port), peer, at: 2) == wanted.first)
    }

    @Test("gives an odd number back for the usual one, once that is free there, and asks in vain but once")
    func oneNumber() throws {
        let relays = try relays(3)
        // Two of three: of two alike the one of the relay whose session stands first would be the usual one.
        let peer = try bench.peer(at: [relays[0], relays[2]])
        let id = try peer.expose(1, port: service.port)
        let usual = try number(id, peer, at: 2)
        let other = try EchoService(port: usual, at: 2)
        #expect(try peer.run { $0.join(relays[1].endpoint) })
        try bench.time.eventually("of two numbers") { try Set(peer.verifiedPorts(id)).count == 2 }
        let odd = try #require(try Set(peer.verifiedPorts(id)).subtracting([usual]).first)
        // It was refused there a moment ago.
        try bench.time.eventually("asked for the usual one", within: .seconds(310), step: .milliseconds(500)) {
            peer.log.first(with: "is asked for port \(usual) instead of \(odd)") != nil
        }
        // It is taken there: what the relay gave before is what it gives again.
        try bench.time.eventually("of two numbers again") {
            try peer.verifiedPorts(id).count == 3 && Set(peer.verifiedPorts(id)) == [usual, odd]
        }
        other.stop()
        try bench.time.throughout(.seconds(20), "not asked again", step: .milliseconds(200)) {
            peer.log.count(of: "is asked for port") == 1
        }
    }

    @Test("exchanges the number where it is free, and visitors find one number everywhere")
    func exchanged() throws {
        let relays = try relays(3)
        let (usual, odd) = (try FreePorts.range(1), try FreePorts.range(1))
        let peer = try bench.peer(at: [relays[0], relays[2]]) { setup in
            setup.remembered = [
                AgreedPorts(mapping: MappingID(value: 1), relay: relays[1].endpoint.description, ports: odd),
                AgreedPorts(mapping: MappingID(value: 1), relay: relays[0].endpoint.description, ports: usual),
                AgreedPorts(mapping: MappingID(value: 1), relay: relays[2].endpoint.description, ports: usual),
            ]
        }
        let id = try peer.expose(1, port: service.port)
        #expect(try number(id, peer, at: 2) == usual.first)
        #expect(try peer.run { $0.join(relays[1].endpoint) })
        #expect(try number(id, peer, at: 3) == usual.first)
        #expect(try Visitor.says([7], to: usual.first, at: 2) == .bytes([7]))
    }

    @Test("lists a relay that stops answering as gone after 1.2 s and behind those that serve", arguments: [0, 1])
    func silent(_ index: Int) throws {
        let relays = try relays(2)
        let peer = try bench.peer(at: relays)
        let id = try peer.expose(1, port: service.port)
        _ = try number(id, peer, at: 2)
        try bench.time.throughout(.seconds(2), "heard of") { try peer.verifiedPorts(id).count == 2 }
        let began = bench.time.clock.now
        try relays[index].whileSilent {
            try bench.time.eventually("listed as gone", within: .seconds(5)) {
                try peer.mappings(id).contains { $0.relay == relays[index].endpoint && $0.state == .offline }
            }
            let span = bench.time.clock.now - began
            #expect(span >= .milliseconds(600) && span < .milliseconds(2_200), "\(span)")
            let first = try #require(try peer.mappings(id).first)
            #expect(first.relay != relays[index].endpoint && first.state == .verified)
            #expect(try peer.mappings(id).last?.reason == "the relay says nothing")
            #expect(try peer.run { $0.relayStandings }.first?.endpoint == first.relay)
            #expect(try peer.standing(at: relays[index])?.state == .connecting)
        }
        _ = try number(id, peer, at: 2)
    }

    @Test("has each port looked at by another relay too, whose word is listed")
    func otherRelay() throws {
        let relays = try relays(2)
        let peer = try bench.peer(at: relays)
        let id = try peer.expose(1, port: service.port)
        _ = try number(id, peer, at: 2)
        try bench.time.eventually("seen by both") {
            try peer.mappings(id).allSatisfy { $0.standings.first?.verifiedBy == ["this node", "relay"] }
        }
    }

    @Test("waits for the word of no relay that does not look, and asks it again later")
    func doesNotLook() throws {
        let relays = try relays(2)
        for relay in relays { try relay.host { $0.looks = false } }
        let peer = try bench.peer(at: relays)
        let id = try peer.expose(1, port: service.port)
        _ = try number(id, peer, at: 2)
        #expect(try peer.mappings(id).allSatisfy { $0.standings.first?.verifiedBy == ["this node"] })
        for relay in relays { try relay.host { $0.looks = true } }
        try bench.time.eventually("seen by both", within: .seconds(90), step: .milliseconds(100)) {
            try peer.mappings(id).allSatisfy { $0.standings.first?.verifiedBy == ["this node", "relay"] }
        }
    }

    @Test("tells what it exposes by name once that is verified, and nothing of what is taken back")
    func told() throws {
        let relays = try relays(2)
        let peer = try bench.peer(at: relays)
        let named = try peer.expose(1, port: service.port) { $0.announcedAs = "web" }
        try peer.expose(2, port: service.port)
        let port = try number(named, peer, at: 2)
        var told: [NodeRecord.Mapping] = []
        try bench.time.eventually("told of both") {
            told = try peer.run { $0.told }
            return told.count == 2
        }
        #expect(told.map(\.name) == ["web", "web"] && Set(told.map(\.ports.first)) == [port])
        #expect(Set(told.map(\.host)) == ["127.0.0.1", "127.0.0.2"])
        #expect(try peer.run { $0.unmap(named) })
        #expect(try peer.run { $0.told }.isEmpty)
    }

    @Test("publishes the relays whose sessions stand, and knows where it dialled them")
    func published() throws {
        let relays = try relays(2)
        let peer = try bench.peer(at: relays)
        _ = try number(peer.expose(1, port: service.port), peer, at: 2)
        try bench.time.eventually("both") {
            try peer.run { $0.publishedRelays } == Set(relays.map(\.endpoint.description))
        }
        let addresses = try peer.run { $0.sessionAddresses.map { ($0.key, "\($0.address.host):\($0.address.port)") } }
        #expect(Set(addresses.map(\.0)) == Set(relays.map(\.keys.key)))
        #expect(Set(addresses.map(\.1)) == Set(relays.map(\.endpoint.description)))
        try relays[0].stop()
        try bench.time.eventually("one") { try peer.run { $0.publishedRelays } == [relays[1].endpoint.description] }
    }
}
