import PeerCore
import Testing

struct SteadyClockTests {
    private static let begin: Int64 = 1_800_000_000

    /// What the clock says where the wall clock is wrong by `error` seconds, `seconds` after the start.
    private func read(
        _ clock: inout SteadyClock, at seconds: UInt64, wrongBy error: Int64 = 0
    ) -> (error: Int64, changes: [SteadyClock.Change]) {
        let right = Self.begin + Int64(seconds)
        let (time, changes) = clock.read(
            WallTime(seconds: right + error), at: .zero + .seconds(1_000) + .seconds(seconds))
        return (time.seconds - right, changes)
    }

    @Test func `a clock that is two days ahead for a moment is told once, and changes nothing`() {
        var clock = SteadyClock()
        #expect(read(&clock, at: 0).changes == [])
        let ahead: Int64 = 2 * 86_400
        #expect(read(&clock, at: 10, wrongBy: ahead) == (0, [.jumped(seconds: ahead)]))
        #expect(read(&clock, at: 11, wrongBy: ahead) == (0, []))
        #expect(read(&clock, at: 12) == (0, []))
        // And again.
        #expect(read(&clock, at: 20, wrongBy: ahead).changes == [.jumped(seconds: ahead)])
    }

    @Test func `one that stays ahead counts after an hour of running time`() {
        var clock = SteadyClock()
        _ = read(&clock, at: 0)
        let ahead: Int64 = 400 * 86_400
        #expect(read(&clock, at: 10, wrongBy: ahead).changes == [.jumped(seconds: ahead)])
        for second in stride(from: 11, to: 3_610, by: 7) {
            #expect(read(&clock, at: UInt64(second), wrongBy: ahead) == (0, []))
        }
        #expect(read(&clock, at: 3_610, wrongBy: ahead) == (ahead, [.adopted(seconds: ahead)]))
        #expect(read(&clock, at: 3_611, wrongBy: ahead) == (ahead, []))
    }

    @Test func `a jump to yet another time waits anew`() {
        var clock = SteadyClock()
        _ = read(&clock, at: 0)
        _ = read(&clock, at: 10, wrongBy: 86_400)
        #expect(read(&clock, at: 3_000, wrongBy: 2 * 86_400) == (0, [.jumped(seconds: 2 * 86_400)]))
        #expect(read(&clock, at: 3_700, wrongBy: 2 * 86_400) == (0, []))
        #expect(read(&clock, at: 6_600, wrongBy: 2 * 86_400).changes == [.adopted(seconds: 2 * 86_400)])
    }

    @Test func `one that goes back counts at once`() {
        var clock = SteadyClock()
        _ = read(&clock, at: 0, wrongBy: 50 * 365 * 86_400)
        let back: Int64 = -50 * 365 * 86_400
        #expect(read(&clock, at: 10) == (0, [.jumped(seconds: back), .adopted(seconds: back)]))
        #expect(read(&clock, at: 11) == (0, []))
    }

    @Test func `what is set right by little is no jump`() {
        var clock = SteadyClock()
        _ = read(&clock, at: 0)
        #expect(read(&clock, at: 10, wrongBy: 180) == (180, []))
        #expect(read(&clock, at: 20, wrongBy: 0) == (0, []))
        #expect(read(&clock, at: 30, wrongBy: -100) == (-100, []))
    }

    @Test func `times at the ends of what can be said are no trap`() {
        for first in [Int64.min, -1, 0, .max] {
            for second in [Int64.min, -1, 0, .max] {
                var clock = SteadyClock()
                _ = clock.read(WallTime(seconds: first), at: .zero)
                _ = clock.read(WallTime(seconds: second), at: Instant(nanoseconds: .max))
            }
        }
    }
}
