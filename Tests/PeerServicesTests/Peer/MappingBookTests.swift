import PeerCore
import PeerReactor
import PeerWire
import Testing

@testable import PeerServices

@Suite("What a peer exposes", .serialized, .timeLimit(.minutes(1)))
final class MappingBookTests {
    private final class Host: MappingBookHost {
        var targets: [(id: MappingID, states: TargetStates)] = []
        var changes = 0
        func targetsChanged(_ targets: TargetStates, of id: MappingID) { self.targets.append((id, targets)) }
        func changed() { changes += 1 }
    }

    private let time = OwnedTime()
    private let log = LogLines()
    private let parts: OnLoop<(book: MappingBook, host: Host)>
    private static let id = MappingID(value: 1)
    private let server = SocketAddress(host: .ipv4([127, 0, 0, 1]), port: 8_088)

    init() throws {
        let loop = try time.loop()
        parts = try OnLoop(on: loop) { [log] in
            let (book, host) = (MappingBook(on: loop, Resolver(), log: log.logger), Host())
            book.start(for: host, LaneGroup())
            return (book, host)
        }
    }

    deinit { time.stop() }

    private func wish(_ port: UInt16, _ change: (inout MappingWish) -> Void = { _ in }) -> MappingWish {
        var wish = MappingWish(
            id: Self.id, target: .service(host: "127.0.0.1", port: port), protocols: .tcp, ports: .any(count: 1))
        change(&wish)
        return wish
    }

    private func add(_ wish: MappingWish, isTemporary: Bool = false) throws -> Bool {
        try parts.run { [server] in $0.book.add(wish, isTemporary: isTemporary, serverAddress: server) }
    }

    @Test("is there once, until it is taken back")
    func once() throws {
        let wish = wish(80)
        #expect(try add(wish))
        #expect(try !add(wish))
        #expect(try parts.run { $0.book.all } == [wish])
        #expect(try parts.run { $0.book.remove(Self.id) } == wish)
        #expect(try parts.run { $0.book.remove(Self.id) } == nil)
        #expect(try parts.run { $0.book.all.isEmpty })
    }

    @Test("ends with the process where it was made so, unless its user wants it kept")
    func temporary() throws {
        _ = try add(wish(80), isTemporary: true)
        #expect(try parts.run { $0.book.isTemporary(Self.id) })
        try parts.run { $0.book.keep(Self.id) }
        #expect(try parts.run { !$0.book.isTemporary(Self.id) })
    }

    @Test("a lease of something else is given back, but not where what was known is lost, nor of what rests")
    func unknown() throws {
        _ = try add(wish(80))
        let other = MappingID(value: 2)
        #expect(try parts.run { !$0.book.isToBeReleased(Self.id) })
        #expect(try parts.run { $0.book.isToBeReleased(other) })
        try parts.run { $0.book.resting = [other] }
        #expect(try parts.run { !$0.book.isToBeReleased(other) })
        try parts.run { parts in
            parts.book.resting = []
            parts.book.releasesUnknown = false
        }
        #expect(try parts.run { !$0.book.isToBeReleased(other) })
    }

    @Test("is for everybody, or for those that its user says")
    func visitors() throws {
        #expect(try parts.run { $0.book.visitors(of: Self.id).isForEverybody })
        let network = try Network("203.0.113.0/24")
        _ = try add(wish(80) { $0.allow = [network] })
        #expect(try parts.run { !$0.book.visitors(of: Self.id).isForEverybody })
        #expect(try parts.run { $0.book.visitors(of: Self.id).admits(HostAddress("203.0.113.9")!) })
    }

    @Test("its service is watched, and the peer hears of each change")
    func watched() throws {
        let service = try EchoService()
        let wish = wish(service.port)
        _ = try add(wish)
        try parts.run { $0.book.look(at: Self.id) }
        try time.eventually("seen") { try self.parts.run { $0.host.targets.last?.states.answering == [0] } }
        #expect(try parts.run { $0.book.targets(of: Self.id)?.answering == [0] })
        #expect(try parts.run { !$0.book.isLooking(at: Self.id) })
        service.stop()
        try time.eventually("missed") { try self.parts.run { $0.host.targets.last?.states.silent[0] != nil } }
        try time.eventually("said") { self.log.first(with: "does not answer") != nil }
    }

    @Test("of two services on one number each is watched by itself, and a relay hears when neither answers")
    func both() throws {
        let service = try EchoService()
        let port = service.port
        let both = wish(port) { $0.protocols = [.tcp, .udp] }
        _ = try add(both)
        try parts.run { $0.book.look(at: Self.id) }
        try time.eventually("both are seen") {
            let states = try self.parts.run { $0.book.services(of: Self.id) }
            let reason = "nothing takes datagrams at 127.0.0.1:\(port)"
            return states?.tcp.answering == [0] && states?.udp.silent[0] == reason
        }
        #expect(try parts.run { !$0.book.isLooking(at: Self.id) })
        #expect(try parts.run { $0.book.targets(of: Self.id) } == .answering(1))
        try time.eventually("said") { self.log.first(with: "127.0.0.1:\(port) for UDP does not answer") != nil }
        let changes = try parts.run { $0.host.changes }
        service.stop()
        try time.eventually("neither") { try self.parts.run { $0.host.targets.last?.states.silent[0] != nil } }
        #expect(try parts.run { $0.host.changes } > changes)
        let datagrams = try DatagramSocket.bound(port: port, on: .ipv4([127, 0, 0, 1]), .atTheEdge)
        try time.eventually("the other one") {
            let states = try self.parts.run { $0.book.services(of: Self.id) }
            return states?.udp.answering == [0] && states?.tcp.silent[0] != nil
        }
        #expect(try parts.run { $0.host.targets.last?.states } == .answering(1))
        withExtendedLifetime(datagrams) {}
    }

    @Test("of two services on one number, the one that a visitor did not reach is down")
    func visitorFailed() throws {
        let service = try DatagramSocket.bound(port: 0, on: .ipv4([127, 0, 0, 9]), .atTheEdge)
        let port = service.local.port
        let both = wish(port) { wish in
            wish.target = .service(host: "127.0.0.9", port: port)
            wish.protocols = [.tcp, .udp]
        }
        _ = try add(both)
        try parts.run { $0.book.look(at: Self.id) }
        try time.eventually("taken for there") {
            try self.parts.run { $0.book.services(of: Self.id)?.udp.answering == [0] }
        }
        #expect(try parts.run { $0.book.targets(of: Self.id)?.answering } == [0])
        try parts.run { $0.book.targetFailed(Self.id, 0, over: .udp, "Connection refused") }
        #expect(try parts.run { $0.book.services(of: Self.id)?.udp.silent[0] != nil })
        withExtendedLifetime(service) {}
    }

    @Test("a service for UDP that is merely tried again is said to answer when a datagram came back, and not before")
    func triedAgain() throws {
        let elsewhere = wish(9) { wish in
            wish.target = .service(host: "192.0.2.9", port: 9)
            wish.protocols = .udp
        }
        _ = try add(elsewhere)
        try parts.run { $0.book.look(at: Self.id) }
        let isUp = { try self.parts.run { $0.book.targets(of: Self.id)?.answering == [0] } }
        try time.eventually("taken for there") { try isUp() }
        for _ in 0..<3 {
            try parts.run { $0.book.targetFailed(Self.id, 0, over: .udp, "Connection refused") }
            #expect(try !isUp())
            try time.eventually("tried again") { try isUp() }
            try time.throughout(.seconds(11), "not said") { self.log.all.count <= 1 }
        }
        #expect(
            log.all == ["warning: 192.0.2.9:9 does not answer (Connection refused); a later visitor tries it again"])
        try parts.run { $0.book.targetAnswered(Self.id, 0) }
        try time.eventually("said") { self.log.all.last == "info: 192.0.2.9:9 answers again" }
        try parts.run { $0.book.targetAnswered(Self.id, 0) }
        try time.throughout(.seconds(11), "once") { self.log.all.count == 2 }
    }

    @Test("a service that comes and goes is told of at once, and then every ten seconds at most")
    func flapping() throws {
        var service = try EchoService()
        let port = service.port
        _ = try add(wish(port))
        try parts.run { $0.book.look(at: Self.id) }
        for _ in 0..<5 {
            try time.eventually("seen") { try self.parts.run { $0.host.targets.last?.states.answering == [0] } }
            service.stop()
            try time.eventually("missed") { try self.parts.run { $0.host.targets.last?.states.silent[0] != nil } }
            service = try EchoService(port: port)
        }
        let span = time.clock.now - .zero
        #expect(log.all.count <= 2 + Int(span.nanoseconds / 10_000_000_000), "\(log.all)")
        service.stop()
    }

    @Test("a service on demand is taken for one that answers; watched from now on, it is looked at")
    func onDemand() throws {
        let service = try EchoService()
        service.stop()
        let onDemand = wish(service.port) { $0.isOnDemand = true }
        _ = try add(onDemand)
        #expect(try parts.run { $0.book.targets(of: Self.id) } == .answering(1))
        let watched = wish(service.port)
        #expect(try parts.run { $0.book.change(watched) })
        try time.eventually("missed") { try self.parts.run { $0.host.targets.last?.states.silent[0] != nil } }
        #expect(try parts.run { $0.book.change(onDemand) })
        #expect(try parts.run { $0.book.targets(of: Self.id) } == .answering(1))
    }

    @Test("another target is another mapping")
    func otherTarget() throws {
        _ = try add(wish(80))
        let other = wish(81)
        #expect(try parts.run { !$0.book.change(other) })
        let unknown = wish(80) { $0.id = MappingID(value: 9) }
        #expect(try parts.run { !$0.book.change(unknown) })
        let renamed = wish(80) { $0.name = "web" }
        #expect(try parts.run { $0.book.change(renamed) })
        #expect(try parts.run { $0.book[Self.id]?.name } == "web")
    }

    @Test(
        "that its service answers from elsewhere is said once in ten minutes, with what to do",
        arguments: [true, false])
    func strays(_ isItsHost: Bool) throws {
        _ = try add(wish(5_000) { $0.ports = .any(count: 2) })
        let source = DatagramAddress(HostAddress(isItsHost ? "127.0.0.1" : "192.0.2.7")!, port: 41_234)
        func report() throws { try parts.run { $0.book.strayAnswer(Self.id, 1, from: source) } }
        for _ in 0..<5 { try report() }
        let advice = isItsHost ? "the port that it is asked at" : "expose the other one"
        let line = try #require(log.first(with: "service 127.0.0.1:5001 answers from \(source) instead of its own"))
        #expect(line.hasPrefix("warning: ") && line.hasSuffix(advice) && log.count(of: "answers from") == 1)
        try time.throughout(.seconds(590), "all that is said", step: .seconds(10)) {
            try report()
            return log.count(of: "answers from") == 1
        }
        try time.eventually("said again", within: .seconds(20), step: .seconds(1)) {
            try report()
            return log.count(of: "answers from") == 2
        }
        // Of what is not exposed any more, nothing.
        _ = try parts.run { $0.book.remove(Self.id) }
        try report()
        #expect(log.count(of: "answers from") == 2)
    }

    @Test("this node's own server is not watched")
    func serverPort() throws {
        let own = wish(0) { $0.target = .serverPort }
        _ = try add(own)
        #expect(try parts.run { $0.book.targets(of: Self.id) } == .answering(1))
        #expect(try parts.run { !$0.book.isLooking(at: Self.id) })
    }

    @Test("nothing is heard of what was taken back")
    func removed() throws {
        let service = try EchoService()
        _ = try add(wish(service.port))
        try parts.run { parts in
            parts.book.look(at: Self.id)
            _ = parts.book.remove(Self.id)
            parts.host.targets = []
        }
        service.stop()
        try time.throughout(.seconds(3), "silent") { try self.parts.run { $0.host.targets.isEmpty } }
        #expect(try parts.run { $0.book.targets(of: Self.id) } == nil)
    }
}
