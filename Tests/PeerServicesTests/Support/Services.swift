import Foundation
import Glibc
import PeerWire
import Synchronization
import Testing

/// A service of the machine that sends back what it gets, until the test lets go of it.
final class EchoService: @unchecked Sendable {
    // Unchecked: the descriptor is set once, and closed once.
    private let fd: Int32
    private let isStopped = Mutex(false)
    let port: UInt16

    /// - Parameters:
    ///   - port: 0: any that is free.
    ///   - host: the last number of its address.
    init(port wanted: UInt16 = 0, at host: UInt8 = 1) throws {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.fd = fd
        var on: Int32 = 1
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = loopback(wanted, host)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(fd, address, length) == 0 && listen(fd, 64) == 0 && getsockname(fd, address, &length) == 0
            }
        }
        guard isBound else {
            defer { close(fd) }
            throw OwnedTime.NotSo(what: "a port for a service: \(String(cString: strerror(errno)))")
        }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread {
            while true {
                let visitor = accept(fd, nil, nil)
                guard visitor >= 0 else { return }
                Thread.detachNewThread { Self.serve(visitor) }
            }
        }
    }

    deinit { stop() }

    /// Services at so many ports in a row.
    static func consecutive(_ count: Int) throws -> [EchoService] {
        for _ in 0..<50 {
            let first = try EchoService()
            let others = (1..<count).compactMap { try? EchoService(port: first.port &+ UInt16($0)) }
            if others.count == count - 1 { return [first] + others }
        }
        throw OwnedTime.NotSo(what: "\(count) ports in a row")
    }

    /// From now on its port refuses.
    func stop() {
        let isFirst = isStopped.withLock { stopped in
            defer { stopped = true }
            return !stopped
        }
        guard isFirst else { return }
        shutdown(fd, Int32(SHUT_RDWR))
        close(fd)
    }

    private static func serve(_ visitor: Int32) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(visitor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            var sent = 0
            while sent < count {
                let more = buffer.withUnsafeBytes {
                    send(visitor, $0.baseAddress! + sent, count - sent, Int32(MSG_NOSIGNAL))
                }
                guard more > 0 else { break }
                sent += more
            }
        }
        close(visitor)
    }
}

/// Numbers that a relay of a test gives out, and that nobody on this machine has.
enum FreePorts {
    static func range(_ count: Int) throws -> PortRange {
        for _ in 0..<100 {
            let range = try #require(PortRange(first: .random(in: 20_000...29_000), count: count))
            let services = range.ports.compactMap { try? EchoService(port: $0) }
            for service in services { service.stop() }
            if services.count == count { return range }
        }
        throw OwnedTime.NotSo(what: "\(count) free ports")
    }
}

/// Somebody who comes to a public port from outside, with time-outs on everything.
enum Visitor {
    enum Answer: Equatable {
        case bytes([UInt8])
        case refused
        /// Let in, and then ended or reset before all had come back.
        case brokenOff
    }

    /// Connects, says something, and waits for as many bytes.
    static func says(_ bytes: [UInt8], to port: UInt16, at host: UInt8 = 1) throws -> Answer {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(fd >= 0)
        defer { close(fd) }
        var time = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var address = loopback(port, host)
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else {
            // A port that closes resets whoever is about to be accepted.
            if errno == ECONNRESET { return .brokenOff }
            try #require(errno == ECONNREFUSED, "\(String(cString: strerror(errno)))")
            return .refused
        }
        _ = bytes.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while answer.count < bytes.count {
            let count = recv(fd, &buffer, buffer.count, 0)
            guard count > 0 else { return .brokenOff }
            answer += buffer[0..<count]
        }
        return .bytes(answer)
    }
}

func loopback(_ port: UInt16, _ host: UInt8 = 1) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = (0x7f00_0000 + UInt32(host)).bigEndian
    return address
}
