import PeerCore
import PeerReactor
import PeerWire
import Testing

@testable import PeerServices

@Suite("Checks that peers ask a relay for", .serialized, .timeLimit(.minutes(1)))
final class ChecksForPeersTests {
    private final class Answers {
        var all: [Bool] = []
    }

    private let time = OwnedTime()
    private let checks: OnLoop<(checks: ChecksForPeers, answers: Answers)>
    private let key = NodeIdentity(seed: ShellBench.seed(1))!.key

    init() throws {
        let loop = try time.loop()
        checks = try OnLoop(on: loop) {
            let judge = DialGuard(widened: [Network(of: HostAddress(bytes: [127, 0, 0, 0])!, prefixLength: 8)])
            return (ChecksForPeers(on: loop, judge: judge), Answers())
        }
    }

    deinit { time.stop() }

    private func ask(host: String, port: UInt16, hasMet: Bool = true) throws {
        let request = PeerMessage.CheckRequest(
            number: 1, mapping: MappingID(value: 1), host: host, port: port,
            nonce: [UInt8](repeating: 3, count: ReachabilityCheck.nonceByteCount))
        try checks.run { [key] parts in
            parts.checks.check(request, of: key, hasMet: { _ in hasMet }) { parts.answers.all.append($0) }
        }
    }

    private var answers: [Bool] { get throws { try checks.run { $0.answers.all } } }

    @Test(
        "of a host where it has met no relay, of a name, and of a host that may not be dialled are answered at once",
        arguments: [("127.0.0.1", false), ("relay.example", true), ("169.254.169.254", true), ("0.0.0.0", true)])
    func refused(_ host: String, _ hasMet: Bool) throws {
        try ask(host: host, port: 20_000, hasMet: hasMet)
        #expect(try answers == [false])
    }

    @Test("of a port that no relay gives out are not made", arguments: [UInt16(22), 25, 0])
    func privileged(_ port: UInt16) throws {
        try ask(host: "127.0.0.1", port: port)
        #expect(try answers == [false])
    }

    @Test(
        "of a port that something else has, or nobody, come out alike: no, after three seconds",
        arguments: [true, false])
    func nothing(_ isThere: Bool) throws {
        let service = try EchoService()
        if !isThere { service.stop() }
        try ask(host: "127.0.0.1", port: service.port)
        let began = time.clock.now
        try time.eventually("answered", within: .seconds(10)) { try !self.answers.isEmpty }
        let span = time.clock.now - began
        #expect(try answers == [false])
        #expect(span >= .milliseconds(2_900) && span < .seconds(4), "\(span)")
    }

    @Test("are at most 64 at once; more are answered with no")
    func many() throws {
        let service = try EchoService()
        for _ in 0..<(ChecksForPeers.maximum + 5) { try ask(host: "127.0.0.1", port: service.port) }
        #expect(try answers == [Bool](repeating: false, count: 5))
        try time.eventually("answered", within: .seconds(10)) { try self.answers.count == ChecksForPeers.maximum + 5 }
        // Their places are free again.
        try ask(host: "127.0.0.1", port: service.port)
        #expect(try answers.count == ChecksForPeers.maximum + 5)
    }
}
