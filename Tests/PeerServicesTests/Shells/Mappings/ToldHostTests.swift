import PeerCore
import PeerReactor
import PeerServices
import PeerWire
import Testing

@Suite("Hosts that a relay tells visitors", .timeLimit(.minutes(2)))
struct ToldHostTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    /// A relay that tells visitors that host, and a mapping there, when it has come to an end.
    private func mapping(toldAt host: String, until state: MappingState) throws -> (ExposedMapping, ShellBench.Peer) {
        let relay = try bench.relay { $0.advertised = host }
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        var mapping: ExposedMapping?
        try bench.time.eventually("settled") {
            mapping = try peer.mapping(id)
            return mapping?.state == state && (state != .active || mapping?.reason != nil)
        }
        return (try #require(mapping), peer)
    }

    @Test("that nobody tried: the port works, is not called verified, and the reason says where it works")
    func untried() throws {
        let (mapping, _) = try mapping(toldAt: "192.0.2.77", until: .active)
        #expect(mapping.host == "192.0.2.77")
        #expect(mapping.reason?.contains("works at 127.0.0.1") == true, "\(mapping.reason ?? "")")
        let port = try #require(mapping.ports?.first)
        #expect(try Visitor.says([1], to: port) == .bytes([1]))
    }

    @Test("a name that leads to where the peer reaches the relay is as good as its address")
    func name() throws {
        let (mapping, _) = try mapping(toldAt: "localhost", until: .verified)
        #expect(mapping.host == "localhost")
    }

    @Test("a name that leads nowhere is not waited for, and the port works")
    func noSuchName() throws {
        let (mapping, _) = try mapping(toldAt: "relay.invalid", until: .active)
        #expect(mapping.host == "relay.invalid" && mapping.reason?.contains("works at") == true)
    }

    @Test("an address that the user's configuration names is dialled itself; where it is closed the log says so, once")
    func closed() throws {
        let (mapping, peer) = try mapping(toldAt: "127.0.0.77", until: .unreachable)
        #expect(mapping.standings.first?.state == .unreachable)
        let line = try #require(peer.log.first(with: "cannot be reached from outside"))
        #expect(line.hasPrefix("warning: 127.0.0.77:") && line.contains("-> 127.0.0.1:\(service.port)"), "\(line)")
        #expect(line.contains("open TCP ports 20000-29999 in the firewall of relay 127.0.0.1:"), "\(line)")
        try bench.time.throughout(.seconds(20), "said once", step: .milliseconds(200)) {
            peer.log.count(of: "cannot be reached") == 1
        }
    }

    @Test("a relay that advertises nothing tells each peer the host by which that peer reached it")
    func dialled() throws {
        let relay = try bench.relay(at: 3)
        let peer = try bench.peer(at: [relay])
        let id = try peer.expose(1, port: service.port)
        _ = try bench.port(of: id, at: peer)
        #expect(try peer.mapping(id)?.host == "127.0.0.3")
        #expect(try relay.carried.first?.host == "127.0.0.3")
    }
}
