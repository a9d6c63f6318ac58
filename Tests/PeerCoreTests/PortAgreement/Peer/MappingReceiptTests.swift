import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct MappingReceiptTests {
    static let relay = NodeIdentity(seed: .seed(1))!
    static let peer = NodeIdentity(seed: .seed(2))!
    static let lease = Lease(
        key: peer.key, mapping: .number(7), ports: PortRange(first: 30_000, count: 2)!, protocols: .tcp,
        peerName: "laptop", target: "127.0.0.1:80", expires: .start + 86_400)
    static let agreed = AgreedMapping(
        relay: relay.key, peer: peer.key, mapping: .number(7), protocols: .tcp,
        ports: PortRange(first: 30_000, count: 2)!, host: "relay.example.org")

    static func grant(_ limits: Grant.Limits = .init(), expires: WallTime? = nil) -> Grant {
        Grant(membership: .token(id: "t"), limits: limits, expires: expires)
    }

    static func terms(_ lease: Lease = lease, _ grant: Grant = grant(), host: String = "relay.example.org")
        -> Receipt.Terms?
    { Receipt.Terms(lease: lease, grant: grant, relay: relay.key, host: host, now: .start) }

    @Test func `the relay's draft says what was agreed, and the peer finds that in it`() throws {
        let terms = try #require(Self.terms())
        #expect(terms.relay == Self.relay.key && terms.peer == Self.peer.key && terms.mapping == .number(7))
        #expect(terms.ports == Self.lease.ports && terms.protocols == .tcp && terms.host == "relay.example.org")
        #expect(terms.issued == WallTime.start.seconds && terms.expires == WallTime.start.seconds + 86_400)
        #expect(terms.limits == .init())
        let draft = terms.signed(byRelay: Self.relay)
        #expect(Self.agreed.objection(to: draft) == nil)
        try Receipt(draft.countersigned(byPeer: Self.peer).bytes).verify()
    }

    @Test func `it ends with the grant where that is earlier, and carries its limits`() throws {
        let limits = Grant.Limits(
            keys: 1, leases: 2, mappings: 3, connections: 4, connectionsPerSecond: 5, bytesPerSecond: -6)
        let terms = try #require(Self.terms(Self.lease, Self.grant(limits, expires: .start + 60)))
        #expect(terms.expires == WallTime.start.seconds + 60)
        #expect(terms.limits.keys == 1 && terms.limits.leases == 2 && terms.limits.mappings == 3)
        #expect(terms.limits.connections == 4 && terms.limits.connectionsPerSecond == 5)
        #expect(terms.limits.bytesPerSecond == 0)
        let later = try #require(Self.terms(Self.lease, Self.grant(expires: .start + 100_000)))
        #expect(later.expires == WallTime.start.seconds + 86_400)
    }

    @Test func `a host that a receipt cannot say makes no draft`() { #expect(Self.terms(host: "two words") == nil) }

    @Test func `the peer objects to anything that it did not agree`() throws {
        let draft = try #require(Self.terms()).signed(byRelay: Self.relay)
        func objection(_ change: (inout AgreedMapping) -> Void) -> AgreedMapping.Objection? {
            var agreed = Self.agreed
            change(&agreed)
            return agreed.objection(to: draft)
        }
        #expect(objection { _ in } == nil)
        #expect(objection { $0.relay = .number(9) } == .otherRelay)
        #expect(objection { $0.peer = .number(9) } == .otherPeer)
        #expect(objection { $0.mapping = .number(9) } == .otherMapping)
        #expect(objection { $0.protocols = [.tcp, .udp] } == .otherProtocols)
        #expect(objection { $0.ports = .only(30_000) } == .otherPorts)
        #expect(objection { $0.host = "relay.example.com" } == .otherHost)
    }

    @Test func `the peer signs nothing that is over already or that the relay did not sign`() throws {
        var over = Self.lease
        over.expires = .start
        #expect(Self.agreed.objection(to: try #require(Self.terms(over)).signed(byRelay: Self.relay)) == .alreadyOver)
        let terms = try #require(Self.terms())
        #expect(Self.agreed.objection(to: terms.signed(byRelay: Self.peer)) == .notSigned)
        #expect(Self.agreed.objection(to: Receipt.Draft(terms: terms, relaySignature: [])) == .notSigned)
    }
}
