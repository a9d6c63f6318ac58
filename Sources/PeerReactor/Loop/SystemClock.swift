internal import CLinux
import Glibc
public import PeerCore

/// The clocks of this machine, and what the kernel says of them.
public enum SystemClock {
    /// Whether something keeps it in step with a source of time (adjtimex(2)); `false` also where nobody may ask.
    public static var isSynchronized: Bool { clinux_clock_is_synchronized() == 1 }

    /// CLOCK_MONOTONIC. What belongs to a loop asks that (`EventLoop.clock`).
    public static var now: Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }
}

extension WallTime {
    /// CLOCK_REALTIME.
    public static var now: WallTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallTime(seconds: Int64(time.tv_sec))
    }
}
