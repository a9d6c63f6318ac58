internal import CLinux
import Glibc
public import PeerCore

/// What the kernel says of the clock of this machine.
public enum SystemClock {
    /// Whether something keeps it in step with a source of time (adjtimex(2)); `false` also where nobody may ask.
    public static var isSynchronized: Bool { clinux_clock_is_synchronized() == 1 }
}

extension WallTime {
    /// CLOCK_REALTIME.
    public static var now: WallTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallTime(seconds: Int64(time.tv_sec))
    }
}
