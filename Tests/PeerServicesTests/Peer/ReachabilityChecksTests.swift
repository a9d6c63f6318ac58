import PeerCore
import PeerDataPlane
import PeerReactor
import PeerWire
import Testing

@testable import PeerServices

@Suite("Checks of a relay's public ports", .timeLimit(.minutes(1)))
final class ReachabilityChecksTests {
    /// A peer with one relay, whose agreement a test drives by hand.
    private final class Host: ReachabilityChecksHost, RelayConnectionHost {
        var relays: [UsedRelay] = []
        var failures: [(offset: UInt16, reason: String)] = []
        var others: [String] = []

        func isSilent(_ key: NodeKey) -> Bool { false }
        func handle(_ event: PeerPortAgreement.Event, _ id: MappingID, _ relay: UsedRelay) {
            if case .checkFailed(let offset, let reason) = event {
                failures.append((offset, reason))
            } else {
                others.append("\(event)")
            }
        }

        func mayDial(_ endpoint: Endpoint) -> Bool { true }
        func trust(in key: NodeKey, at connection: RelayConnection) -> RelayConnection.Trust {
            RelayConnection.Trust(
                credentials: KnownRelays().credentials(
                    for: key, at: connection.endpoint.description, own: [ShellBench.meshKey],
                    isTokenFor: { _, _ in true }),
                hidesToken: false)
        }
        func heard(from connection: RelayConnection) {}
        func established(_ connection: RelayConnection, _ terms: SessionTerms, channels: Int) {}
        func deliver(_ message: RelayMessage, from connection: RelayConnection) {}
        func measured(_ latency: Instant.Span, of connection: RelayConnection) {}
        func lost(_ connection: RelayConnection, _ terms: SessionTerms?) {
            for relay in relays { relay.checks.sessionLost() }
        }
        func fell(_ connection: RelayConnection, _ reason: String) {}
        func superseded(_ connection: RelayConnection, _ detail: String) {}
        func changed() {}
    }

    private typealias Parts = (checks: ReachabilityChecks, host: Host, relay: UsedRelay)

    private static let id = MappingID(value: 1)
    private let bench: ShellBench
    private let made: OnLoop<Parts>

    init() throws {
        bench = try ShellBench(.encrypted)
        let relay = try bench.relay()
        let (loop, seed, endpoint) = (try bench.time.loop(), ShellBench.seed(2), relay.endpoint)
        let keys = try KeyRing(NodeIdentity(seed: seed)!, seed: seed, history: KeyHistory())
        let log = LogLines()
        made = try OnLoop(on: loop) {
            let start = ShellBench.process(1)
            let introduction = PeerMessage.Introduction(
                instance: start.instance, name: "peer", dialled: "", software: "test", wantsPlain: false,
                began: start.number)
            let parts = RelayConnection.Parts(
                loop: loop, keys: keys, carriers: .encrypted(keys), introduction: introduction, log: log.logger)
            let book = MappingBook(on: loop, parts.resolver, log: log.logger)
            let judge = DialGuard(widened: [])
            let checks = ReachabilityChecks(on: loop, parts.resolver, keys: keys, judge: judge, book)
            let host = Host()
            checks.host = host
            let relay = UsedRelay(RelayConnection(to: endpoint, parts, host: host), lane: 0)
            host.relays = [relay]
            let wish = MappingWish(
                id: Self.id, target: .service(host: "127.0.0.1", port: 80), protocols: .tcp, ports: .any(count: 1))
            relay.agreements[Self.id] = PeerPortAgreement(wish: wish, targetText: "", remembered: nil)
            relay.connection.start()
            return (checks, host, relay)
        }
        try bench.time.eventually("established") { try self.made.run { $0.relay.isEstablished } }
    }

    private func check(_ port: UInt16, told host: String = "127.0.0.1", offset: UInt16 = 0) throws {
        try made.run { parts in
            parts.checks.check(
                PortCheck(mapping: Self.id, host: host, port: port, offset: offset), at: parts.relay)
        }
    }

    private func failures(_ count: Int) throws -> [String] {
        try bench.time.eventually("answered") { try self.made.run { $0.host.failures.count >= count } }
        return try made.run { $0.host.failures.map(\.reason) }
    }

    @Test("say what was found: nobody")
    func nobody() throws {
        let service = try EchoService()
        service.stop()
        try check(service.port)
        #expect(try failures(1)[0].hasPrefix("127.0.0.1:\(service.port) cannot be connected to from here:"))
    }

    @Test("say what was found: something else")
    func somethingElse() throws {
        let service = try EchoService()
        try check(service.port)
        #expect(try failures(1)[0].hasPrefix("127.0.0.1:\(service.port) "))
        #expect(try made.run { $0.host.others.isEmpty })
    }

    @Test("dial the relay itself, whatever host it tells visitors", arguments: ["192.0.2.7", "localhost", "x.invalid"])
    func itself(_ host: String) throws {
        let service = try EchoService()
        service.stop()
        try check(service.port, told: host)
        #expect(try failures(1)[0].hasPrefix("127.0.0.1:\(service.port) cannot be connected to from here:"))
    }

    @Test("of many ports are made a few at once, and each has its answer")
    func many() throws {
        let service = try EchoService()
        service.stop()
        for offset in UInt16(0)..<100 { try check(service.port, offset: offset) }
        _ = try failures(100)
        #expect(try made.run { Set($0.host.failures.map(\.offset)) } == Set(0..<100))
    }

    @Test("of a mapping that is not there any more are not made")
    func gone() throws {
        let service = try EchoService()
        service.stop()
        try made.run { $0.relay.agreements = [:] }
        try check(service.port)
        try bench.time.throughout(.seconds(1), "silent") { try self.made.run { $0.host.failures.isEmpty } }
    }

    @Test("end with their session: what comes of them then is nobody's")
    func lost() throws {
        let service = try EchoService()
        try made.run { parts in
            for offset in UInt16(0)..<40 {
                parts.checks.check(
                    PortCheck(mapping: Self.id, host: "127.0.0.1", port: service.port, offset: offset),
                    at: parts.relay)
            }
            parts.relay.connection.close(because: "the test wants it so")
        }
        try bench.time.eventually("back") { try self.made.run { $0.relay.isEstablished } }
        try bench.time.throughout(.seconds(4), "silent") { try self.made.run { $0.host.failures.isEmpty } }
        // There is room for those of the next one.
        service.stop()
        try check(service.port)
        #expect(try failures(1).count == 1)
    }

    @Test("that another relay was never asked for are not answered by it")
    func unasked() throws {
        try made.run { $0.checks.verifierAnswered(7, passed: true, $0.relay) }
        #expect(try made.run { $0.host.others.isEmpty })
    }
}
