import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A mapping that any port will do for has one number, wherever that is to be had.
@Suite struct OneNumberTests {
    static let mapping = MappingID.number(5)
    static let usual = PortRange.only(24_807)
    static let odd = PortRange.only(29_149)

    static func place(_ relay: UInt8, _ ports: PortRange, _ isVerified: Bool = true) -> OneNumber.Place {
        .init(relay: .number(relay), ports: ports, isVerified: isVerified)
    }

    @Test func `the number that fewer relays gave is given back, also where those of the other are away`() {
        var one = OneNumber()
        let places = [Self.place(3, Self.odd), Self.place(2, Self.usual)]
        let found = one.exchange(of: Self.mapping, places, given: [Self.usual, Self.odd, Self.usual], at: .zero)
        #expect(found?.relay == .number(3) && found?.ports == Self.usual)
    }

    @Test func `of two alike the one further behind is given back`() {
        var one = OneNumber()
        let places = [Self.place(3, Self.odd), Self.place(2, Self.usual)]
        let found = one.exchange(of: Self.mapping, places, given: [Self.usual, Self.odd], at: .zero)
        #expect(found?.relay == .number(2) && found?.ports == Self.odd)
    }

    @Test func `nothing is given back before the usual one is seen to work elsewhere`() {
        var one = OneNumber()
        let given = [Self.usual, Self.odd, Self.usual]
        let waiting = [Self.place(3, Self.odd), Self.place(2, Self.usual, false)]
        #expect(one.exchange(of: Self.mapping, waiting, given: given, at: .zero) == nil)
        // The usual one is at relays that are away.
        #expect(one.exchange(of: Self.mapping, [Self.place(3, Self.odd)], given: given, at: .zero) == nil)
        let there = [Self.place(3, Self.odd), Self.place(2, Self.usual)]
        #expect(one.exchange(of: Self.mapping, there, given: given, at: .at(500)) != nil)
    }

    @Test func `a relay that does not give out the usual one is not asked for it, and keeps its own open`() {
        var one = OneNumber()
        var places = [Self.place(1, Self.usual), Self.place(2, Self.odd), Self.place(3, .only(29_150))]
        places[2].range = PortRange(first: 29_000, count: 200)
        let given = [Self.usual, Self.odd, .only(29_150)]
        #expect(one.exchange(of: Self.mapping, places, given: given, at: .zero)?.relay == .number(2))
        places[2].range = PortRange(first: 20_000, count: 10_000)
        #expect(one.exchange(of: Self.mapping, places, given: given, at: .zero)?.relay == .number(3))
    }

    @Test func `what a relay has just refused it is asked for again after five minutes, once`() {
        var one = OneNumber()
        var places = [Self.place(1, Self.usual), Self.place(2, Self.odd)]
        places[1].denied = Self.usual
        var asked: [UInt64] = []
        for second in UInt64(0)...3_600 {
            let found = one.exchange(of: Self.mapping, places, given: [Self.usual, Self.odd], at: .at(second * 1_000))
            if found != nil { asked.append(second) }
        }
        #expect(asked == [300])
    }

    @Test func `what was asked for in vain stays, and another number is asked for five minutes later`() {
        var one = OneNumber()
        let places = [Self.place(1, Self.usual), Self.place(2, Self.odd)]
        let given = [Self.usual, Self.odd]
        #expect(one.exchange(of: Self.mapping, places, given: given, at: .zero) != nil)
        for second in UInt64(1)...3_600 {
            #expect(one.exchange(of: Self.mapping, places, given: given, at: .at(second * 1_000)) == nil)
        }
        let third = PortRange.only(30_000)
        one = OneNumber()
        #expect(one.exchange(of: Self.mapping, places, given: given, at: .zero) != nil)
        let others = [Self.place(1, third), Self.place(2, Self.odd)]
        #expect(one.exchange(of: Self.mapping, others, given: [third, Self.odd], at: .at(299_000)) == nil)
        #expect(one.exchange(of: Self.mapping, others, given: [third, Self.odd], at: .at(300_000))?.ports == third)
    }

    @Test func `of several odd ones one is given back at a time, and each once`() {
        var one = OneNumber()
        let places = [Self.place(1, Self.usual), Self.place(2, Self.odd), Self.place(3, .only(30_000))]
        let given = [Self.usual, Self.odd, .only(30_000)]
        var asked: [NodeKey] = []
        for second in UInt64(0)...60 {
            if let found = one.exchange(of: Self.mapping, places, given: given, at: .at(second * 1_000)) {
                asked.append(found.relay)
            }
        }
        #expect(asked == [.number(3), .number(2)])
    }

    // MARK: What a relay makes of it

    /// A peer's agreement with a relay that gives out what it is asked for, or something else.
    private func exchanged(_ grants: (PortRange) -> PortRange) -> (agreement: PeerPortAgreement, sent: [String]) {
        var agreement = AgreementStates.make(.service(host: "127.0.0.1", port: 80))
        var sent: [String] = []
        var attempt: UInt16 = 0
        func handle(_ event: PeerPortAgreement.Event) {
            for action in agreement.handle(event, at: .zero) {
                guard case .send(let message) = action else { continue }
                switch message {
                case .release: sent.append("release")
                case .request(let request):
                    attempt += 1
                    guard case .preferably(let wanted) = request.wish else { continue }
                    sent.append("request \(wanted)")
                    let ports = grants(wanted)
                    handle(.offered(.init(mapping: .number(5), attempt: attempt, ports: ports, leaseSeconds: 60)))
                case .commit(_, let attempt, _): handle(.activated(attempt: attempt, host: "relay"))
                default: break
                }
            }
        }
        _ = agreement.handle(.sessionReady, at: .zero)
        handle(.offered(.init(mapping: .number(5), attempt: 9, ports: Self.odd, leaseSeconds: 60)))
        handle(.exchange(Self.usual))
        return (agreement, sent)
    }

    @Test func `a port is released and the usual one asked for, and where that is taken the former one again`() {
        let (agreement, sent) = exchanged { $0 }
        #expect(agreement.denied == nil)
        #expect(agreement.ports == Self.usual && sent == ["release", "request 24807"])
        let (other, said) = exchanged { $0 == Self.usual ? .only(31_000) : $0 }
        #expect(other.denied == Self.usual)
        #expect(other.ports == Self.odd && said == ["release", "request 24807", "release", "request 29149"])
    }

    @Test func `what the user fixed is not given back`() {
        var agreement = AgreementStates.make(.service(host: "127.0.0.1", port: 80), .preferably(Self.odd))
        _ = agreement.handle(.sessionReady, at: .zero)
        _ = agreement.handle(
            .offered(.init(mapping: .number(5), attempt: 1, ports: Self.odd, leaseSeconds: 60)), at: .zero)
        _ = agreement.handle(.activated(attempt: 1, host: "relay"), at: .zero)
        #expect(agreement.handle(.exchange(Self.usual), at: .zero).isEmpty && agreement.ports == Self.odd)
    }
}
