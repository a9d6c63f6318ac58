import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// Words of nodes that hold a session to this one and cannot be asked.
@Suite struct VouchTests {
    static let truth = NodeAddress.number(77)

    static func vouch(
        _ reach: inout Reachability, _ witness: Int, _ address: NodeAddress = truth, from host: Int? = nil,
        at second: UInt64 = 1, isForged: Bool = false
    ) -> Bool {
        let statement = Seal(isForged ? 999 : witness).sign(
            .init(
                subject: ReachabilityTests.own.key, witness: Seal(witness).key, time: 1_800_000_000 + Int64(second),
                address: address))
        let given = DialBackStatement(
            statement.content(of: ReachabilityTests.own.key), signature: statement.signature)
        return reach.vouched(given, by: Seal(witness).key, from: .v4((host ?? witness) << 16), at: .at(second * 1_000))
            .counts
    }

    @Test func `a single one has to do where nobody else is, and its statement goes into the record`() {
        var reach = ReachabilityTests.fresh()
        accepted(Self.vouch(&reach, 1))
        #expect(reach.standing == .reachable([Self.truth]))
        #expect(reach.statements.map(\.witness) == [Seal(1).key])
        #expect(reach.observedHosts.map(\.host) == [.v4(77)])
        _ = reach.expire(at: .at(1_802_000))
        #expect(reach.standing == .unknown && reach.statements.isEmpty)
    }

    @Test func `where there are more, more than half have to agree, each from a network of its own`() {
        var reach = ReachabilityTests.fresh()
        let lie = NodeAddress.number(66)
        accepted(Self.vouch(&reach, 1, lie))
        accepted(Self.vouch(&reach, 2))
        #expect(reach.standing == .unknown, "one against one")
        // Another key from where the first came from.
        refused(Self.vouch(&reach, 3, lie, from: 1))
        accepted(Self.vouch(&reach, 4))
        #expect(reach.standing == .reachable([Self.truth]))
        accepted(Self.vouch(&reach, 5, lie))
        #expect(reach.standing == .unknown, "two against two")
        accepted(Self.vouch(&reach, 6))
        #expect(reach.standing == .reachable([Self.truth]))
        #expect(reach.statements.allSatisfy { $0.address == Self.truth })
    }

    @Test func `what is about another port, for another witness, or not signed by it does not count`() {
        var reach = ReachabilityTests.fresh()
        refused(Self.vouch(&reach, 1, .number(77, port: 22)))
        refused(Self.vouch(&reach, 1, isForged: true))
        let others = Seal(2).sign(
            .init(subject: ReachabilityTests.own.key, witness: Seal(2).key, time: 1_800_000_000, address: Self.truth))
        refused(reach.vouched(others, by: Seal(1).key, from: .v4(1), at: .at(1)).counts)
        #expect(reach.standing == .unknown)
    }

    @Test func `they are bounded, and who was there keeps its place`() {
        var reach = ReachabilityTests.fresh()
        for witness in 1...16 { accepted(Self.vouch(&reach, witness)) }
        for witness in 17...200 { refused(Self.vouch(&reach, witness, .number(66))) }
        #expect(reach.standing == .reachable([Self.truth]))
        accepted(Self.vouch(&reach, 3, at: 600))
        // The others' are over by then.
        accepted(Self.vouch(&reach, 17, at: 1_900))
    }

    @Test func `one who was asked counts instead of all who came by themselves`() {
        var reach = ReachabilityTests.fresh()
        for witness in 101...110 { accepted(Self.vouch(&reach, witness, .number(66))) }
        _ = ReachabilityTests.ask(&reach, partners: 5, isOpen: true, from: 2_000)
        #expect(reach.standing == .reachable([Self.truth]))
        refused(Self.vouch(&reach, 101, .number(66), at: 100))
        #expect(reach.observedHosts.map(\.host) == [.v4(77)])
    }

    @Test func `statements in the record are never too old to count, however long the same witnesses say the same`() {
        var reach = ReachabilityTests.fresh()
        var changes = 0
        for second in stride(from: UInt64(1), to: 6 * 3_600, by: 600) {
            let before = reach.statements
            for witness in 1...2 { accepted(Self.vouch(&reach, witness, at: second)) }
            if reach.statements != before { changes += 1 }
            for statement in reach.statements {
                #expect(1_800_000_000 + Int64(second) + 600 - statement.time < RelayProof.lifetime)
            }
        }
        // A record goes to everybody with each.
        #expect(changes <= 28, "\(changes) in 36 rounds")
    }

    @Test func `a relay is told after a while, again every ten minutes, and sooner where no answer came`() {
        var plan = VouchPlan()
        let (one, other) = (Seal(1).key, Seal(2).key)
        #expect(plan.due([one], at: .at(0)).isEmpty)
        #expect(plan.due([one, other], at: .at(7_999)).isEmpty)
        #expect(plan.due([one, other], at: .at(8_000)) == [one])
        #expect(plan.due([one, other], at: .at(16_000)) == [other])
        plan.answered(one, at: .at(16_500))
        #expect(plan.due([one, other], at: .at(46_000)) == [other])
        #expect(plan.due([one, other], at: .at(616_500)) == [one, other])
        // One that was left and came back has its time anew.
        #expect(plan.due([one], at: .at(700_000)) == [one])
        #expect(plan.due([one, other], at: .at(700_001)).isEmpty)
    }
}
