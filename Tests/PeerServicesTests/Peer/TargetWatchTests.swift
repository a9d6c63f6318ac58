import PeerCore
import PeerReactor
import PeerWire
import Testing

@testable import PeerServices

@Suite("A watch over a mapping's target", .serialized, .timeLimit(.minutes(1)))
final class TargetWatchTests {
    private final class Words {
        var all: [TargetWatch.Word] = []
        var answers = 0
    }

    private let time = OwnedTime()
    private let loop: EventLoop

    init() throws { loop = try time.loop() }

    deinit { time.stop() }

    private func watch(
        _ host: String, _ port: UInt16, count: Int = 1, isOnDemand: Bool = false,
        protocols: TransportProtocols = .tcp, isBesideDatagrams: Bool = false
    ) throws -> OnLoop<(watch: TargetWatch, words: Words)> {
        let loop = loop
        return try OnLoop(on: loop) {
            let words = Words()
            var wish = MappingWish(
                id: MappingID(value: 1), target: .service(host: host, port: port), protocols: protocols,
                ports: .any(count: count))
            wish.isOnDemand = isOnDemand
            let watch = TargetWatch(
                on: loop, Resolver(), ListenerTables(on: loop), Endpoint(host: host, port: port), for: wish,
                isBesideDatagrams: isBesideDatagrams
            ) { words.all.append($0) }
            watch.onAnswered = { words.answers += 1 }
            watch.ask()
            return (watch, words)
        }
    }

    private func last(_ watched: OnLoop<(watch: TargetWatch, words: Words)>) throws -> TargetWatch.Word? {
        try watched.run { $0.words.all.last }
    }

    @Test("says that it answers, and where", arguments: ["127.0.0.1", "localhost"])
    func answers(_ host: String) throws {
        let service = try EchoService()
        let watched = try watch(host, service.port)
        try time.eventually("seen") { try self.last(watched)?.states.answering == [0] }
        #expect(try last(watched)?.addresses.first?.port == service.port)
        #expect(try watched.run { $0.words.answers } >= 1)
        #expect(try watched.run { !$0.watch.isLooking })
    }

    @Test("says that it does not, and within a second of its coming that it does")
    func comes() throws {
        let service = try EchoService()
        service.stop()
        let watched = try watch("127.0.0.1", service.port)
        try time.eventually("seen") { try self.last(watched)?.states.silent[0] != nil }
        let reason = try last(watched)?.states.silent[0]
        #expect(reason?.hasPrefix("127.0.0.1:\(service.port) does not answer") == true, "\(reason ?? "")")
        let again = try EchoService(port: service.port)
        let began = time.clock.now
        try time.eventually("seen") { try self.last(watched)?.states.answering == [0] }
        #expect(time.clock.now - began <= .seconds(1))
        again.stop()
        try time.eventually("missed") { try self.last(watched)?.states.silent[0] != nil }
    }

    @Test("looks at each port of a range, and says what many have to say together")
    func range() throws {
        let services = try EchoService.consecutive(4)
        services[1].stop()
        services[3].stop()
        let watched = try watch("127.0.0.1", services[0].port, count: 4)
        try time.eventually("seen") {
            let states = try self.last(watched)?.states
            return states?.answering == [0, 2] && Set(states?.silent.keys ?? [:].keys) == [1, 3]
        }
        #expect(try watched.run { $0.words.all.count } <= 2)
    }

    @Test("hears of a visitor that could not be connected, and says so")
    func visitor() throws {
        let service = try EchoService()
        let watched = try watch("127.0.0.1", service.port)
        try time.eventually("seen") { try self.last(watched)?.states.answering == [0] }
        service.stop()
        try watched.run { $0.watch.targetFailed(0, "connection refused") }
        #expect(try last(watched)?.states.silent[0] != nil)
        #expect(try last(watched)?.error == "connection refused")
    }

    @Test("a name that there is not is named")
    func noName() throws {
        let watched = try watch("nowhere.invalid", 80)
        try time.eventually("seen", step: .milliseconds(200)) { try self.last(watched)?.states.silent[0] != nil }
        #expect(try last(watched)?.states.silent[0]?.contains("nowhere.invalid:80") == true)
    }

    @Test("a service on demand is never connected to; of its name it says where that leads")
    func onDemand() throws {
        let service = try EchoService()
        service.stop()
        let numeric = try watch("127.0.0.1", service.port, isOnDemand: true)
        let named = try watch("localhost", service.port, isOnDemand: true)
        try time.eventually("looked up") { try self.last(named) != nil }
        #expect(try last(named)?.addresses.contains { $0.hostText == "127.0.0.1" || $0.hostText == "::1" } == true)
        #expect(try named.run { $0.watch.isLooking } == false)
        try time.throughout(.seconds(2), "without a word") { try self.last(numeric) == nil }
    }

    @Test(
        "of a service for UDP on this machine knows whether a socket is bound to its port, at each of its addresses",
        arguments: ["127.0.0.1", "127.0.0.2", "::1"])
    func datagrams(_ host: String) throws {
        let own = try #require(SocketAddress(numeric: host, port: 0)).host
        var service: DatagramSocket? = try DatagramSocket.bound(port: 0, on: own, .atTheEdge)
        let port = try #require(service).local.port
        let watched = try watch(host, port, protocols: .udp)
        try time.eventually("seen") { try self.last(watched)?.states.answering == [0] }
        service = nil
        try time.eventually("gone") { try self.last(watched)?.states.silent[0] != nil }
        let reason = try last(watched)?.states.silent[0]
        let place = Endpoint(host: host, port: port)
        #expect(reason == "nothing takes datagrams at \(place)", "\(reason ?? "")")
        service = try DatagramSocket.bound(port: port, on: own, .atTheEdge)
        try time.eventually("seen again") { try self.last(watched)?.states.answering == [0] }
        #expect(try last(watched)?.isUnseen == false)
        withExtendedLifetime(service) {}
    }

    @Test("of a name's addresses for UDP takes the one where a socket is bound")
    func datagramsByName() throws {
        let service = try DatagramSocket.bound(port: 0, on: .ipv4([127, 0, 0, 1]), .atTheEdge)
        let watched = try watch("localhost", service.local.port, protocols: .udp)
        try time.eventually("seen") { try self.last(watched)?.states.answering == [0] }
        #expect(try last(watched)?.addresses.first?.hostText == "127.0.0.1")
        withExtendedLifetime(service) {}
    }

    @Test("of a service for UDP elsewhere takes it for there, until a visitor's datagram was refused")
    func datagramsElsewhere() throws {
        let watched = try watch("192.0.2.9", 9, protocols: .udp)
        try time.eventually("taken for there") { try self.last(watched)?.states.answering == [0] }
        #expect(try last(watched)?.isUnseen == true)
        try watched.run { $0.watch.targetFailed(0, "Connection refused") }
        #expect(try last(watched)?.states.silent[0] != nil)
        try time.eventually("tried again") { try self.last(watched)?.states.answering == [0] }
        #expect(try last(watched)?.doubted == [0])
        try watched.run { $0.watch.targetAnswered(0) }
        #expect(try last(watched)?.doubted == [] && last(watched)?.states.answering == [0])
    }

    @Test("a service that speaks UDP is named where TCP alone was asked for", arguments: [false, true])
    func forgottenFlag(_ areBoth: Bool) throws {
        let service = try DatagramSocket.bound(port: 0, on: .ipv4([127, 0, 0, 1]), .atTheEdge)
        let port = service.local.port
        let watched = try watch("127.0.0.1", port, isBesideDatagrams: areBoth)
        try time.eventually("seen") { try self.last(watched)?.states.silent[0] != nil }
        let reason = try last(watched)?.states.silent[0]
        let hint = areBoth ? "" : "; a program has that port for UDP: --udp"
        #expect(reason == "127.0.0.1:\(port) does not answer\(hint)", "\(reason ?? "")")
        withExtendedLifetime(service) {}
    }

    @Test("is silent once it is stopped")
    func stopped() throws {
        let service = try EchoService()
        let watched = try watch("127.0.0.1", service.port)
        let before = try watched.run { parts in
            parts.watch.stop()
            return parts.words.all.count
        }
        service.stop()
        try time.throughout(.seconds(3), "silent") { try watched.run { $0.words.all.count } == before }
    }
}
