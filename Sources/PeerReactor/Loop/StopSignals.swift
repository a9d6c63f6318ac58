internal import CLinux
import Glibc

/// SIGINT, SIGTERM and SIGHUP, taken from whatever thread they reach to one that waits for them. Who was started with
/// SIGHUP ignored (nohup(1)) goes on ignoring it.
public enum StopSignals {
    public enum Signal: String, Sendable {
        case interrupt = "SIGINT"
        case terminate = "SIGTERM"
        /// The terminal is gone.
        case hangUp = "SIGHUP"

        fileprivate init(number: Int32) {
            switch number {
            case SIGINT: self = .interrupt
            case SIGHUP: self = .hangUp
            default: self = .terminate
            }
        }
    }

    /// From now on they are only told here; a write to a closed connection, or to a file that may not grow any more
    /// (`ulimit -f`), is an error and no signal.
    public static func watch(_ body: @escaping @Sendable (Signal) -> Void) throws(SystemError) {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        let descriptor = clinux_watch_stop_signals()
        guard descriptor >= 0 else { throw SystemError("pipe2") }
        try SystemThread.detach {
            var number: UInt8 = 0
            while true {
                let count = read(descriptor, &number, 1)
                if count == 1 { body(Signal(number: Int32(number))) }
                if count == 0 || (count < 0 && errno != EINTR) { return }
            }
        }
    }

    /// Ends the process without any more ado.
    public static func leaveAtOnce() { _exit(130) }
}
