import Glibc
import PeerCore
import PeerDataPlane
import PeerReactor
import PeerWire
import Testing

@testable import PeerServices

@Suite("A connection to a relay", .timeLimit(.minutes(1)))
final class RelayConnectionTests {
    /// A peer that trusts every relay, or shows it nothing, and notes what it is told.
    private final class Host: RelayConnectionHost {
        var meshKeys = [ShellBench.meshKey]
        var mayDial = true
        var trusted: [NodeKey] = []
        var established: [SessionTerms] = []
        var losses: [SessionID?] = []
        var messages: [RelayMessage] = []
        var pings = 0
        var heard = 0
        var reasons: [String] = []
        var superseded: [String] = []
        var changes = 0

        func mayDial(_ endpoint: Endpoint) -> Bool { mayDial }
        func trust(in key: NodeKey, at connection: RelayConnection) -> RelayConnection.Trust {
            trusted.append(key)
            return RelayConnection.Trust(
                credentials: KnownRelays().credentials(
                    for: key, at: connection.endpoint.description, own: meshKeys, isTokenFor: { _, _ in true }),
                hidesToken: false)
        }
        func heard(from connection: RelayConnection) { heard += 1 }
        func established(_ connection: RelayConnection, _ terms: SessionTerms, channels: Int) {
            established.append(terms)
        }
        func deliver(_ message: RelayMessage, from connection: RelayConnection) { messages.append(message) }
        func measured(_ latency: Instant.Span, of connection: RelayConnection) { pings += 1 }
        func lost(_ connection: RelayConnection, _ terms: SessionTerms?) { losses.append(terms?.session) }
        func fell(_ connection: RelayConnection, _ reason: String) { reasons.append(reason) }
        func superseded(_ connection: RelayConnection, _ detail: String) { superseded.append(detail) }
        func changed() { changes += 1 }
    }

    private typealias Parts = (connection: RelayConnection, host: Host)

    private let bench: ShellBench
    private let log = LogLines()

    init() throws { bench = try ShellBench(.encrypted) }

    /// - Parameter key: that the relay has to prove; `nil`: the user named it.
    private func connection(
        to endpoint: Endpoint, chosenFor key: NodeKey? = nil, seed: UInt8 = 2, process: UInt64 = 1,
        _ change: @escaping (Host) -> Void = { _ in }
    ) throws -> OnLoop<Parts> {
        let loop = try bench.time.loop()
        let seed = ShellBench.seed(seed)
        let keys = try KeyRing(NodeIdentity(seed: seed)!, seed: seed, history: KeyHistory())
        let start = ShellBench.process(process)
        let made = try OnLoop(on: loop) { [log] () -> Parts in
            let host = Host()
            let introduction = PeerMessage.Introduction(
                instance: start.instance, name: "peer", dialled: "", software: "test", wantsPlain: false,
                began: start.number)
            let parts = RelayConnection.Parts(
                loop: loop, keys: keys, carriers: .encrypted(keys), introduction: introduction, log: log.logger)
            return (RelayConnection(to: endpoint, chosenFor: key, parts, host: host), host)
        }
        try made.run { parts in
            change(parts.host)
            parts.connection.start()
        }
        return made
    }

    private func established(_ made: OnLoop<Parts>, _ location: SourceLocation = #_sourceLocation) throws {
        try bench.time.eventually("established", location) { try made.run { $0.connection.isEstablished } }
    }

    @Test("comes to a session, with what the relay proved and called itself, and pings it")
    func stands() throws {
        let relay = try bench.relay()
        let made = try connection(to: relay.endpoint)
        try established(made)
        let key = relay.keys.key
        #expect(try made.run { $0.connection.key } == key)
        #expect(try made.run { $0.connection.name } == "relay")
        #expect(try made.run { $0.host.trusted } == [key])
        #expect(try made.run { $0.connection.remoteAddress?.port } == relay.port)
        #expect(try made.run { $0.connection.isLocal && $0.connection.isNamed })
        try bench.time.eventually("measured") { try made.run { $0.host.pings >= 3 } }
        #expect(try made.run { $0.connection.lastHeard } != nil)
        #expect(try relay.sessions == 1)
    }

    @Test("hands on what the relay says in the session")
    func messages() throws {
        let relay = try bench.relay()
        let made = try connection(to: relay.endpoint)
        try established(made)
        try relay.run { $0.drain(within: 600) }
        try bench.time.eventually("heard") {
            try made.run { parts in
                parts.host.messages.contains { if case .draining(true) = $0 { true } else { false } }
            }
        }
    }

    @Test("comes back after the relay went away, and says once what was lost")
    func returns() throws {
        let relay = try bench.relay()
        let made = try connection(to: relay.endpoint)
        try established(made)
        let session = try made.run { $0.connection.terms?.session }
        try relay.stop()
        try bench.time.eventually("lost") { try made.run { !$0.connection.isEstablished } }
        #expect(try made.run { $0.host.losses } == [session])
        #expect(try made.run { $0.connection.terms } == nil)
        #expect(try made.run { $0.connection.key } == relay.keys.key)
        _ = try bench.relay(port: relay.port)
        try established(made)
        #expect(try made.run { $0.host.established.count } == 2)
        #expect(try made.run { $0.connection.reason } == nil)
    }

    @Test("to one that is not there says why, once, and counts its attempts")
    func notThere() throws {
        let relay = try bench.relay()
        try relay.stop()
        let made = try connection(to: relay.endpoint)
        try bench.time.eventually("tried") { try made.run { $0.connection.failures >= 3 } }
        #expect(try made.run { $0.connection.reason } == "nothing listens there (connection refused)")
        #expect(log.count(of: "trying again (p2prc leave \(relay.endpoint) gives it up)") == 1)
        #expect(try made.run { $0.host.losses.isEmpty })
    }

    @Test("to a name that there is not says so")
    func noName() throws {
        let made = try connection(to: Endpoint(host: "nowhere.invalid", port: 8_088))
        // Names are looked up in the system's time: the loop's stands still, or the attempt would be over before that.
        try bench.time.eventually("said", step: .zero) { try made.run { $0.connection.reason != nil } }
        #expect(try made.run { $0.connection.reason?.contains("nowhere.invalid") } == true)
    }

    @Test("is turned away where it is no member, with the relay's word for it")
    func refused() throws {
        let relay = try bench.relay()
        let made = try connection(to: relay.endpoint) { $0.meshKeys = [ShellBench.otherMeshKey] }
        try bench.time.eventually("turned away") { try made.run { $0.connection.reason != nil } }
        #expect(try made.run { $0.connection.refusal } != nil)
        #expect(try made.run { !$0.connection.isEstablished && $0.host.established.isEmpty })
    }

    @Test("shows nothing to a relay that proves another key than it was chosen for")
    func otherKey() throws {
        let relay = try bench.relay()
        let wanted = NodeIdentity(seed: ShellBench.seed(77))!.key
        let made = try connection(to: relay.endpoint, chosenFor: wanted)
        try bench.time.eventually("given up") { try made.run { !$0.host.reasons.isEmpty } }
        #expect(try made.run { $0.host.reasons } == ["the key there is not \(wanted.short)"])
        #expect(try made.run { $0.host.trusted.isEmpty })
        #expect(try relay.sessions == 0)
    }

    @Test("to one that nobody named is dialled where that is allowed, and not elsewhere", arguments: [true, false])
    func allowed(_ isAllowed: Bool) throws {
        let relay = try bench.relay()
        let made = try connection(to: relay.endpoint, chosenFor: relay.keys.key) { $0.mayDial = isAllowed }
        if isAllowed { return try established(made) }
        try bench.time.eventually("given up") { try made.run { $0.host.reasons == ["it may not be dialled"] } }
        #expect(try relay.sessions == 0)
    }

    @Test("hears that a later process with its key is there, and tries no more")
    func superseded() throws {
        let relay = try bench.relay()
        let former = try connection(to: relay.endpoint)
        try established(former)
        let next = try connection(to: relay.endpoint, process: 2)
        try established(next)
        try bench.time.eventually("superseded") { try former.run { $0.host.superseded.count } == 1 }
        try bench.time.throughout(.seconds(10), "away") { try former.run { !$0.connection.isEstablished } }
        #expect(try relay.sessions == 1)
    }

    @Test("that is closed comes back in its time, and that is restarted at once")
    func restarted() throws {
        let relay = try bench.relay()
        let made = try connection(to: relay.endpoint)
        try established(made)
        try made.run { $0.connection.close(because: "it lets its peers go") }
        #expect(try made.run { !$0.connection.isEstablished })
        try established(made)
        let before = bench.time.clock.now
        try made.run { $0.connection.restart(because: "this node has another key from now on") }
        try established(made)
        #expect(bench.time.clock.now - before < .seconds(1))
        #expect(try made.run { $0.host.losses.count } == 2)
    }

    @Test("that is left says goodbye, and its peer is told nothing more")
    func left() throws {
        let relay = try bench.relay()
        let made = try connection(to: relay.endpoint)
        try established(made)
        let terms = try made.run { $0.connection.leave() }
        #expect(terms?.key == relay.keys.key)
        try bench.time.eventually("gone") { try relay.sessions == 0 }
        try bench.time.throughout(.seconds(5), "away") { try relay.sessions == 0 }
        #expect(try made.run { $0.host.losses.isEmpty })
        #expect(relay.log.count(of: "ended") == 0)
    }

    @Test("that stops in the middle of an attempt makes no other")
    func stopped() throws {
        let relay = try bench.relay()
        let made = try connection(to: relay.endpoint)
        try made.run { $0.connection.stop() }
        try bench.time.throughout(.seconds(5), "away") { try relay.sessions == 0 }
        try made.run { $0.connection.hurry() }
        try bench.time.throughout(.seconds(2), "away") { try relay.sessions == 0 }
    }
}
