import PeerWire
import SimulationSupport
import Testing

@testable import PeerCore

/// A mapping of several ports: each has a state of its own.
@Suite struct PortRangeAgreementTests {
    typealias Action = PeerPortAgreement.Action
    static let id = MappingID.number(5)

    /// Active with so many ports from 4,000 on; what the targets say came before.
    static func active(_ count: Int, _ targets: TargetStates) -> (PeerPortAgreement, [Action]) {
        var agreement = PeerPortAgreement(
            wish: MappingWish(
                id: id, target: .service(host: "127.0.0.1", port: 80), protocols: .tcp, ports: .any(count: count)),
            targetText: "127.0.0.1:80", remembered: nil)
        var actions: [Action] = []
        for event: PeerPortAgreement.Event in [
            .targets(targets), .sessionReady,
            .offered(.init(mapping: id, attempt: 1, ports: PortRange(first: 4_000, count: count)!, leaseSeconds: 60)),
            .activated(attempt: 1, host: "relay"),
        ] { actions += agreement.handle(event, at: .zero) }
        return (agreement, actions)
    }

    static func checked(_ actions: [Action]) -> [UInt16] {
        actions.compactMap { if case .check(_, _, let offset, _) = $0 { offset } else { nil } }
    }

    static func states(_ agreement: PeerPortAgreement) -> [MappingState] { agreement.standings.map(\.state) }

    static func targets(_ answering: [UInt16], _ silent: [UInt16]) -> TargetStates {
        TargetStates(
            answering: Set(answering), silent: Dictionary(uniqueKeysWithValues: silent.map { ($0, "no \($0)") }))
    }

    @Test func `the relay is told with the commit which ports are to refuse, and only the others are checked`() {
        let (agreement, actions) = Self.active(4, Self.targets([1, 3], [0, 2]))
        #expect(
            actions.contains(
                .send(
                    .commit(Self.id, attempt: 1, ports: PortStates([.targetDown, .committed, .targetDown, .committed])))
            ))
        #expect(Self.checked(actions) == [1, 3])
        #expect(
            actions.last
                == .send(
                    .report(
                        Self.id, state: .active, ports: PortStates([.targetDown, .active, .targetDown, .active]))))
        #expect(Self.states(agreement) == [.targetDown, .active, .targetDown, .active])
        #expect(agreement.standings[2].reason == "no 2")
    }

    @Test func `one port comes and goes, and its neighbours stay as they are`() {
        var (agreement, _) = Self.active(3, Self.targets([0, 2], [1]))
        _ = agreement.handle(.checkPassed(0, by: "this node"), at: .at(10))
        _ = agreement.handle(.checkPassed(2, by: "this node"), at: .at(10))
        #expect(Self.states(agreement) == [.verified, .targetDown, .verified])
        #expect(agreement.verifiedPorts == [.only(4_000), .only(4_002)])
        accepted(
            agreement.handle(.targets(Self.targets([0, 1], [2])), at: .at(20)) == [
                .changed,
                .send(.report(Self.id, state: .verified, ports: PortStates([.verified, .active, .targetDown]))),
            ])
        // The relay says that what it was told of accepts: nothing else is looked at.
        accepted(Self.checked(agreement.handle(.activated(attempt: 1, host: "relay"), at: .at(30))) == [1])
        #expect(Self.states(agreement) == [.verified, .active, .targetDown])
    }

    @Test func `a range serves visitors once some of it is reached, and fails with the first port that is not`() {
        var (agreement, _) = Self.active(3, Self.targets([0, 1], [2]))
        #expect(agreement.outcome == .pending)
        _ = agreement.handle(.checkPassed(0, by: "this node"), at: .at(10))
        #expect(agreement.outcome == .works)
        for step in UInt64(0)..<6 { _ = agreement.handle(.checkFailed(1, reason: "no"), at: .at(20 + step)) }
        #expect(agreement.outcome == .fails(.unreachable))
        _ = agreement.handle(.targets(Self.targets([], [0, 1, 2])), at: .at(100))
        #expect(agreement.outcome == .idle)
        #expect(
            RelayOutcome([.idle, .pending, .works, .fails(.refused), .fails(.unreachable)]).failure == .unreachable)
    }

    @Test func `a relay that does not answer to a single port is believed to accept it`() {
        var (agreement, _) = Self.active(2, Self.targets([0], [1]))
        _ = agreement.handle(.checkPassed(0, by: "this node"), at: .at(10))
        _ = agreement.handle(.targets(.answering(2)), at: .at(1_000))
        #expect(agreement.nextDeadline == .at(1_500))
        accepted(Self.checked(agreement.handle(.timePassed, at: .at(1_499))).isEmpty)
        accepted(Self.checked(agreement.handle(.timePassed, at: .at(1_500))) == [1])
    }

    @Test func `nothing is said to work before its target has answered`() {
        var (agreement, actions) = Self.active(2, TargetStates())
        #expect(Self.checked(actions).isEmpty && Self.states(agreement) == [.active, .active])
        _ = agreement.handle(.checkPassed(0, by: "somebody"), at: .at(5))
        #expect(Self.states(agreement) == [.active, .active])
        _ = agreement.handle(.targets(Self.targets([0], [1])), at: .at(10))
        #expect(Self.states(agreement) == [.active, .targetDown])
    }

    @Test func `of many ports sixteen are checked at a time, each once, and reports are gathered`() {
        var (agreement, actions) = Self.active(1_024, .answering(1_024))
        var waiting = Self.checked(actions)
        #expect(waiting == Array(0..<16))
        var checked = waiting.count
        var reports = 0
        var now = Instant.zero
        while !waiting.isEmpty {
            now = now + .milliseconds(1)
            let actions = agreement.handle(.checkPassed(waiting.removeFirst(), by: "this node"), at: now)
            let more = Self.checked(actions)
            checked += more.count
            waiting += more
            #expect(waiting.count <= 16)
            reports += actions.count { if case .send(.report) = $0 { true } else { false } }
        }
        #expect(checked == 1_024 && agreement.verifiedPorts == [PortRange(first: 4_000, count: 1_024)!])
        // Every 200 ms of 1,024, and the last word.
        #expect((2...7).contains(reports), "\(reports)")
        // Looked at again: 16 in two minutes, one after the other.
        #expect(agreement.nextDeadline == .at(1 + 120_000))
        var again: [UInt16] = []
        while let due = agreement.nextDeadline, due < .at(360_000) {
            for offset in Self.checked(agreement.handle(.timePassed, at: due)) {
                again.append(offset)
                _ = agreement.handle(.checkPassed(offset, by: "this node"), at: due)
            }
        }
        #expect(again == Array(0..<32))
    }

    @Test func `while nothing answers ever more are tried at once, and then some all the time`() {
        var (agreement, actions) = Self.active(1_024, .answering(1_024))
        // Each takes two seconds; in the order in which they end.
        var pending = Self.checked(actions).map { (offset: $0, end: Instant.zero + .seconds(2)) }
        var now = Instant.zero
        var most = 0
        var settled: Instant?
        var begun: [Instant] = []
        for _ in 0..<5_000 where now < .at(40_000) {
            let deadline = agreement.nextDeadline ?? .at(100_000)
            let event: PeerPortAgreement.Event
            if let first = pending.first, first.end <= deadline {
                (event, now) = (.checkFailed(pending.removeFirst().offset, reason: "no answer"), first.end)
            } else {
                (event, now) = (.timePassed, max(now, deadline))
            }
            let more = Self.checked(agreement.handle(event, at: now))
            pending += more.map { ($0, now + .seconds(2)) }
            most = max(most, pending.count)
            if settled != nil { begun += more.map { _ in now } }
            if settled == nil, !agreement.standings.contains(where: { $0.state == .active }) { settled = now }
        }
        #expect(most <= 256 && now >= .at(40_000))
        #expect(settled.map { $0 <= .at(19_000) } == true, "\(String(describing: settled))")
        // Three a second of them, so that an open way is noticed at once; then all, sixteen at a time.
        #expect(zip(begun, begun.dropFirst()).allSatisfy { $1 - $0 <= .milliseconds(700) })
        #expect((20...160).contains(begun.count), "\(begun.count)")
        let opened = Self.checked(
            agreement.handle(.checkPassed(pending.removeFirst().offset, by: "this node"), at: now))
        #expect(opened.count == CheckPace.least - pending.count)
    }

    @Test func `where one port cannot be reached the next is tried once, and all again when one can`() {
        var (agreement, actions) = Self.active(40, .answering(40))
        var waiting = Self.checked(actions)
        var tries = 0
        while !waiting.isEmpty {
            tries += 1
            waiting += Self.checked(
                agreement.handle(.checkFailed(waiting.removeFirst(), reason: "refused"), at: .at(9)))
        }
        #expect(Set(Self.states(agreement)) == [.unreachable])
        #expect(tries <= 40 * 4, "\(tries)")
        // In turn, 16 in five seconds, until one is.
        let again = Self.checked(agreement.handle(.timePassed, at: .at(5_009)))
        #expect((1...16).contains(again.count), "\(again)")
        let rest = Self.checked(agreement.handle(.checkPassed(again[0], by: "this node"), at: .at(5_010)))
        #expect(rest.count == 16 - (again.count - 1))
    }

    @Test func `a port that fails later takes no other with it, but has them looked at`() {
        var (agreement, actions) = Self.active(20, .answering(20))
        var waiting = Self.checked(actions)
        while !waiting.isEmpty {
            waiting += Self.checked(agreement.handle(.checkPassed(waiting.removeFirst(), by: "this node"), at: .at(10)))
        }
        let first = Self.checked(agreement.handle(.timePassed, at: .at(10 + 240_000)))
        #expect(first.count == 16)
        let actions2 = agreement.handle(.checkFailed(first[0], reason: "refused"), at: .at(250_100))
        // Once more after a moment. The other four are due now, and wait for their turn.
        #expect(actions2.contains(.check(host: "relay", port: 4_000, offset: 0, after: .milliseconds(200))))
        #expect(Self.states(agreement).count { $0 == .verified } == 19)
    }

    @Test func `what only somebody's doing changes is asked for ever less often`() {
        var agreement = PeerPortAgreementTests.service(.any(count: 1))
        _ = agreement.handle(.sessionReady, at: .zero)
        var now = Instant.zero
        var pauses: [UInt64] = []
        for _ in 0..<9 {
            _ = agreement.handle(.refused(.notGranted, detail: "your membership allows TCP only"), at: now)
            guard let next = agreement.nextDeadline else { break }
            pauses.append((next - now).nanoseconds / 1_000_000_000)
            now = next
            _ = agreement.handle(.timePassed, at: now)
        }
        #expect(pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600])
        _ = agreement.handle(.refused(.limitReached, detail: "at most 64 ports for one mapping"), at: now)
        #expect(agreement.nextDeadline == now + .seconds(60))
        _ = agreement.handle(.refused(.portLeased, detail: "leased"), at: now)
        #expect(agreement.nextDeadline == now + .seconds(10))
    }

    @Test func `an offer of another size is declined`() {
        var agreement = PeerPortAgreementTests.service(.any(count: 1))
        _ = agreement.handle(.sessionReady, at: .zero)
        accepted(
            agreement.handle(.offered(PeerPortAgreementTests.offer(4_000, count: 65)), at: .zero)
                == [.send(.decline(Self.id, attempt: 1, reason: .withdrawn))])
    }
}
