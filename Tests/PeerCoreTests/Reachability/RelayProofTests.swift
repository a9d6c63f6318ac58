import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct RelayProofTests {
    static let relay = Seal(50)
    static let address = NodeAddress.number(50)
    static let time: Int64 = 1_800_000_000

    static func statement(_ witness: Int, address: NodeAddress = address, time: Int64 = time) -> DialBackStatement {
        Seal(witness).sign(.init(subject: relay.key, witness: Seal(witness).key, time: time, address: address))
    }

    static func judge(
        _ witnesses: [DialBackStatement], roles: NodeRecord.Roles = .relay, addresses: [NodeAddress] = [address],
        others: Int = 10, known: Set<Int> = [1, 2, 3], didReach: Bool = false,
        hasServed: Bool = false, mayDial: Bool = true
    ) -> RelayProof.Verdict {
        let record = relay.record(roles: roles, addresses: addresses, witnesses: witnesses).record
        return RelayProof.judge(
            record, time: time, others: others, isKnown: { key in known.contains { Seal($0).key == key } },
            didReach: { _ in didReach }, hasServed: { _ in hasServed }, mayDial: { _ in mayDial },
            isGenuine: Seal.isStatement)
    }

    @Test func `two known witnesses prove a relay`() {
        #expect(Self.judge([Self.statement(1), Self.statement(2)]) == .proven(Self.address))
        #expect(Self.judge([Self.statement(1)], others: 1) == .proven(Self.address))
        #expect(Self.judge([], others: 0, didReach: true) == .proven(Self.address))
    }

    @Test func `that visitors were served there is enough, at the address that it still claims`() {
        #expect(Self.judge([], hasServed: true) == .proven(Self.address))
        #expect(Self.judge([], addresses: [], hasServed: true) == .tooFewWitnesses(0, of: 2))
        #expect(Self.judge([], hasServed: true, mayDial: false) == .notDialled(Self.address))
    }

    @Test func `a witness that is heard of after the record that names it counts within as much time as has passed`() {
        // Judged when it comes, and then again and again.
        var (moment, moments) = (Instant.Span.zero, [Instant.Span.zero])
        for count in 0..<8 {
            let named = [Self.statement(1)]
            let verdict = Self.judge(named, others: 1, known: [])
            #expect(verdict == .tooFewWitnesses(0, of: 1))
            moment = moment + RelayProof.span(of: verdict, named: named.count, judged: count)
            moments.append(moment)
        }
        #expect(moments == [0, 1, 3, 7, 15, 30, 45, 60, 75].map { .seconds($0) })
        // Without a witness, and with enough of them, nothing changes but by another record, or by time.
        #expect(RelayProof.span(of: Self.judge([]), named: 0, judged: 0) == .seconds(15))
        #expect(RelayProof.span(of: .proven(Self.address), named: 2, judged: 0) == .seconds(15))
        #expect(RelayProof.span(of: .tooFewWitnesses(1, of: 2), named: 1, judged: .max) == .seconds(15))
    }

    @Test func `claims prove nothing`() {
        let few = RelayProof.Verdict.tooFewWitnesses(1, of: 2)
        #expect(Self.judge([]) == .tooFewWitnesses(0, of: 2))
        #expect(Self.judge([Self.statement(1)]) == few)
        #expect(Self.judge([Self.statement(1), Self.statement(1, time: Self.time - 5)]) == few)
        // Keys that nobody knows cost nothing; a neighbour in one's own network is no visitor.
        #expect(Self.judge([Self.statement(1), Self.statement(9)]) == few)
        #expect(Self.judge([Self.statement(1)], didReach: true) == few)
        #expect(Self.judge([Self.statement(1), Self.statement(50)], known: [1, 50]) == few)
        #expect(Self.judge([Self.statement(1), Self.statement(2, time: Self.time - RelayProof.lifetime)]) == few)
        #expect(Self.judge([Self.statement(1), Self.statement(2, time: Self.time + 301)]) == few)
        #expect(Self.judge([Self.statement(1), Self.statement(2, address: .number(51))]) == few)
        let forged = DialBackStatement(
            Self.statement(2).content(of: Self.relay.key), signature: [UInt8](repeating: 3, count: 64))
        #expect(Self.judge([Self.statement(1), forged]) == few)
        #expect(Self.judge([Self.statement(1), Self.statement(2)], roles: []) == .notOffered)
        #expect(Self.judge([Self.statement(1), Self.statement(2)], mayDial: false) == .notDialled(Self.address))
        #expect(Self.judge([Self.statement(1), Self.statement(2)], addresses: []) == .tooFewWitnesses(0, of: 2))
    }
}
