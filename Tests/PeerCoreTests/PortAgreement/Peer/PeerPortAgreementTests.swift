import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct PeerPortAgreementTests {
    typealias Action = PeerPortAgreement.Action
    static let id = MappingID.number(5)
    static let ports = AgreementStates.ports

    static func offer(_ first: UInt16, attempt: UInt16 = 1, count: Int = 1) -> RelayMessage.Offer {
        RelayMessage.Offer(
            mapping: id, attempt: attempt, ports: PortRange(first: first, count: count)!, leaseSeconds: 60)
    }

    static func request(_ wish: PortWish) -> Action {
        .send(.request(.init(mapping: id, protocols: .tcp, wish: wish, target: "server port")))
    }

    static func service(_ ports: PortWish = .any(count: 1)) -> PeerPortAgreement {
        AgreementStates.make(.service(host: "127.0.0.1", port: 80), ports)
    }

    /// Some events at one time; the actions of the last.
    @discardableResult
    static func give(
        _ agreement: inout PeerPortAgreement, at now: Instant = .zero, _ events: PeerPortAgreement.Event...
    ) -> [Action] {
        var actions: [Action] = []
        for event in events { actions = agreement.handle(event, at: now) }
        return actions
    }

    @Test func `a service's ports are committed to as soon as they are offered`() {
        var agreement = Self.service()
        #expect(agreement.state == .offline && agreement.reason == "no session to the relay")
        #expect(Self.give(&agreement, .sessionReady) == [Self.request(.any(count: 1)), .changed])
        #expect(
            Self.give(&agreement, .offered(Self.offer(4_000)))
                == [.send(.commit(Self.id, attempt: 1)), .remember(.only(4_000)), .changed])
        #expect(
            Self.give(&agreement, .activated(attempt: 1, host: "relay")) == [
                .check(host: "relay", port: 4_000, offset: 0, after: .zero), .changed,
                .send(.report(Self.id, state: .active)),
            ])
        #expect(
            Self.give(&agreement, .checkPassed(0, by: "this node"))
                == [.changed, .send(.report(Self.id, state: .verified))])
        #expect(agreement.verifiedBy == ["this node"] && agreement.reason == nil)
        #expect(agreement.ports == .only(4_000) && agreement.host == "relay")
    }

    @Test func `what p2prc serves itself is bound to the same number first`() {
        var agreement = AgreementStates.make(.serverPort, .any(count: 1))
        Self.give(&agreement, .sessionReady)
        #expect(Self.give(&agreement, .offered(Self.offer(4_000))) == [.bindOwnPort(4_000), .changed])
        #expect(agreement.state == .bound && agreement.ports == nil)
        #expect(
            Self.give(&agreement, .ownPortTaken)
                == [.send(.decline(Self.id, attempt: 1, reason: .portTakenHere)), .changed])
        #expect(agreement.state == .requested)
        #expect(Self.give(&agreement, .offered(Self.offer(4_001, attempt: 2))) == [.bindOwnPort(4_001), .changed])
        #expect(
            Self.give(&agreement, .ownPortBound)
                == [.send(.commit(Self.id, attempt: 2)), .remember(.only(4_001)), .changed])
    }

    @Test func `a refusal is tried again after ten seconds`() {
        var agreement = Self.service(.exactly(.only(80)))
        Self.give(&agreement, .sessionReady)
        #expect(Self.give(&agreement, at: .at(500), .refused(.portLeased, detail: "leased")) == [.changed])
        #expect(agreement.state == .refused && agreement.reason == "leased")
        #expect(agreement.nextDeadline == .at(10_500))
        #expect(Self.give(&agreement, at: .at(10_499), .timePassed).isEmpty)
        #expect(Self.give(&agreement, at: .at(10_500), .timePassed) == [Self.request(.exactly(.only(80))), .changed])
    }

    @Test func `after a loss the same ports are asked for, unless the user insists on others`() {
        var agreement = Self.service()
        Self.give(
            &agreement, .sessionReady, .offered(Self.offer(4_000)), .activated(attempt: 1, host: "relay"), .sessionLost)
        #expect(agreement.state == .offline && agreement.ports == .only(4_000))
        #expect(Self.give(&agreement, .sessionReady) == [Self.request(.preferably(.only(4_000))), .changed])

        let wish = MappingWish(
            id: Self.id, target: .service(host: "::1", port: 80), protocols: .tcp, ports: .exactly(.only(7)))
        var fixed = PeerPortAgreement(wish: wish, targetText: "server port", remembered: .only(4_000))
        #expect(Self.give(&fixed, .sessionReady).first == Self.request(.exactly(.only(7))))

        let wider = MappingWish(
            id: Self.id, target: .service(host: "::1", port: 80), protocols: .tcp, ports: .any(count: 3))
        var grown = PeerPortAgreement(wish: wider, targetText: "server port", remembered: .only(4_000))
        #expect(Self.give(&grown, .sessionReady).first == Self.request(.any(count: 3)))
    }

    @Test func `what others are told of it is no affair of the relay, and its visitors are`() {
        var agreement = Self.service()
        Self.give(&agreement, .sessionReady, .offered(Self.offer(4_000)), .activated(attempt: 1, host: "relay"))
        var wish = agreement.wish
        wish.announcedAs = "web"
        #expect(agreement.takeOver(wish) && agreement.wish == wish && agreement.state == .active)
        wish.deny = [Network(of: HostAddress("10.0.0.0")!, prefixLength: 8)]
        #expect(!agreement.takeOver(wish) && agreement.wish.deny.isEmpty)
    }

    @Test func `four failed checks make it unreachable, the first three are repeated quickly`() {
        var agreement = Self.service()
        Self.give(&agreement, .sessionReady, .offered(Self.offer(4_000)), .activated(attempt: 1, host: "relay"))
        for failure in UInt64(1)...3 {
            #expect(
                Self.give(&agreement, .checkFailed(0, reason: "refused"))
                    == [.check(host: "relay", port: 4_000, offset: 0, after: .milliseconds(200 * failure))])
            #expect(agreement.state == .active)
        }
        #expect(
            Self.give(&agreement, at: .at(1_000), .checkFailed(0, reason: "refused"))
                == [.changed, .send(.report(Self.id, state: .unreachable))])
        #expect(agreement.reason == "refused" && agreement.nextDeadline == .at(6_000))
        #expect(
            Self.give(&agreement, at: .at(6_000), .timePassed)
                == [.check(host: "relay", port: 4_000, offset: 0, after: .zero)])
        #expect(Self.give(&agreement, at: .at(6_100), .checkFailed(0, reason: "times out")) == [.changed])
        #expect(agreement.reason == "times out")
        #expect(
            Self.give(&agreement, at: .at(7_000), .checkPassed(0, by: "this node"))
                == [.changed, .send(.report(Self.id, state: .verified))])
    }

    @Test func `what was verified is checked again after two minutes`() {
        var agreement = AgreementStates.inState("verified")
        #expect(agreement.nextDeadline == .at(120_000))
        #expect(
            Self.give(&agreement, at: .at(120_000), .timePassed)
                == [.check(host: "relay", port: 4_000, offset: 0, after: .zero)])
        #expect(agreement.state == .verified && agreement.nextDeadline == nil)
        #expect(
            Self.give(&agreement, at: .at(120_100), .checkFailed(0, reason: "refused")) == [
                .check(host: "relay", port: 4_000, offset: 0, after: .milliseconds(200)), .changed,
                .send(.report(Self.id, state: .active)),
            ])
    }

    @Test func `who verified it is told once each`() {
        var agreement = AgreementStates.inState("verified")
        #expect(Self.give(&agreement, .seen(0, by: "node b")) == [.changed])
        #expect(Self.give(&agreement, .seen(0, by: "node b")).isEmpty)
        #expect(agreement.verifiedBy == ["this node", "node b"])
    }

    @Test
    func `what works, but not at the host that visitors are told, is not verified until another has seen it there`() {
        var agreement = Self.service()
        Self.give(&agreement, .sessionReady, .offered(Self.offer(4_000)), .activated(attempt: 1, host: "192.0.2.7"))
        Self.give(&agreement, .checkPassed(0, by: "this node", elsewhere: "10.0.0.5"))
        #expect(agreement.state == .active && agreement.verifiedPorts.isEmpty && agreement.verifiedBy.isEmpty)
        #expect(agreement.standings.map(\.isWorking) == [true])
        #expect(agreement.reason?.contains("10.0.0.5") == true && agreement.reason?.contains("192.0.2.7") == true)
        #expect(agreement.nextDeadline == .at(120_000))
        #expect(Self.checks(Self.give(&agreement, at: .at(120_000), .timePassed)) == 1)
        Self.give(&agreement, at: .at(120_001), .checkPassed(0, by: "this node", elsewhere: "10.0.0.5"))
        #expect(
            Self.give(&agreement, at: .at(120_002), .seen(0, by: "node b"))
                == [.changed, .send(.report(Self.id, state: .verified))])
        #expect(agreement.verifiedBy == ["node b"] && agreement.reason == nil)
        // This node still looks elsewhere, and is no witness for that.
        Self.give(&agreement, at: .at(240_001), .timePassed)
        Self.give(&agreement, at: .at(240_002), .checkPassed(0, by: "this node", elsewhere: "10.0.0.5"))
        #expect(agreement.verifiedBy == ["node b"])
        Self.give(&agreement, at: .at(360_002), .timePassed)
        #expect(Self.checks(Self.give(&agreement, at: .at(360_003), .checkFailed(0, reason: "refused"))) == 1)
        #expect(agreement.state == .active && agreement.standings.map(\.isWorking) == [false])
    }

    private static func checks(_ actions: [PeerPortAgreement.Action]) -> Int {
        actions.count { if case .check = $0 { true } else { false } }
    }

    @Test func `while the target is silent the relay is told to refuse, and nothing is checked`() {
        var agreement = AgreementStates.inState("verified")
        #expect(
            Self.give(&agreement, .targets(AgreementStates.silence)) == [
                .changed, .send(.report(Self.id, state: .targetDown)),
            ])
        #expect(agreement.reason == "server port does not answer" && agreement.verifiedBy.isEmpty)
        #expect(agreement.nextDeadline == nil)
        #expect(Self.give(&agreement, .targets(AgreementStates.silence)).isEmpty)
        #expect(Self.give(&agreement, .checkFailed(0, reason: "refused")).isEmpty)
        #expect(
            Self.give(&agreement, .targets(AgreementStates.answers)) == [
                .changed, .send(.report(Self.id, state: .active)),
            ])
        // The relay accepts again, and says so: only then is it worth a check.
        #expect(
            Self.give(&agreement, .activated(attempt: 3, host: "relay"))
                == [.check(host: "relay", port: 4_000, offset: 0, after: .zero)])
    }

    @Test func `what the relay says of itself has this node dial once for each commit, and once for each return`() {
        var agreement = Self.service()
        Self.give(&agreement, .sessionReady, .activated(attempt: 1, host: "relay"), .offered(Self.offer(4_000)))
        // Of another attempt.
        #expect(Self.give(&agreement, .activated(attempt: 2, host: "third")).isEmpty)
        #expect(agreement.state == .committed)
        let first = Self.give(&agreement, .activated(attempt: 1, host: "relay"))
        #expect(first.contains(.check(host: "relay", port: 4_000, offset: 0, after: .zero)))
        for second in UInt64(0)..<2_000 {
            let actions = Self.give(&agreement, at: .at(second), .activated(attempt: 1, host: "third"))
            #expect(actions.isEmpty && agreement.host == "relay")
        }
        Self.give(&agreement, .checkPassed(0, by: "this node"), .targets(AgreementStates.silence))
        #expect(Self.give(&agreement, .activated(attempt: 1, host: "third")).isEmpty)
        Self.give(&agreement, .targets(AgreementStates.answers))
        #expect(
            Self.give(&agreement, .activated(attempt: 1, host: "relay"))
                == [.check(host: "relay", port: 4_000, offset: 0, after: .zero)])
        #expect(Self.give(&agreement, .activated(attempt: 1, host: "relay")).isEmpty)
    }

    @Test func `one check is under way at a time, and its answer does for those that came meanwhile`() {
        var agreement = Self.service()
        Self.give(
            &agreement, .sessionReady, .offered(Self.offer(4_000)), .activated(attempt: 1, host: "relay"),
            .targets(AgreementStates.silence), .targets(AgreementStates.answers))
        #expect(Self.give(&agreement, .activated(attempt: 1, host: "relay")).isEmpty)
        // What others saw is no answer to it.
        Self.give(&agreement, .seen(0, by: "node b"))
        #expect(Self.give(&agreement, at: .at(120_000), .timePassed).isEmpty)
        #expect(
            Self.give(&agreement, at: .at(120_000), .checkFailed(0, reason: "refused")).first
                == .check(host: "relay", port: 4_000, offset: 0, after: .milliseconds(200)))
        Self.give(&agreement, .sessionLost, .sessionReady, .offered(Self.offer(4_000, attempt: 2)))
        #expect(
            Self.give(&agreement, .activated(attempt: 2, host: "relay"))
                .contains(.check(host: "relay", port: 4_000, offset: 0, after: .zero)))
    }

    @Test func `a target that is silent before its ports are active is reported with them`() {
        var agreement = Self.service()
        #expect(Self.give(&agreement, .targets(AgreementStates.silence)).isEmpty)
        Self.give(&agreement, .sessionReady, .offered(Self.offer(4_000)))
        #expect(
            Self.give(&agreement, .activated(attempt: 1, host: "relay"))
                == [.changed, .send(.report(Self.id, state: .targetDown))])
    }

    @Test func `without a session nothing moves but the target`() {
        for (name, event) in AgreementStates.events where name != "sessionReady" && name != "targetSilent" {
            var agreement = AgreementStates.inState("offline")
            #expect(agreement.handle(event, at: .at(1_000_000)).isEmpty, "\(name)")
            #expect(agreement.stage == .offline, "\(name)")
        }
    }

    @Test(arguments: AgreementStates.names) func `a lost session leads offline from everywhere, with the ports kept`(
        name: String
    ) {
        var agreement = AgreementStates.inState(name)
        let ports = agreement.ports
        Self.give(&agreement, .sessionLost)
        #expect(agreement.stage == .offline && agreement.ports == ports)
        #expect(agreement.nextDeadline == nil)
    }

    @Test func `what another relay gave is wished for, where any will do and none was had here`() {
        var agreement = Self.service()
        agreement.prefers = .only(4_000)
        #expect(!agreement.isAboutToGetPorts)
        #expect(Self.give(&agreement, .sessionReady) == [Self.request(.preferably(.only(4_000))), .changed])
        #expect(agreement.isAboutToGetPorts)
        // Taken there: what was offered instead is what is asked for next time.
        Self.give(&agreement, .offered(Self.offer(4_010)), .activated(attempt: 1, host: "relay"))
        #expect(!agreement.isAboutToGetPorts)
        Self.give(&agreement, .sessionLost)
        #expect(Self.give(&agreement, .sessionReady) == [Self.request(.preferably(.only(4_010))), .changed])

        var exact = Self.service(.exactly(.only(80)))
        exact.prefers = .only(4_000)
        #expect(Self.give(&exact, .sessionReady) == [Self.request(.exactly(.only(80))), .changed])
    }
}
