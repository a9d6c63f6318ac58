import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct ReachabilityTests {
    static let own = Seal(0)

    /// Asks, and answers as the world would.
    static func ask(
        _ reach: inout Reachability, partners: Int, isOpen: Bool, liars: Set<Int> = [], from start: UInt64 = 0,
        rounds: Int = 8
    ) -> [Reachability.Action] {
        var random = SeededGenerator(seed: 5)
        let keys = (1...max(1, partners)).prefix(partners).map { Seal($0) }
        var actions: [Reachability.Action] = []
        var now = Instant.at(start)
        for _ in 0..<rounds {
            now = max(now, reach.nextDeadline)
            let asked = reach.timePassed(at: now, partners: keys.map(\.key), using: &random)
            actions += asked
            for case .ask(let witness, let request) in asked {
                let number = keys.firstIndex { $0.key == witness }! + 1
                let isReached = liars.contains(number) ? !isOpen : isOpen
                if isOpen, isReached { accepted(reach.arrived(nonce: request.nonce, from: witness)) }
                let content = DialBackStatement.Content(
                    subject: own.key, witness: witness, time: 1_800_000_000, address: .number(77))
                let answer =
                    isReached
                    ? DialBackAnswer(observed: .number(77, port: 50_000), statement: Seal(number).sign(content))
                    : DialBackAnswer(.notReached, observed: .number(77, port: 50_000))!
                actions += reach.answered(answer, by: witness, available: partners, at: now)
            }
        }
        return actions
    }

    static func fresh() -> Reachability { Reachability(own: own.key, port: 8_088, isGenuine: Seal.isStatement) }

    @Test func `two that got through make a node reachable, and their statements go into its record`() {
        var reach = Self.fresh()
        let actions = Self.ask(&reach, partners: 10, isOpen: true)
        #expect(reach.standing == .reachable([.number(77)]))
        #expect(actions.contains(.changed(.reachable([.number(77)]))))
        #expect((2...NodeRecord.maximumWitnesses).contains(reach.statements.count))
        #expect(reach.observedHosts.first?.host == .v4(77))
    }

    @Test func `a node that nobody gets through to is not reachable`() {
        var reach = Self.fresh()
        _ = Self.ask(&reach, partners: 10, isOpen: false)
        #expect(reach.standing == .notReachable)
        #expect(reach.statements.isEmpty)
    }

    @Test func `where there is a single other, its word has to do; where there are more, it does not`() {
        var reach = Self.fresh()
        _ = Self.ask(&reach, partners: 1, isOpen: true)
        #expect(reach.standing == .reachable([.number(77)]))
        var other = Self.fresh()
        _ = Self.ask(&other, partners: 0, isOpen: true)
        #expect(other.standing == .unknown)
    }

    @Test func `while too few have got through, those who have are not asked again, and the others every 20 s`() {
        var reach = Self.fresh()
        var random = SeededGenerator(seed: 5)
        var asked: [NodeKey: [UInt64]] = [:]
        for second in UInt64(0)..<120 {
            let now = Instant.at(second * 1_000)
            reach.knows(available: 2, at: now)
            for case .ask(let witness, let request) in reach.timePassed(
                at: now, partners: [Seal(1).key, Seal(2).key], using: &random)
            {
                asked[witness, default: []].append(second)
                let observed = NodeAddress.number(77, port: 50_000)
                var answer = DialBackAnswer(.busy, observed: observed)!
                if witness == Seal(1).key {
                    accepted(reach.arrived(nonce: request.nonce, from: witness))
                    let content = DialBackStatement.Content(
                        subject: Self.own.key, witness: witness, time: 1_800_000_000, address: .number(77))
                    answer = DialBackAnswer(observed: observed, statement: Seal(1).sign(content))
                }
                _ = reach.answered(answer, by: witness, available: 2, at: now)
            }
        }
        #expect(asked[Seal(1).key]?.count == 2)
        #expect(asked[Seal(2).key] == [0, 1, 3, 7, 15, 31, 51, 71, 91, 111])
    }

    @Test func `one that gave no answer is not waited for until it gives one`() throws {
        var reach = Self.fresh()
        var random = SeededGenerator(seed: 5)
        let (there, gone) = (Seal(1).key, Seal(2).key)
        let asked = reach.timePassed(at: .zero, partners: [there, gone], using: &random)
        #expect(asked.count == 2 && !reach.isSilent(gone))
        reach.failed(gone)
        #expect(reach.isSilent(gone) && !reach.isSilent(there))
        let answer = DialBackAnswer(.busy, observed: .number(77, port: 50_000))!
        _ = reach.answered(answer, by: gone, available: 1, at: .at(100))
        #expect(!reach.isSilent(gone))
        // Nor is one whose answer never came.
        _ = reach.timePassed(at: .zero + Reachability.askLimit, partners: [there], using: &random)
        #expect(reach.isSilent(there))
        // Who is no partner any more takes no place.
        _ = reach.timePassed(at: .at(30_000), partners: [gone], using: &random)
        #expect(!reach.isSilent(there))
        reach.failed(gone)
        _ = reach.networkChanged(at: .at(40_000))
        #expect(!reach.isSilent(gone))
    }

    @Test func `more nodes that could be asked are asked at once, not in ten minutes`() {
        var reach = Self.fresh()
        _ = Self.ask(&reach, partners: 1, isOpen: true, rounds: 4)
        let now = Instant.at(20_000)
        #expect(reach.standing == .reachable([.number(77)]) && reach.nextDeadline > now)
        reach.knows(available: 1, at: now)
        #expect(reach.nextDeadline > now)
        reach.knows(available: 5, at: now)
        #expect(reach.nextDeadline == now)
        _ = Self.ask(&reach, partners: 5, isOpen: true, from: 20_000, rounds: 1)
        #expect(reach.standing == .reachable([.number(77)]) && reach.statements.count >= 2)
    }

    @Test func `nobody can say that he got through without having done so`() {
        var reach = Self.fresh()
        _ = Self.ask(&reach, partners: 10, isOpen: false, liars: [1, 2, 3, 4])
        #expect(reach.standing == .notReachable)
    }

    @Test func `a few who deny it change nothing`() {
        var reach = Self.fresh()
        _ = Self.ask(&reach, partners: 10, isOpen: true, liars: [1, 2, 3], rounds: 10)
        #expect(reach.standing == .reachable([.number(77)]))
    }

    @Test func `a nonce that was not sent to that witness is nobody's`() {
        var reach = Self.fresh()
        var random = SeededGenerator(seed: 5)
        let asked = reach.timePassed(at: .zero, partners: [Seal(1).key, Seal(2).key], using: &random)
        guard case .ask(let witness, let request) = asked.first else {
            Issue.record("nobody is asked")
            return
        }
        let other = witness == Seal(1).key ? Seal(2).key : Seal(1).key
        refused(reach.arrived(nonce: request.nonce, from: other))
        refused(reach.arrived(nonce: .seed(9), from: witness))
        accepted(reach.arrived(nonce: request.nonce, from: witness))
    }

    @Test func `what was found out grows old, and a new network starts anew`() {
        var reach = Self.fresh()
        _ = Self.ask(&reach, partners: 10, isOpen: true)
        #expect(reach.networkChanged(at: .at(60_000)) == [.changed(.unknown)])
        _ = Self.ask(&reach, partners: 10, isOpen: true, from: 60_000)
        #expect(reach.standing == .reachable([.number(77)]))
        var random = SeededGenerator(seed: 1)
        _ = reach.timePassed(at: .at(100_000_000), partners: [], using: &random)
        #expect(reach.standing == .unknown)
    }

    @Test func `witnesses are asked seldom once all is decided`() {
        var reach = Self.fresh()
        _ = Self.ask(&reach, partners: 10, isOpen: true)
        #expect(reach.nextDeadline >= .at(300_000))
    }
}
