import PeerCore
import SimulationSupport
import Testing

@Suite("The window of numbers that came")
struct ReplayWindowTests {
    private static let size = ReplayWindow.size

    /// All numbers that were taken, for comparison.
    private final class Bench {
        private var window = ReplayWindow()
        private var taken: Set<UInt64> = []
        private var highest: UInt64?

        func take(_ number: UInt64) -> Bool { window.take(number) }

        /// What the window says, where that is as it should be.
        func compare(_ number: UInt64, _ location: SourceLocation = #_sourceLocation) {
            let isOld = highest.map { $0 >= ReplayWindowTests.size && number <= $0 - ReplayWindowTests.size } ?? false
            let expected = !taken.contains(number) && !isOld
            #expect(window.mayTake(number) == expected, "\(number)", sourceLocation: location)
            #expect(window.take(number) == expected, "\(number)", sourceLocation: location)
            guard expected else { return }
            taken.insert(number)
            highest = max(highest ?? 0, number)
        }
    }

    @Test func `each number counts once, in whatever order they come`() {
        let bench = Bench()
        for number in [0, 1, 5, 3, 5, 0, 4, 2, 64, 63, 65, 64] as [UInt64] { bench.compare(number) }
    }

    @Test func `the last one that is not too old is so many behind the highest, and the one before it is`() {
        let bench = Bench()
        #expect(bench.take(10_000))
        #expect(!bench.take(10_000 - Self.size))
        #expect(bench.take(10_000 - Self.size + 1))
        #expect(!bench.take(10_000 - Self.size + 1))
    }

    @Test func `a jump leaves nothing of what was there a round before`() {
        let bench = Bench()
        for number in UInt64(0)..<4_000 { bench.compare(number) }
        for number in [9_999, 9_000, 9_998, 7_952, 7_951, 1_000_000, 999_999, 998_000] as [UInt64] {
            bench.compare(number)
        }
    }

    @Test func `the highest number of all is none`() {
        let bench = Bench()
        #expect(!bench.take(.max))
        #expect(bench.take(.max - 1))
        #expect(!bench.take(.max - 1))
        #expect(bench.take(.max - 2))
    }

    @Test(arguments: 0..<(Environment.isLong ? 200 : 20)) func `as a set of all numbers would say it`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let bench = Bench()
        var front: UInt64 = seed % 3 == 0 ? 0 : UInt64.random(in: 0...100_000, using: &random)
        for _ in 0..<3_000 {
            switch Int.random(in: 0..<20, using: &random) {
            case 0: front += UInt64.random(in: 0...6_000, using: &random)
            case 1...12: front += 1
            default: break
            }
            bench.compare(front - min(front, UInt64.random(in: 0...2_200, using: &random)))
        }
    }
}
