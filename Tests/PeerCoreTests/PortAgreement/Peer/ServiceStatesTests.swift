import PeerCore
import PeerWire
import Testing

@Suite("The services of two protocols on one number")
struct ServiceStatesTests {
    private let states = ServiceStates(
        tcp: TargetStates(answering: [0, 3], silent: [1: "no TCP", 2: "no TCP", 4: "no TCP"]),
        udp: TargetStates(answering: [0, 2], silent: [1: "no UDP", 3: "no UDP"]))

    @Test func `a port is up as soon as one answers, and down when none does`() {
        // Of the last one's service for UDP nothing is known yet.
        #expect(
            states.together([.tcp, .udp]) == TargetStates(answering: [0, 2, 3], silent: [1: "no TCP"]))
    }

    @Test func `where a mapping is for one protocol, the other one's service says nothing`() {
        #expect(states.together(.tcp) == states.tcp)
        #expect(states.together(.udp) == states.udp)
        #expect(states[.udp] == states.udp && states[.tcp] == states.tcp)
    }
}
