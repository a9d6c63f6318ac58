import Glibc
import Testing

/// A visitor that stays: what it says comes back, until somebody breaks it off.
final class HeldVisitor {
    private let fd: Int32

    /// - Parameter from: the last number of the address that it comes from.
    init(to port: UInt16, from: UInt8 = 1) throws {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(fd >= 0)
        var time = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var own = loopback(0, from)
        var address = loopback(port)
        let length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafePointer(to: &own) { own in
            own.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(fd, $0, length) == 0 }
        }
        let isConnected = withUnsafePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, length) == 0 }
        }
        try #require(isBound && isConnected, "\(String(cString: strerror(errno)))")
    }

    deinit { leave() }

    func leave() { close(fd) }

    @discardableResult
    func says(_ byte: UInt8) -> Bool {
        var byte = byte
        return send(fd, &byte, 1, Int32(MSG_NOSIGNAL)) == 1
    }

    /// Says something and waits for the same; `false` when it is broken off instead.
    func echoes(_ byte: UInt8) -> Bool {
        guard says(byte) else { return false }
        var answer: UInt8 = 0
        return recv(fd, &answer, 1, 0) == 1 && answer == byte
    }

    /// Whether it was broken off by now. Nothing is waited for.
    var isBrokenOff: Bool {
        var byte: UInt8 = 0
        let count = recv(fd, &byte, 1, Int32(MSG_DONTWAIT | MSG_PEEK))
        return count == 0 || count < 0 && errno != EAGAIN
    }
}
