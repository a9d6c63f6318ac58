import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A link whose next attempt is asked for at once.
struct RelayLinkHurryTests {
    @Test func `with something else to show, an attempt that has shown the former begins anew, any other goes on`() {
        func refused() -> RelayLink {
            var link = RelayLink(seed: 1, at: .zero)
            _ = link.timePassed(at: .zero) + link.connected(HandshakePair().peer, at: .zero)
            _ = link.received(RelayMessage.close(.notAMember, detail: "").frame, at: .zero)
            return link
        }
        // While the next attempt is on its way: what the last one came to is no answer to what is asked now.
        for anew in [false, true] {
            var link = refused()
            #expect(link.refusal != nil && link.failures == 1)
            let now = link.nextDeadline!
            #expect(link.timePassed(at: now).map(\.name) == ["connect"])
            #expect(link.hurry(anew: anew, at: now).isEmpty)
            #expect(link.state.name == "connecting" && link.refusal == nil && link.failures == 0)
            _ = link.reached(at: now)
            #expect(link.hurry(anew: anew, at: now).isEmpty)
            #expect(link.state.name == "opening")
        }
        for (anew, expected) in [(false, [String]()), (true, ["disconnect", "connect"])] {
            var link = refused()
            let now = link.nextDeadline!
            _ = link.timePassed(at: now) + link.connected(HandshakePair().peer, at: now)
            #expect(link.hurry(anew: anew, at: now).map(\.name) == expected)
            #expect(link.state.name == (anew ? "connecting" : "opening") && link.refusal == nil)
            // The new attempt may be secured as any other.
            if anew { #expect(link.connected(HandshakePair().peer, at: now).map(\.name) == ["send hello"]) }
        }
        var pair = LinkPair.inState("established")
        #expect(pair.link.hurry(anew: true, at: pair.now).isEmpty)
    }
}
