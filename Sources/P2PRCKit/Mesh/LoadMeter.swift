internal import Glibc

/// How busy this process keeps its processors: 0 to 1, of the last seconds. Belongs to one loop.
final class LoadMeter {
    /// Microseconds; what happened within less is chance.
    private static let span: Int64 = 1_000_000

    private var wall: Int64
    private var used: Int64
    private var last = 0.0

    init() {
        wall = Self.clock(CLOCK_MONOTONIC)
        used = Self.clock(CLOCK_PROCESS_CPUTIME_ID)
    }

    var load: Double {
        let now = Self.clock(CLOCK_MONOTONIC)
        guard now - wall >= Self.span else { return last }
        let time = Self.clock(CLOCK_PROCESS_CPUTIME_ID)
        last = min(1, Double(time - used) / Double(now - wall) / Double(SystemFacts.processorCount))
        (wall, used) = (now, time)
        return last
    }

    /// Microseconds (clock_gettime(2)).
    private static func clock(_ id: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(id, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
    }
}
