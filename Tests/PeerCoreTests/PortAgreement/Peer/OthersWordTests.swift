import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A port is verified by somebody else's word, where there is somebody else.
@Suite struct OthersWordTests {
    typealias Event = PeerPortAgreement.Event

    /// The relay has opened the port, and nobody was there yet.
    static func opened(_ ports: Int = 1) -> PeerPortAgreement {
        var agreement = AgreementStates.make(.service(host: "127.0.0.1", port: 80), .any(count: ports))
        let offered = PortRange(first: 4_000, count: ports)!
        _ = agreement.handle(.sessionReady, at: .zero)
        _ = agreement.handle(
            .offered(.init(mapping: .number(5), attempt: 1, ports: offered, leaseSeconds: 60)), at: .zero)
        _ = agreement.handle(.activated(attempt: 1, host: "relay"), at: .zero)
        return agreement
    }

    @discardableResult
    static func give(_ agreement: inout PeerPortAgreement, at now: UInt64, _ events: Event...) -> [String] {
        events.flatMap { agreement.handle($0, at: .at(now)) }.map(\.name)
    }

    static let passed = Event.checkPassed(0, by: "this node", asksOthers: true)
    static func no(_ relay: String, isLast: Bool) -> Event {
        .notSeen(0, by: relay, relay: "\(relay):8088", isLast: isLast)
    }
    static func yes(_ relay: String) -> Event { .seen(0, by: relay, relay: "\(relay):8088") }

    @Test func `with nobody to ask the own check verifies at once`() {
        var agreement = Self.opened()
        let actions = Self.give(&agreement, at: 10, .checkPassed(0, by: "this node"))
        #expect(actions == ["changed", "send report(verified)"])
        #expect(agreement.state == .verified && agreement.outcome == .works)
    }

    @Test func `the own check waits for the other's word, and both are named`() {
        var agreement = Self.opened()
        Self.give(&agreement, at: 10, Self.passed)
        #expect(agreement.state == .active && agreement.outcome == .pending && agreement.verifiedPorts.isEmpty)
        #expect(Self.give(&agreement, at: 30, Self.yes("b")) == ["changed", "send report(verified)"])
        #expect(agreement.verifiedBy == ["this node", "b"] && agreement.outcome == .works)
    }

    @Test func `who cannot be asked is not waited for, and who does not answer for four seconds`() {
        var agreement = Self.opened()
        Self.give(&agreement, at: 10, Self.passed, .notAsked)
        #expect(agreement.state == .verified)

        agreement = Self.opened()
        Self.give(&agreement, at: 10, Self.passed)
        #expect(agreement.nextDeadline == .at(4_010))
        Self.give(&agreement, at: 4_009, .timePassed)
        #expect(agreement.state == .active)
        Self.give(&agreement, at: 4_010, .timePassed)
        #expect(agreement.state == .verified)
        // It is verified now, and does not wait again each time that it is looked at.
        Self.give(&agreement, at: 130_000, .timePassed, Self.passed)
        #expect(agreement.state == .verified)
    }

    @Test func `what nobody but this node reaches is unreachable, says so, and counts as failing`() {
        var agreement = Self.opened()
        Self.give(&agreement, at: 10, Self.passed, Self.no("b", isLast: true))
        #expect(agreement.state == .unreachable && agreement.outcome == .fails(.unreachable))
        #expect(agreement.reason == "reached from this node's own address alone: b does not get through")
        #expect(agreement.standings[0].isWorking == false && agreement.verifiedPorts.isEmpty)
        // That this node comes through again says nothing new; that b does, all.
        Self.give(&agreement, at: 120_020, .timePassed, Self.passed)
        #expect(agreement.state == .unreachable)
        Self.give(&agreement, at: 120_050, Self.yes("b"))
        #expect(agreement.state == .verified && agreement.verifiedBy == ["this node", "b"])
    }

    @Test func `one that lies takes nothing down that another one reaches, whoever speaks first`() {
        for liarIsFirst in [true, false] {
            var agreement = Self.opened()
            Self.give(&agreement, at: 10, Self.passed)
            let words = [Self.no("liar", isLast: false), Self.yes("b")]
            for event in liarIsFirst ? words : words.reversed() { Self.give(&agreement, at: 3_100, event) }
            #expect(agreement.state == .verified && agreement.outcome == .works)
            // Also later, and as often as he likes.
            for round in UInt64(1)...20 {
                Self.give(&agreement, at: 3_100 + round * 1_000, Self.no("liar", isLast: true))
            }
            #expect(agreement.state == .verified)
        }
    }

    @Test func `a first no among several decides nothing, a second one does`() {
        var agreement = Self.opened()
        Self.give(&agreement, at: 10, Self.passed, Self.no("b", isLast: false))
        #expect(agreement.state == .active)
        Self.give(&agreement, at: 3_100, Self.no("b", isLast: false))
        #expect(agreement.state == .active)
        Self.give(&agreement, at: 6_200, Self.no("c", isLast: false))
        #expect(agreement.state == .unreachable)
    }

    @Test func `a port that closes for others later is seen to, and the names of those who saw it go`() {
        var agreement = Self.opened()
        Self.give(&agreement, at: 10, Self.passed, Self.yes("b"))
        Self.give(&agreement, at: 120_000, .timePassed, Self.passed, Self.no("b", isLast: true))
        #expect(agreement.state == .unreachable && agreement.verifiedBy == ["this node"])
    }

    @Test func `of a range what is said of one port holds for all that only this node reached`() {
        var agreement = Self.opened(3)
        for offset in UInt16(0)..<3 {
            Self.give(&agreement, at: 10, .checkPassed(offset, by: "this node", asksOthers: true))
        }
        #expect(agreement.standings.allSatisfy { $0.state == .active })
        Self.give(&agreement, at: 20, Self.yes("b"))
        #expect(agreement.standings.allSatisfy { $0.state == .verified })
        agreement = Self.opened(3)
        for offset in UInt16(0)..<3 {
            Self.give(&agreement, at: 10, .checkPassed(offset, by: "this node", asksOthers: true))
        }
        Self.give(&agreement, at: 6_000, Self.no("b", isLast: true))
        #expect(agreement.standings.allSatisfy { $0.state == .unreachable })
    }
}
