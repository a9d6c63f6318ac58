internal import CLinux
import Glibc
public import PeerCore

/// One question and one answer over a Unix socket, blocking: for commands, not for loops.
public enum UnixExchange {
    /// What is done once, when the other end has been silent for so long.
    public struct Reminder {
        public var after: Instant.Span
        public var tell: () -> Void

        public init(after: Instant.Span, tell: @escaping () -> Void) {
            self.after = after
            self.tell = tell
        }
    }

    /// Sends `bytes` and reads until the other end closes. `nil` when nothing listens there.
    public static func exchange(
        path: String, sending bytes: [UInt8], limit: Instant.Span, reminder: Reminder? = nil
    ) throws(SystemError) -> [UInt8]? {
        guard let address = UnixAddress(path: path) else { throw SystemError("connect", code: ENAMETOOLONG) }
        let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw SystemError("socket") }
        let descriptor = Descriptor(fd)
        let deadline = SystemClock.now + limit
        // A time of nothing at all would mean no limit.
        let microseconds = max(1, Int(limit.nanoseconds / 1_000))
        var time = timeval(tv_sec: microseconds / 1_000_000, tv_usec: microseconds % 1_000_000)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        while address.withSystemAddress({ connect(fd, $0, $1) }) != 0 {
            if errno == ENOENT || errno == ECONNREFUSED { return nil }
            // Stopped by the user, and continued (signal(7)).
            if errno != EINTR { throw SystemError("connect") }
        }
        try send(bytes, to: descriptor.raw, until: deadline)
        if let reminder {
            do throws(SystemError) {
                try wait(for: POLLIN, on: descriptor.raw, until: min(deadline, SystemClock.now + reminder.after))
            } catch {
                guard error.code == ETIMEDOUT else { throw error }
                reminder.tell()
            }
        }
        return try receive(from: descriptor.raw, until: deadline)
    }

    private static func send(_ bytes: [UInt8], to fd: Int32, until deadline: Instant) throws(SystemError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
            let count = rest.withUnsafeBytes { Glibc.send(fd, $0.baseAddress, $0.count, flags) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                try wait(for: POLLOUT, on: fd, until: deadline)
            } else if errno == EPIPE {
                // Who answers without having read everything may have closed already: what it said still counts.
                return
            } else if errno != EINTR {
                throw SystemError("send")
            }
        }
    }

    private static func receive(from fd: Int32, until deadline: Instant) throws(SystemError) -> [UInt8] {
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(fd, &chunk, chunk.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                answer += chunk[..<count]
            } else if count == 0 || (errno == ECONNRESET && !answer.isEmpty) {
                // A reset after the answer is an end as well.
                return answer
            } else if errno == EAGAIN {
                try wait(for: POLLIN, on: fd, until: deadline)
            } else if errno != EINTR {
                throw SystemError("recv")
            }
        }
    }

    /// A process that was stopped and goes on after the deadline still takes what has come meanwhile.
    private static func wait(for events: Int32, on fd: Int32, until deadline: Instant) throws(SystemError) {
        while true {
            var entry = pollfd(fd: fd, events: Int16(events), revents: 0)
            let left = deadline - SystemClock.now
            let ready = poll(&entry, 1, Int32(clamping: (left.nanoseconds + 999_999) / 1_000_000))
            if ready > 0 { return }
            if ready == 0, left == .zero { throw SystemError("recv", code: ETIMEDOUT) }
            if ready < 0, errno != EINTR { throw SystemError("poll") }
        }
    }
}
