internal import CLinux
import Glibc
public import PeerMesh

/// One question and one answer over a Unix socket, blocking: for commands, not for loops.
public enum UnixExchange {
    /// Sends `bytes` and reads until the other end closes. `nil` when nothing listens there.
    public static func exchange(
        path: String, sending bytes: [UInt8], limit: Instant.Span
    ) throws(SystemError) -> [UInt8]? {
        guard let address = UnixAddress(path: path) else { throw SystemError("connect", code: ENAMETOOLONG) }
        let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw SystemError("socket") }
        let descriptor = Descriptor(fd)
        // A time of nothing at all would mean no limit.
        let microseconds = max(1, Int(limit.nanoseconds / 1_000))
        var time = timeval(tv_sec: microseconds / 1_000_000, tv_usec: microseconds % 1_000_000)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        guard address.withSystemAddress({ connect(fd, $0, $1) }) == 0 else {
            if errno == ENOENT || errno == ECONNREFUSED { return nil }
            throw SystemError("connect")
        }
        let sent = bytes.withUnsafeBytes { send(descriptor.raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        // Who answers without having read everything may have closed already: what it said still counts.
        guard sent == bytes.count || errno == EPIPE else { throw SystemError("send") }
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor.raw, &chunk, chunk.count, 0)
            if count == 0 { return answer }
            guard count > 0 else {
                // A reset after the answer is an end as well.
                if errno == ECONNRESET, !answer.isEmpty { return answer }
                throw SystemError("recv", code: errno == EAGAIN ? ETIMEDOUT : errno)
            }
            answer += chunk[..<count]
        }
    }
}
