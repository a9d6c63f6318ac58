import PeerCore
import PeerReactor
import PeerServices
import PeerWire
import Testing

@Suite("What a relay's limits leave to peers and visitors", .timeLimit(.minutes(2)))
struct LimitTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    @Test("visitors beyond the limit of a membership are turned away, and let in when others have gone")
    func connections() throws {
        let (relay, peer) = try bench.holder { $0.limits.connections = 3 }
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        var visitors = try (0..<3).map { _ in try HeldVisitor(to: port) }
        for visitor in visitors { #expect(visitor.echoes(5)) }
        for _ in 0..<4 { #expect(try Visitor.says([1], to: port) == .brokenOff) }
        #expect(try relay.traffic.map(\.refused) == [4])
        #expect(try relay.traffic.map(\.open) == [3])
        visitors.removeLast()
        try bench.time.eventually("served") { try Visitor.says([1], to: port) == .bytes([1]) }
        for visitor in visitors { #expect(visitor.echoes(6)) }
    }

    @Test("visitors that come too fast for a membership are turned away, and a second later they are not")
    func perSecond() throws {
        let (_, peer) = try bench.holder { $0.limits.connectionsPerSecond = 5 }
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        try bench.time.throughout(.seconds(2), "verified") { try peer.verifiedPorts(MappingID(value: 1)) == [port] }
        let answers = try (0..<12).map { _ in try Visitor.says([1], to: port) }
        let served = answers.count { $0 == .bytes([1]) }
        #expect(served >= 1 && served <= 6, "\(served)")
        try bench.time.throughout(.seconds(2), "there") { try peer.mapping(MappingID(value: 1)) != nil }
        #expect(try Visitor.says([1], to: port) == .bytes([1]))
    }

    @Test("a mapping beyond the limit of a membership is refused, and given a port when another one is taken back")
    func mappings() throws {
        let (_, peer) = try bench.holder { $0.limits.mappings = 2 }
        let ids = try (1...2).map { try peer.expose($0, port: service.port) }
        for id in ids { _ = try bench.port(of: id, at: peer) }
        let third = try peer.expose(3, port: service.port)
        try bench.time.eventually("refused") { try peer.mapping(third)?.refusal == .limitReached }
        #expect(peer.log.first(with: "refuses 127.0.0.1:\(service.port)") != nil)
        #expect(try peer.run { $0.unmap(ids[0]) })
        _ = try bench.port(of: third, at: peer)
    }

    @Test("a token for some ports gives one of those, and refuses others with the words that say which")
    func ports() throws {
        let own = try FreePorts.range(2)
        let (_, peer) = try bench.holder { $0.ports = [own] }
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        #expect(own.ports.contains(port))
        let foreign = try peer.expose(2, port: service.port, .exactly(.init(first: own.last + 1, count: 1)!))
        try bench.time.eventually("refused") { try peer.mapping(foreign)?.refusal == .notGranted }
        #expect(try peer.mapping(foreign)?.reason?.contains("\(own)") == true)
    }

    @Test("where all ports are taken a mapping is told so, and gets the first one that is free")
    func noPortFree() throws {
        let range = try FreePorts.range(2)
        let relay = try bench.relay { $0.policy.ports = PublicPorts(range) }
        let first = try bench.peer(at: [relay])
        let ids = try (1...2).map { try first.expose($0, port: service.port) }
        for id in ids { _ = try bench.port(of: id, at: first) }
        let second = try bench.peer(seed: 3, at: [relay])
        let waiting = try second.expose(1, port: service.port)
        try bench.time.eventually("refused") { try second.mapping(waiting)?.refusal == .noPortFree }
        let port = try first.verified(ids[0])
        #expect(try first.run { $0.unmap(ids[0]) })
        #expect(try bench.port(of: waiting, at: second) == port)
    }

    @Test("a number that something else has on the relay's machine is refused, and given when it is free")
    func taken() throws {
        let relay = try bench.relay()
        let wanted = try FreePorts.range(1)
        let other = try EchoService(port: wanted.first)
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port, .exactly(wanted))
        try bench.time.eventually("refused") { try peer.mapping(id)?.refusal == .portTaken }
        other.stop()
        #expect(try bench.port(of: id, at: peer) == wanted.first)
    }

    @Test("a range is given as a whole, around what is taken")
    func around() throws {
        let ports = try FreePorts.range(8)
        let other = try EchoService(port: ports.first + 3)
        let relay = try bench.relay { $0.policy.ports = PublicPorts(ports) }
        let services = try EchoService()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: services.port, .any(count: 4))
        try bench.time.eventually("given") {
            try peer.mapping(id)?.ports == PortRange(first: ports.first + 4, count: 4)
        }
        other.stop()
    }

    @Test("more ports than a mapping may have are refused")
    func tooMany() throws {
        let relay = try bench.relay { $0.policy.maximumPortsPerMapping = 2 }
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port, .any(count: 3))
        try bench.time.eventually("refused") { try peer.mapping(id)?.refusal == .limitReached }
    }

    @Test("a relay's own filter keeps visitors out of every mapping, whatever the mapping says")
    func filter() throws {
        let stranger = try Network("127.0.0.5/32")
        let relay = try bench.relay { setup in
            setup.visitorPolicy.filter = NetworkFilter(deny: [stranger])
        }
        let peer = try bench.peer(at: [relay])
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        let denied = try HeldVisitor(to: port, from: 5)
        #expect(!denied.echoes(1))
        let admitted = try HeldVisitor(to: port, from: 6)
        #expect(admitted.echoes(1))
        #expect(try relay.traffic.map(\.refused) == [1])
    }

    @Test("a mapping's filter has `deny` win over `allow`")
    func mappingFilter() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let (all, one) = (try Network("127.0.0.0/24"), try Network("127.0.0.5/32"))
        let id = try peer.expose(1, port: service.port) { wish in
            wish.allow = [all]
            wish.deny = [one]
        }
        let port = try bench.port(of: id, at: peer)
        #expect(try HeldVisitor(to: port, from: 6).echoes(1))
        #expect(try !HeldVisitor(to: port, from: 5).echoes(1))
        let filter = try #require(try relay.carried.first?.standing.filter)
        #expect(filter.admits(HostAddress("127.0.0.6")!) && !filter.admits(HostAddress("127.0.0.5")!))
    }

    @Test("a relay with few files left over says so at its start")
    func fewFiles() throws {
        let relay = try bench.relay { setup in
            setup.visitorPolicy.reserve = ReserveGate(
                descriptors: .init(limit: 300, reserve: 100), buffers: .init(limit: 1 << 30, reserve: 0))
        }
        #expect(relay.log.first(with: "with 300 open files there is room for") != nil)
    }
}
