import PeerCore
import PeerServices
import PeerWire
import Testing

@Suite("What a relay's policy lets peers and visitors do", .timeLimit(.minutes(2)))
struct PolicyTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    private func wish(_ number: UInt64, _ change: (inout MappingWish) -> Void) -> MappingWish {
        var wish = MappingWish(
            id: MappingID(value: number), target: .service(host: "127.0.0.1", port: service.port), protocols: .tcp,
            ports: .any(count: 1))
        change(&wish)
        return wish
    }

    @Test("a port outside of what the relay gives out is refused, and one inside is given")
    func outside() throws {
        let relay = try bench.relay { $0.policy.ports = PublicPorts(PortRange(first: 21_000, last: 21_999)!) }
        let peer = try bench.peer(at: [relay])
        let outside = try peer.expose(1, port: service.port, .exactly(.init(first: 30_000, count: 1)!))
        try bench.time.eventually("refused") { try peer.mapping(outside)?.refusal == .portNotAllowed }
        let port = try bench.port(of: peer.expose(2, port: service.port), at: peer)
        #expect((21_000...21_999).contains(port))
    }

    @Test("visitors whom a mapping is not for are reset, and the peer's own check still proves it")
    func filtered() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let others = wish(1) { $0.allow = [try! Network("203.0.113.0/24")] }
        try peer.run { $0.add(others, isTemporary: true) }
        let port = try bench.port(of: others.id, at: peer)
        #expect(try Visitor.says([1], to: port) == .brokenOff)
        // The user lets everybody in: the same port, and visitors are served.
        let everybody = wish(1) { _ in }
        try peer.run { $0.change(everybody) }
        try bench.time.eventually("open") { try Visitor.says([1], to: port) == .bytes([1]) }
        #expect(try bench.port(of: others.id, at: peer) == port)
    }

    @Test("a relay that is full takes no further session, and says so")
    func full() throws {
        let relay = try bench.relay { $0.policy.maximumSessions = 1 }
        let first = try bench.peer(at: [relay])
        try bench.time.eventually("connected") { try first.standing(at: relay)?.state == .connected }
        let second = try bench.peer(seed: 3, at: [relay])
        try bench.time.eventually("turned away") { try second.standing(at: relay)?.reason != nil }
        #expect(try second.standing(at: relay)?.reason?.contains("limit") == true)
        #expect(try relay.sessions == 1)
    }

    @Test("a mapping of three ports has three in a row, and each leads to its own port of the service")
    func range() throws {
        let services = try EchoService.consecutive(3)
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: services[0].port, .any(count: 3))
        let first = try bench.port(of: id, at: peer)
        for offset in 0..<3 {
            #expect(try Visitor.says([UInt8(offset)], to: first + UInt16(offset)) == .bytes([UInt8(offset)]))
        }
        // One of them goes: its public port refuses, and the others serve on.
        services[1].stop()
        try bench.time.eventually("closed") { try Visitor.says([1], to: first + 1) == .refused }
        #expect(try Visitor.says([9], to: first + 2) == .bytes([9]))
    }

    @Test("a service on demand is dialled when a visitor comes, and its port stays open while it is down")
    func onDemand() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let wish = wish(1) { $0.isOnDemand = true }
        service.stop()
        try peer.run { $0.add(wish, isTemporary: true) }
        let port = try bench.port(of: wish.id, at: peer)
        #expect(try Visitor.says([1], to: port) == .brokenOff)
        let again = try EchoService(port: service.port)
        #expect(try Visitor.says([1], to: port) == .bytes([1]))
        again.stop()
    }

    @Test("the node's own server port is exposed under the number that it has here, where that is free")
    func serverPort() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        let wish = wish(1) { $0.target = .serverPort }
        try peer.run { $0.add(wish, isTemporary: true) }
        _ = try bench.port(of: wish.id, at: peer)
    }
}
