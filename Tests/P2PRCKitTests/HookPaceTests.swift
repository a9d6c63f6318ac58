import PeerMesh
import Testing

@testable import P2PRCKit

@Suite struct HookPaceTests {
    static func at(_ seconds: Double) -> Instant { Instant.zero + .milliseconds(UInt64(seconds * 1_000)) }

    @Test func `the first address is told at once, the next change ten seconds later`() {
        var pace = HookPace()
        #expect(pace.wait(isLoss: false, at: Self.at(1)) == .zero)
        pace.ran(isLoss: false, at: Self.at(1))
        #expect(pace.wait(isLoss: false, at: Self.at(4)) == .seconds(7))
        #expect(pace.wait(isLoss: false, at: Self.at(11)) == .zero)
    }

    @Test func `an address that is gone is told at once, but not one after the other`() {
        var pace = HookPace()
        pace.ran(isLoss: false, at: Self.at(1))
        #expect(pace.wait(isLoss: true, at: Self.at(2)) == .zero)
        pace.ran(isLoss: true, at: Self.at(2))
        #expect(pace.wait(isLoss: true, at: Self.at(3)) == .seconds(9))
        #expect(pace.wait(isLoss: false, at: Self.at(3)) == .seconds(9))
        #expect(pace.wait(isLoss: true, at: Self.at(12)) == .zero)
    }

    @Test func `a relay that comes and goes every second has it run at most twice in ten seconds`() {
        var pace = HookPace()
        var runs = 0
        for step in 0..<600 {
            let (isLoss, now) = (step.isMultiple(of: 2), Self.at(Double(step)))
            guard pace.wait(isLoss: isLoss, at: now) == .zero else { continue }
            pace.ran(isLoss: isLoss, at: now)
            runs += 1
        }
        #expect(runs > 50 && runs <= 121)
    }
}
