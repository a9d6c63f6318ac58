import PeerCore
import PeerWire
import Testing

@Suite struct DialBackDeskTests {
    static let own = Seal(0).key

    static func responder(_ mayDial: @escaping @Sendable (HostAddress) -> Bool = { _ in true }) -> DialBackResponder {
        DialBackResponder(own: own, mayDial: mayDial)
    }

    static func asker(_ number: Int, host: Int? = nil, isDirect: Bool = true) -> DialBackResponder.Asker {
        .init(key: Seal(number).key, observed: .number(host ?? number, port: 50_000), isDirect: isDirect)
    }

    static let request = DialBackRequest(nonce: .seed(1), port: 8_088)

    static func isDial(_ action: DialBackResponder.Action) -> UInt64? {
        if case .dial(let number, _, _, _) = action { number } else { nil }
    }

    @Test func `it dials the host that the request came from and no other`() throws {
        var responder = Self.responder()
        let action = responder.asked(Self.request, by: Self.asker(7), at: .zero)
        #expect(action == .dial(1, .number(7, port: 8_088), key: Seal(7).key, nonce: Self.request.nonce))
        let result = responder.dialled(1, reached: true, at: .start)
        #expect(
            result
                == .attest(
                    .init(
                        subject: Seal(7).key, witness: Self.own, time: WallTime.start.seconds,
                        address: .number(7, port: 8_088)), observed: .number(7, port: 50_000)))
        #expect(responder.dialled(1, reached: true, at: .start) == nil)
    }

    @Test func `who comes through a relay, from a forbidden host, or with the own key is dialled by nobody`() {
        var responder = Self.responder { $0 != .v4(9) }
        for asker in [
            Self.asker(7, isDirect: false), Self.asker(9),
            .init(key: Self.own, observed: .number(7, port: 50_000), isDirect: true),
        ] {
            #expect(
                responder.asked(Self.request, by: asker, at: .zero) == .answer(.notDialled, observed: asker.observed))
        }
    }

    @Test func `a host may be given more than a key`() {
        var limits = DialBackResponder.Limits()
        limits.dialsPerSource = 6
        var responder = DialBackResponder(own: Self.own, limits: limits) { _ in true }
        var dials: [Int: Int] = [:]
        for second in UInt64(0)..<20 {
            for key in [100, 101] {
                let action = responder.asked(Self.request, by: Self.asker(key, host: 7), at: .at(second * 1_000))
                guard let number = Self.isDial(action) else { continue }
                dials[key, default: 0] += 1
                _ = responder.dialled(number, reached: false, at: .start)
            }
        }
        #expect(dials == [100: 3, 101: 3] || dials == [100: 4, 101: 2])
    }

    @Test func `a host has one dial at a time and four a minute, whatever keys ask`() {
        var responder = Self.responder()
        var dials = 0
        for second in UInt64(0)..<120 {
            for key in 100..<110 {
                let action = responder.asked(Self.request, by: Self.asker(key, host: 7), at: .at(second * 1_000))
                guard let number = Self.isDial(action) else { continue }
                dials += 1
                #expect(
                    Self.isDial(responder.asked(Self.request, by: Self.asker(99, host: 7), at: .at(second * 1_000)))
                        == nil)
                _ = responder.dialled(number, reached: false, at: .start)
            }
        }
        #expect(dials == 8)
    }

    @Test func `a key has four dials a minute, wherever it comes from`() {
        var responder = Self.responder()
        var dials = 0
        for second in UInt64(0)..<60 {
            let action = responder.asked(
                Self.request, by: Self.asker(7, host: 1_000 + Int(second)), at: .at(second * 1_000))
            if let number = Self.isDial(action) {
                dials += 1
                _ = responder.dialled(number, reached: false, at: .start)
            }
        }
        #expect(dials == 4)
    }

    /// A host in a network of its own, and in a wide one.
    static func far(_ number: Int) -> DialBackResponder.Asker {
        let host = HostAddress("\(11 + number / 200).\(number % 200).0.1")!
        return .init(key: Seal(10_000 + number).key, observed: NodeAddress(host: host, port: 50_000)!, isDirect: true)
    }

    @Test func `all together have sixteen a second and sixteen at once`() {
        var responder = Self.responder()
        var dials = 0
        for step in 0..<1_000 {
            if Self.isDial(responder.asked(Self.request, by: Self.far(step), at: .at(UInt64(step) * 10))) != nil {
                dials += 1
            }
        }
        #expect(dials == 16)
        #expect(responder.nextDeadline == .at(4_000))
        #expect(responder.timePassed(at: .at(10_000)).count == 16)
        #expect(responder.nextDeadline == nil)
        for step in 0..<1_000 {
            let now = Instant.at(20_000 + UInt64(step) * 10)
            if let number = Self.isDial(responder.asked(Self.request, by: Self.far(2_000 + step), at: now)) {
                dials += 1
                _ = responder.dialled(number, reached: false, at: .start)
            }
        }
        #expect((16 + 158...16 + 178).contains(dials), "\(dials)")
    }

    /// Ports where SYNs are dropped take a place for four seconds each; `hosts` ask without a pause.
    static func busyShare(of hosts: [String]) -> Double {
        var responder = responder()
        var under: [UInt64] = []
        var (asked, served) = (0, 0)
        for step in 0..<12_000 {
            let now = Instant.at(UInt64(step) * 10)
            for (number, _) in responder.timePassed(at: now) { under.removeAll { $0 == number } }
            for offset in 0..<4 {
                let host = HostAddress(hosts[(step * 4 + offset) % hosts.count])!
                let rude = DialBackResponder.Asker(
                    key: Seal(20_000 + step * 4 + offset).key, observed: NodeAddress(host: host, port: 50_000)!,
                    isDirect: true)
                if let number = isDial(responder.asked(request, by: rude, at: now)) { under.append(number) }
            }
            // Somebody honest comes along every second, after the first ten.
            guard step % 100 == 50, step > 1_000 else { continue }
            asked += 1
            if let number = isDial(responder.asked(request, by: far(step / 100), at: now)) {
                served += 1
                _ = responder.dialled(number, reached: true, at: .start)
            }
        }
        return 1 - Double(served) / Double(asked)
    }

    /// Where a whole mesh is in one /24, and most of it behind firewalls: how many times a relay that asks every second
    /// is dialled, before and after its witness has met it.
    @Test func `in one network those that cannot be reached keep no relay waiting that the witness has met`() {
        func dialled(isMet: Bool) -> Int {
            var responder = Self.responder()
            var count = 0
            for step in 0..<400 {
                let now = Instant.at(UInt64(step) * 10)
                for (number, _) in responder.timePassed(at: now) {
                    _ = responder.dialled(number, reached: false, at: .start)
                }
                for host in 1...20 {
                    let place = NodeAddress(host: HostAddress("203.0.113.\(host)")!, port: 50_000)!
                    _ = responder.asked(
                        Self.request, by: .init(key: Seal(500 + host).key, observed: place, isDirect: true), at: now)
                }
                guard step % 100 == 50 else { continue }
                let relay = NodeAddress(host: HostAddress("203.0.113.200")!, port: 50_000)!
                let asker = DialBackResponder.Asker(key: Seal(7).key, observed: relay, isDirect: true, isMet: isMet)
                guard let number = Self.isDial(responder.asked(Self.request, by: asker, at: now)) else { continue }
                count += 1
                _ = responder.dialled(number, reached: true, at: .start)
            }
            return count
        }
        #expect(dialled(isMet: false) == 0)
        #expect(dialled(isMet: true) == 4)
    }

    @Test func `those that a witness has met take no more than their own places when they fall silent`() {
        var responder = Self.responder()
        func ask(_ host: String, isMet: Bool) -> Bool {
            let place = NodeAddress(host: HostAddress(host)!, port: 50_000)!
            let key = Seal(Int(place.host.bytes[2]) * 256 + Int(place.host.bytes[3])).key
            let asker = DialBackResponder.Asker(key: key, observed: place, isDirect: true, isMet: isMet)
            return Self.isDial(responder.asked(Self.request, by: asker, at: .zero)) != nil
        }
        #expect((1...9).count { ask("203.0.113.\($0)", isMet: true) } == 2)
        #expect((1...9).count { ask("203.0.\($0).1", isMet: true) } == 2)
        #expect((11...19).count { ask("203.0.113.\($0)", isMet: false) } == 4)
        #expect((11...19).count { ask("203.0.\($0).1", isMet: false) } == 4)
        // One at a time for each host, whoever it is.
        #expect(!ask("203.0.113.1", isMet: false))
    }

    @Test func `who has dials run into their limits keeps nobody else waiting`() {
        // A /56 with all its /64s; 200 addresses of one /24; 60 networks of one /16; 30 networks of their own.
        #expect(Self.busyShare(of: (0..<256).map { "2001:db8:7:\(String($0, radix: 16))::1" }) == 0)
        #expect(Self.busyShare(of: (1...200).map { "203.0.113.\($0)" }) == 0)
        #expect(Self.busyShare(of: (1...60).map { "198.51.\($0).1" }) == 0)
        #expect(Self.busyShare(of: (1...30).map { "\(60 + $0).7.0.1" }) <= 0.2)
    }
}

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

@Suite struct NATKindTests {
    static func observation(_ witness: Int, local: UInt16, seen: UInt16, host: Int = 9) -> NATKind.Observation {
        .init(
            witness: Seal(witness).key, remote: .number(witness),
            local: NodeAddress(host: HostAddress("192.168.1.2")!, port: local)!, seen: .number(host, port: seen))
    }

    @Test func `one port that looks the same to all is endpoint-independent`() {
        let kind = NATKind.judge(
            [Self.observation(1, local: 5_000, seen: 6_000), Self.observation(2, local: 5_000, seen: 6_000)],
            standing: .notReachable)
        #expect(kind.mapping == .endpointIndependent && kind.filtering == .filtered)
        #expect(kind.keepsPorts == false && kind.hosts == [.v4(9)] && kind.witnesses == 2)
    }

    @Test func `one port that looks different to each is endpoint-dependent`() {
        let kind = NATKind.judge(
            [Self.observation(1, local: 5_000, seen: 6_000), Self.observation(2, local: 5_000, seen: 6_001)],
            standing: .unknown)
        #expect(kind.mapping == .endpointDependent && kind.filtering == .unknown)
    }

    @Test func `one answer, or answers about different ports, tell no kind`() {
        let one = [Self.observation(1, local: 5_000, seen: 5_000)]
        #expect(NATKind.judge(one, standing: .unknown).mapping == .unknown)
        #expect(NATKind.judge(one, standing: .unknown).keepsPorts == true)
        let two = one + [Self.observation(2, local: 5_001, seen: 5_001)]
        #expect(NATKind.judge(two, standing: .unknown).mapping == .unknown)
        // Two witnesses at one host may be one.
        var same = Self.observation(2, local: 5_000, seen: 5_000)
        same.remote = .number(1, port: 9)
        #expect(NATKind.judge(one + [same], standing: .unknown).mapping == .unknown)
        #expect(NATKind.judge([], standing: .unknown).mapping == .unknown)
    }

    @Test func `who is seen as he sees himself is behind no NAT`() {
        let own = NodeAddress.number(5, port: 5_000)
        let kind = NATKind.judge(
            [.init(witness: Seal(1).key, remote: .number(1), local: own, seen: own)],
            standing: .reachable([.number(5)]))
        #expect(kind.mapping == .none && kind.filtering == NATKind.Filtering.none && kind.keepsPorts == nil)
    }
}
