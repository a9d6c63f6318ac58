import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct MeshClockTests {
    static let wall = WallTime.start

    static func clock(_ offsets: [Int64]) -> MeshClock {
        var clock = MeshClock()
        for (number, offset) in offsets.enumerated() {
            clock.heard(wall.seconds + offset, at: host(number), own: wall, now: .zero)
        }
        return clock
    }

    /// Each in a network, and a wider one, of its own.
    static func host(_ number: Int) -> HostAddress { HostAddress("\(11 + number % 200).\(number / 200).0.1")! }

    @Test func `a clock that is wrong by hours is corrected by those of three networks`() {
        #expect(Self.clock([7_200, 7_201]).correction == 0)
        #expect(Self.clock([7_200, 7_201, 7_199]).time(at: Self.wall) == Self.wall.seconds + 7_199)
        #expect(Self.clock([-7_200, -7_201, -7_199]).correction == -7_200)
    }

    @Test func `nobody moves a clock by more than a day, or one that is synchronized`() {
        #expect(Self.clock([86_400, 86_400, 86_400]).correction == 86_400)
        #expect(Self.clock([86_401, 86_401, 86_401]).correction == 0)
        #expect(Self.clock(Array(repeating: 315_360_000, count: 40)).correction == 0)
        var clock = Self.clock([7_200, 7_200, 7_200])
        clock.isSynchronized = true
        #expect(clock.correction == 0)
    }

    @Test func `many keys of one network have one vote, and a wider one has few`() {
        var clock = MeshClock()
        for number in 0..<200 {
            clock.heard(Self.wall.seconds + 7_200, at: HostAddress("203.0.113.\(number)")!, own: Self.wall, now: .zero)
        }
        #expect(clock.correction == 0)
        for number in 0..<200 {
            clock.heard(
                Self.wall.seconds + 7_200, at: HostAddress("2001:db8:7::\(number)")!, own: Self.wall, now: .zero)
        }
        #expect(clock.correction == 0)
        // 200 networks of one /16 against five honest ones.
        for number in 0..<200 {
            clock.heard(Self.wall.seconds + 7_200, at: HostAddress("198.51.\(number).1")!, own: Self.wall, now: .zero)
        }
        for number in 0..<7 { clock.heard(Self.wall.seconds, at: Self.host(number), own: Self.wall, now: .zero) }
        #expect(clock.correction == 0)
    }

    @Test func `what was said counts for ten minutes`() {
        var clock = Self.clock([7_200, 7_200, 7_200])
        clock.forget(at: .zero + .seconds(599))
        #expect(clock.correction == 7_200)
        clock.forget(at: .zero + .seconds(600))
        #expect(clock.correction == 0)
    }

    @Test func `a right clock is not moved by a few liars or by one who says it often`() {
        #expect(Self.clock([0, 1, 0, 5_000_000, -4, 9_000_000_000_000, 2]).correction == 0)
        var clock = MeshClock()
        for _ in 0..<50 { clock.heard(0, at: Self.host(1), own: Self.wall, now: .zero) }
        clock.heard(-5, at: Self.host(2), own: Self.wall, now: .zero)
        #expect(clock.correction == 0)
    }

    @Test func `small deviations and more partners than are remembered change nothing`() {
        #expect(Self.clock([30, 31, 29, 40]).correction == 0)
        #expect(Self.clock(Array(repeating: 0, count: 200) + Array(repeating: 7_200, count: 12)).correction == 0)
    }
}
