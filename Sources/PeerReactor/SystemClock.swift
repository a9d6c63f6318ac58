import Glibc
public import PeerMesh

extension WallTime {
    /// CLOCK_REALTIME.
    public static var now: WallTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallTime(seconds: Int64(time.tv_sec))
    }
}
