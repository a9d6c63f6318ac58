import PeerCore
import PeerReactor
import PeerServices
import PeerWire
import Testing

@Suite("Services behind mappings", .timeLimit(.minutes(2)))
struct TargetTests {
    private let bench: ShellBench

    init() throws { bench = try ShellBench() }

    @Test("one that is down when it is exposed has a port that refuses, and works once it is there")
    func downAtFirst() throws {
        let service = try EchoService()
        service.stop()
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        try bench.time.eventually("seen to be down") { try peer.mapping(id)?.state == .targetDown }
        let mapping = try #require(try peer.mapping(id))
        #expect(mapping.reason?.contains("127.0.0.1:\(service.port) does not answer") == true)
        let port = try #require(mapping.ports?.first)
        #expect(try Visitor.says([1], to: port) == .refused)
        #expect(relay.store.leases.map(\.ports.first) == [port])
        let again = try EchoService(port: service.port)
        #expect(try bench.port(of: id, at: peer) == port)
        #expect(try Visitor.says([2], to: port) == .bytes([2]))
        again.stop()
    }

    @Test("those who are connected when a service goes down are served by it as long as it likes")
    func connected() throws {
        let service = try EchoService()
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        let visitor = try HeldVisitor(to: try bench.port(of: id, at: peer))
        #expect(visitor.echoes(1))
        service.stop()
        try bench.time.eventually("seen to be down") { try peer.mapping(id)?.state == .targetDown }
        #expect(visitor.echoes(2))
    }

    @Test("a visitor that finds nobody tells the peer, which looks before its next turn")
    func visitorTells() throws {
        let service = try EchoService(at: 2)
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port) { $0.target = .service(host: "127.0.0.2", port: service.port) }
        let port = try bench.port(of: id, at: peer)
        service.stop()
        #expect(try Visitor.says([1], to: port) == .brokenOff)
        try bench.time.eventually("seen to be down", within: .seconds(1)) {
            try peer.mapping(id)?.state == .targetDown
        }
    }

    @Test("the ports of a range are up and down each by itself, and a new visitor of a dead one is refused")
    func range() throws {
        let services = try EchoService.consecutive(3)
        services[1].stop()
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: services[0].port, .any(count: 3))
        func states() throws -> [MappingState] { try peer.mapping(id)?.standings.map(\.state) ?? [] }
        try bench.time.eventually("each as it is") { try states() == [.verified, .targetDown, .verified] }
        let first = try #require(try peer.mapping(id)?.ports?.first)
        #expect(try Visitor.says([1], to: first + 1) == .refused)
        let again = try EchoService(port: services[1].port)
        try bench.time.eventually("all there") { try states() == [.verified, .verified, .verified] }
        for offset in UInt16(0)..<3 { #expect(try Visitor.says([9], to: first + offset) == .bytes([9])) }
        services[0].stop()
        services[2].stop()
        try bench.time.eventually("each as it is") { try states() == [.targetDown, .verified, .targetDown] }
        #expect(try Visitor.says([1], to: first + 1) == .bytes([1]))
        again.stop()
    }

    @Test("a name that there is not is named, and one that leads to this machine works")
    func names() throws {
        let service = try EchoService()
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let named = try peer.expose(1, port: service.port) { wish in
            wish.target = .service(host: "localhost", port: service.port)
        }
        let nowhere = try peer.expose(2, port: 80) { $0.target = .service(host: "nowhere.invalid", port: 80) }
        let port = try bench.port(of: named, at: peer)
        #expect(try Visitor.says([1], to: port) == .bytes([1]))
        try bench.time.eventually("named", step: .milliseconds(200)) {
            try peer.mapping(nowhere)?.reason?.contains("nowhere.invalid:80") == true
        }
        #expect(try peer.mapping(nowhere)?.state == .targetDown)
    }

    @Test("many that are down at the start stand in one line of the log, which counts them")
    func manyDown() throws {
        let services = try (0..<12).map { _ in try EchoService() }
        for service in services.dropFirst() { service.stop() }
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        for (index, service) in services.enumerated() { try peer.expose(UInt64(index + 1), port: service.port) }
        try bench.time.eventually("said") { peer.log.first(with: "targets do not answer") != nil }
        let line = try #require(peer.log.first(with: "targets do not answer"))
        #expect(line.hasPrefix("warning: 11 targets do not answer (") && line.contains("and 6 more"), "\(line)")
        let again = try EchoService(port: services[1].port)
        try bench.time.eventually("said", within: .seconds(20)) {
            peer.log.first(with: "127.0.0.1:\(again.port) answers again") != nil
        }
        again.stop()
        try bench.time.eventually("said", within: .seconds(20)) {
            peer.log.first(with: "127.0.0.1:\(again.port) does not answer") != nil
        }
    }

    @Test("a service that is watched no longer has an open port, and one that is watched again has not")
    func onDemand() throws {
        let service = try EchoService()
        service.stop()
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        try bench.time.eventually("seen to be down") { try peer.mapping(id)?.state == .targetDown }
        var wish = try #require(try peer.mapping(id)).wish
        wish.isOnDemand = true
        try peer.run { [wish] in $0.change(wish) }
        let port = try bench.port(of: id, at: peer)
        #expect(try Visitor.says([1], to: port) == .brokenOff)
        wish.isOnDemand = false
        try peer.run { [wish] in $0.change(wish) }
        try bench.time.eventually("seen to be down") { try peer.mapping(id)?.state == .targetDown }
        try bench.time.eventually("closed") { try Visitor.says([1], to: port) == .refused }
    }

    @Test("a port of this machine that only listens on its IPv6 address is pointed out")
    func neighbour() throws {
        let service = try EchoService()
        service.stop()
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        try bench.time.eventually("seen to be down") { try peer.mapping(id)?.state == .targetDown }
        // Nothing is on the other one either.
        #expect(try peer.mapping(id)?.reason?.contains("--target") == false)
        try peer.run { $0.look(at: id) }
        try bench.time.eventually("looked at") { try peer.run { !$0.isLooking(at: id) } }
    }
}
