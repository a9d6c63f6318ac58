import PeerCore
import Testing

@testable import P2PRCKit

@Suite struct HookPaceTests {
    static func at(_ seconds: Double) -> Instant { Instant.zero + .milliseconds(UInt64(seconds * 1_000)) }

    @Test func `the first address is told at once, the next change ten seconds later`() {
        var pace = HookPace()
        #expect(pace.wait(.nothing, at: Self.at(1)) == .zero)
        pace.ran(.nothing, at: Self.at(1))
        #expect(pace.wait(.nothing, at: Self.at(4)) == .seconds(7))
        #expect(pace.wait(.nothing, at: Self.at(11)) == .zero)
    }

    @Test func `an address that is gone is told at once, but not one after the other`() {
        var pace = HookPace()
        pace.ran(.nothing, at: Self.at(1))
        #expect(pace.wait(.some, at: Self.at(2)) == .zero)
        pace.ran(.some, at: Self.at(2))
        #expect(pace.wait(.some, at: Self.at(3)) == .seconds(9))
        #expect(pace.wait(.nothing, at: Self.at(3)) == .seconds(9))
        #expect(pace.wait(.some, at: Self.at(12)) == .zero)
    }

    @Test func `a relay that comes and goes every second has it run at most twice in ten seconds`() {
        var pace = HookPace()
        var runs = 0
        for step in 0..<600 {
            let (loss, now) = (step.isMultiple(of: 2) ? HookPace.Loss.some : .nothing, Self.at(Double(step)))
            guard pace.wait(loss, at: now) == .zero else { continue }
            pace.ran(loss, at: now)
            runs += 1
        }
        #expect(runs > 50 && runs <= 121)
    }

    @Test func `two relays that fail one soon after the other are both told of at once`() {
        var pace = HookPace()
        pace.ran(.nothing, at: Self.at(1))
        // The first is silent, the second takes its place; that is silent too, and a third is there.
        #expect(pace.wait(.some, at: Self.at(30)) == .zero)
        pace.ran(.some, at: Self.at(30))
        #expect(pace.wait(.all, at: Self.at(30.3)) == .zero)
        pace.ran(.all, at: Self.at(30.3))
        #expect(pace.wait(.nothing, at: Self.at(31)) == .milliseconds(9_300))
        // The other way round, too.
        #expect(pace.wait(.all, at: Self.at(50)) == .zero)
        pace.ran(.all, at: Self.at(50))
        #expect(pace.wait(.some, at: Self.at(51)) == .zero)
        pace.ran(.some, at: Self.at(51))
        #expect(pace.wait(.all, at: Self.at(52)) == .seconds(9))
    }

    @Test func `relays that come and go by turns have it run at most three times in ten seconds`() {
        var pace = HookPace()
        var runs: [Double] = []
        for step in 0..<600 {
            let losses: [HookPace.Loss] = [.all, .some, .nothing]
            let (loss, now) = (losses[step % 3], Double(step) / 2)
            guard pace.wait(loss, at: Self.at(now)) == .zero else { continue }
            pace.ran(loss, at: Self.at(now))
            runs.append(now)
        }
        #expect(zip(runs, runs.dropFirst(3)).allSatisfy { $1 - $0 >= 10 }, "\(runs)")
    }
}
