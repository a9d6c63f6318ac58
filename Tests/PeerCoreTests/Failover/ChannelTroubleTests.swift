import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A relay whose pings are good, and whose data channels do not stand.
@Suite struct ChannelTroubleTests {
    /// The results say whether that changed anything.
    private static func fail(_ trouble: inout ChannelTrouble, _ group: UInt8, _ at: UInt64) -> Bool {
        trouble.channelFailed(group, at: .at(at))
    }
    private static func stand(_ trouble: inout ChannelTrouble, _ group: UInt8) -> Bool { trouble.channelStands(group) }

    @Test func `eight failures in a row within ten seconds, and none that stood`() {
        var trouble = ChannelTrouble(groups: 1)
        let changes = (UInt64(0)..<8).map { Self.fail(&trouble, 0, $0 * 1_000) }
        #expect(changes == Array(repeating: false, count: 7) + [true] && trouble.carriesNothing)
        #expect(Self.fail(&trouble, 0, 9_000) == false)
        #expect(Self.stand(&trouble, 0) == true)
        #expect(!trouble.carriesNothing)
        #expect(Self.stand(&trouble, 0) == false)
    }

    @Test func `one that stands in between begins anew, and so do failures that are far apart`() {
        var trouble = ChannelTrouble(groups: 1)
        for at in UInt64(0)..<100 {
            if at % 7 == 6 { _ = trouble.channelStands(0) }
            #expect(Self.fail(&trouble, 0, at * 100) == false)
        }
        trouble = ChannelTrouble(groups: 1)
        for at in UInt64(0)..<100 { #expect(Self.fail(&trouble, 0, at * 1_500) == false) }
    }

    @Test func `a session carries something as long as one of its groups does`() {
        var trouble = ChannelTrouble(groups: 2)
        for at in UInt64(0)..<20 { #expect(Self.fail(&trouble, 1, at) == false) }
        // Groups that it does not have are none.
        for at in UInt64(0)..<20 { #expect(Self.fail(&trouble, 7, at) == false) }
        for at in UInt64(0)..<7 { #expect(Self.fail(&trouble, 0, at) == false) }
        #expect(Self.fail(&trouble, 0, 8) == true)
        #expect(trouble.carriesNothing)
        #expect(Self.stand(&trouble, 1) == true)
        #expect(!trouble.carriesNothing)
    }

    @Test func `what a relay was seen to serve does not count while it carries nothing, and what rests is no failure`()
    {
        let broken = RelayOutcome([.works, .pending], carriesNothing: true)
        #expect(broken.failure == .carriesNothing && broken.working == 0 && broken.pending == 0)
        #expect(RelayOutcome([.fails(.refused)], carriesNothing: true).failure == .carriesNothing)
        #expect(RelayOutcome([.idle], carriesNothing: true) == RelayOutcome([.idle]))
        #expect(RelayOutcome([], carriesNothing: true) == RelayOutcome([]))
    }

    @Test func `such a relay is left for another one, which is published alone meanwhile`() {
        var play = FailoverOutcomeTests.Play(3)
        for number in UInt8(1)...3 { play.outcomes[.number(number)] = FailoverOutcomeTests.good }
        play.run(seconds: 60)
        #expect(play.failover.published == [.number(1), .number(2)])
        play.broken = [.number(1)]
        play.run(seconds: 1)
        #expect(play.failover.published.first == .number(2) && !play.failover.published.contains(.number(1)))
        play.run(seconds: 10)
        #expect(Set(play.failover.published) == [.number(2), .number(3)])
        #expect(play.left.contains { $0.key == .number(1) && $0.reason == .useless })
    }
}
