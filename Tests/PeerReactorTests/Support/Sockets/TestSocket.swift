import CLinux
import Glibc

@testable import PeerReactor

/// A blocking socket as a visitor or a service would have it, with time-outs on everything.
final class TestSocket: Sendable {
    enum Kind: CaseIterable, Sendable, CustomStringConvertible {
        case tcp, unix
        var description: String { self == .tcp ? "TCP" : "Unix" }
    }

    enum End: Equatable { case clean, reset, timedOut, other(Int32) }

    let fd: Int32

    init(_ fd: Int32) {
        self.fd = fd
        var time = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close() }

    private let isClosed = Flag()

    /// An orderly end, as far as the system sees it.
    func close() {
        if isClosed.raise() { _ = Glibc.close(fd) }
    }

    /// Closes with RST.
    func reset() {
        clinux_reset_on_close(fd, 1)
        close()
    }

    func endWriting() { shutdown(fd, Int32(SHUT_WR)) }

    func limitBuffers(to bytes: Int32) {
        var size = bytes
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, 4)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, 4)
    }

    @discardableResult
    func send(_ bytes: [UInt8], flags: Int32 = 0) -> Bool {
        bytes.withUnsafeBytes { send($0, flags: flags) }
    }

    func send(_ bytes: UnsafeRawBufferPointer, flags: Int32 = 0) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = Glibc.send(fd, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL) | flags)
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    func receive(_ maximum: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: maximum)
        let count = recv(fd, &bytes, maximum, 0)
        return Array(bytes.prefix(max(0, count)))
    }

    func receive(exactly count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let some = receive(count - bytes.count)
            if some.isEmpty { break }
            bytes += some
        }
        return bytes
    }

    /// Reads on until there is no more.
    func drain() -> (bytes: [UInt8], end: End) {
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(fd, &chunk, chunk.count, 0)
            if count > 0 {
                all += chunk[..<count]
                continue
            }
            return (all, count == 0 ? .clean : Self.end(errno))
        }
    }

    static func end(_ code: Int32) -> End {
        switch code {
        case ECONNRESET, EPIPE: .reset
        case EAGAIN: .timedOut
        default: .other(code)
        }
    }

    var port: UInt16 { SocketAddress.local(of: fd)?.port ?? 0 }

    // MARK: Making them

    /// Closed on exec: a child that a test starts would otherwise keep the connections of all others open.
    static func blockingSocket(_ family: Int32) -> Int32 {
        socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    }

    static func listening(backlog: Int32 = 128, on address: SocketAddress = .loopback(0)) throws -> TestSocket {
        let socket = try bound(to: address)
        guard listen(socket.fd, backlog) == 0 else { throw SystemError("listen") }
        return socket
    }

    /// Without SO_REUSEADDR, as a foreign program might do it.
    static func bound(to address: SocketAddress, reuse: Bool = false) throws -> TestSocket {
        let socket = TestSocket(blockingSocket(address.family))
        var one: Int32 = reuse ? 1 : 0
        setsockopt(socket.fd, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        guard address.withSystemAddress({ bind(socket.fd, $0, $1) }) == 0 else { throw SystemError("bind") }
        return socket
    }

    static func connected(to port: UInt16) throws -> TestSocket {
        let socket = TestSocket(blockingSocket(AF_INET))
        let status = SocketAddress.loopback(port).withSystemAddress { connect(socket.fd, $0, $1) }
        guard status == 0 else { throw SystemError("connect") }
        return socket
    }

    func accept() throws -> TestSocket {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let fd = clinux_accept(fd, &storage, &length)
        guard fd >= 0 else { throw SystemError("accept") }
        _ = fcntl(fd, F_SETFL, 0)
        return TestSocket(fd)
    }

    /// A connection: our end to the stream under test, and the other end as a visitor has it.
    static func pair(_ kind: Kind = .tcp, smallBuffers: Bool = false) throws -> (
        stream: StreamParcel, other: TestSocket
    ) {
        let ends: (TestSocket, TestSocket)
        switch kind {
        case .tcp:
            let server = try listening()
            if smallBuffers { server.limitBuffers(to: 4_096) }
            let other = TestSocket(blockingSocket(AF_INET))
            if smallBuffers { other.limitBuffers(to: 4_096) }
            let status = SocketAddress.loopback(server.port).withSystemAddress { connect(other.fd, $0, $1) }
            guard status == 0 else { throw SystemError("connect") }
            ends = (try server.accept(), other)
        case .unix:
            var both: [Int32] = [-1, -1]
            let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
            guard socketpair(AF_UNIX, type, 0, &both) == 0 else {
                throw SystemError("socketpair")
            }
            ends = (TestSocket(both[0]), TestSocket(both[1]))
            if smallBuffers {
                ends.0.limitBuffers(to: 4_096)
                ends.1.limitBuffers(to: 4_096)
            }
        }
        let fd = fcntl(ends.0.fd, F_DUPFD_CLOEXEC, 0)
        _ = fcntl(fd, F_SETFL, O_NONBLOCK)
        SocketSetup.atTheEdge.apply(to: fd)
        return (StreamParcel(Stream(Descriptor(fd))), ends.1)
    }
}

extension SocketAddress {
    static func loopback(_ port: UInt16) -> SocketAddress { SocketAddress(host: .ipv4([127, 0, 0, 1]), port: port) }
}
