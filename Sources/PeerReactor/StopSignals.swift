internal import CLinux
import Glibc

/// SIGINT and SIGTERM, taken from whatever thread they reach to one that waits for them.
public enum StopSignals {
    public enum Signal: String, Sendable { case interrupt = "SIGINT", terminate = "SIGTERM" }

    /// From now on both are only told here; a write to a closed connection is an error and no signal.
    public static func watch(_ body: @escaping @Sendable (Signal) -> Void) {
        signal(SIGPIPE, SIG_IGN)
        let descriptor = clinux_watch_stop_signals()
        SystemThread.detach {
            var number: UInt8 = 0
            while true {
                let count = read(descriptor, &number, 1)
                if count == 1 { body(Int32(number) == SIGINT ? .interrupt : .terminate) }
                if count == 0 || (count < 0 && errno != EINTR) { return }
            }
        }
    }

    /// Ends the process without any more ado.
    public static func leaveAtOnce() { _exit(130) }
}
