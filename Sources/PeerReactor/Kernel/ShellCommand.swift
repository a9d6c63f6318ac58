internal import CLinux
import Glibc
public import PeerCore

/// A command line of the user's, run by `/bin/sh` in a process group of its own. What it prints goes where this process
/// prints its errors.
public enum ShellCommand {
    public enum Outcome: Hashable, Sendable {
        case exited(Int32)
        case killed(signal: Int32)
        /// Its time was over; it and what it had started were killed.
        case tookTooLong
        /// errno.
        case notStarted(Int32)
        /// Killed, for `StopFlag` was raised.
        case stopped
    }

    /// Blocks until it has ended, at most for `limit`.
    ///
    /// - Parameters:
    ///   - environment: all of it, as NAME=value; what holds a zero byte is left out.
    ///   - flag: ends it early.
    public static func run(
        _ line: String, environment: [String], limit: Instant.Span, unless flag: StopFlag? = nil
    ) -> Outcome {
        if flag?.isUp == true { return .stopped }
        var entries = environment.filter { !$0.utf8.contains(0) }.map { strdup($0) }
        entries.append(nil)
        defer { for entry in entries { free(entry) } }
        var watch: Int32 = -1
        let child = clinux_shell_start(line, entries, &watch)
        guard child > 0 else { return .notStarted(-child) }
        defer { close(watch) }
        let isOver = waitsUntilReadable(watch, flag?.descriptor, limit)
        if !isOver { kill(-child, SIGKILL) }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        guard isOver else { return flag?.isUp == true ? .stopped : .tookTooLong }
        // wait(2): the lowest 7 bits are the signal, the next byte is the exit status.
        return status & 0x7f == 0 ? .exited((status >> 8) & 0xff) : .killed(signal: status & 0x7f)
    }

    /// Whether it came to that before `limit` was over or the other one became readable.
    private static func waitsUntilReadable(_ descriptor: Int32, _ other: Int32?, _ limit: Instant.Span) -> Bool {
        let deadline = SystemClock.now + limit
        while true {
            let now = SystemClock.now
            guard now < deadline else { return false }
            var entries = [descriptor, other ?? -1].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let left = (deadline - now).nanoseconds / 1_000_000 + 1
            guard poll(&entries, 2, Int32(clamping: left)) > 0 else { continue }
            return entries[0].revents != 0
        }
    }
}

/// Raised once, from any thread; whoever waits for something else can wait for it too.
public final class StopFlag: Sendable {
    /// Readable from then on; -1 where the system has none left.
    let descriptor: Int32

    public init() { descriptor = clinux_eventfd() }

    deinit { close(descriptor) }

    public func raise() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    var isUp: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return descriptor >= 0 && poll(&entry, 1, 0) > 0
    }
}
