import PeerCore
import Testing

/// How long the pings of a relay take.
@Suite struct RelayLatencyTests {
    @Test func `the best of the last five is shown`() {
        var latency = RelayLatency()
        _ = latency.measured(.milliseconds(1), at: .at(0))
        for number in UInt64(1)...4 { _ = latency.measured(.milliseconds(10 + number), at: .at(number * 500)) }
        #expect(latency.best == .milliseconds(11))
    }

    @Test func `the first one is written down, and then the best of each five seconds`() {
        var latency = RelayLatency()
        #expect(latency.measured(.milliseconds(30), at: .at(10_000)) == .milliseconds(30))
        #expect(latency.measured(.milliseconds(8), at: .at(11_000)) == nil)
        #expect(latency.measured(.milliseconds(20), at: .at(14_999)) == nil)
        #expect(latency.measured(.milliseconds(25), at: .at(15_000)) == .milliseconds(8))
        #expect(latency.measured(.milliseconds(40), at: .at(20_000)) == .milliseconds(40))
    }

    @Test func `a new session has one written down at once, and its figures begin anew`() {
        var latency = RelayLatency()
        _ = latency.measured(.milliseconds(30), at: .at(10_000))
        let figures = latency.figures
        #expect(figures != SampleLog())
        latency.sessionBegan()
        #expect(latency.figures == SampleLog())
        #expect(latency.best == .milliseconds(30))
        #expect(latency.measured(.milliseconds(50), at: .at(10_500)) == .milliseconds(50))
    }
}
