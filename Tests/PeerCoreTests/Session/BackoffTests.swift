import PeerCore
import Testing

@Suite struct BackoffTests {
    @Test(arguments: UInt64(0)..<50) func `it starts fast, grows, and is never longer than two seconds`(seed: UInt64) {
        var backoff = Backoff(seed: seed)
        var waits: [Instant.Span] = []
        for _ in 0..<100 { waits.append(backoff.next()) }
        #expect(waits[0] <= .milliseconds(63))
        #expect(waits.prefix(4).reduce(.zero, +) < .seconds(1))
        #expect(waits.allSatisfy { $0 <= .seconds(2) && $0 > .zero })
        #expect(waits.suffix(90).allSatisfy { $0 >= .milliseconds(1_500) })
        backoff.reset()
        let first = backoff.next()
        #expect(first <= .milliseconds(63))
    }

    @Test func `peers that fail together do not come back together`() {
        let waits = Set(
            (UInt64(0)..<100).map { seed in
                var backoff = Backoff(seed: seed)
                return (0..<4).map { _ in backoff.next() }
            })
        #expect(waits.count == 100)
    }
}
