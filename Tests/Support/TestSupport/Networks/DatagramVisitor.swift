import Foundation
import Glibc

/// A plain UDP socket of a test: a visitor, or a service that says what it hears.
public final class DatagramVisitor: @unchecked Sendable {
    // Unchecked: the descriptor is never changed, and the thread of an echo does nothing but read and write it.
    private let descriptor: Int32
    public let port: Int

    /// - Parameters:
    ///   - address: of this machine, that its datagrams come from.
    ///   - port: 0: any.
    public init(at address: String = "127.0.0.1", port: Int = 0) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var own = Self.name(address, port)
        let bound = withUnsafePointer(to: &own) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard descriptor >= 0, bound == 0 else { throw Failure("no UDP socket at \(address):\(port)") }
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &own) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        self.descriptor = descriptor
        self.port = Int(UInt16(bigEndian: own.sin_port))
    }

    deinit { close(descriptor) }

    private static func name(_ address: String, _ port: Int) -> sockaddr_in {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = UInt16(port).bigEndian
        inet_pton(AF_INET, address, &name.sin_addr)
        return name
    }

    /// Says so to a port, and hears what comes back within the time; `nil`: nothing.
    ///
    /// - Throws: `Refused` when nobody is at that port (ICMP).
    public func ask(_ bytes: [UInt8], at port: Int, of address: String = "127.0.0.1", within seconds: Int = 2) throws
        -> [UInt8]?
    {
        var name = Self.name(address, port)
        let connected = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw Failure("connect: \(errno)") }
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard send(descriptor, bytes, bytes.count, 0) == bytes.count else { throw Failure("send: \(errno)") }
        var answer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &answer, answer.count, 0)
        guard count >= 0 else {
            if errno == ECONNREFUSED { throw Refused() }
            return nil
        }
        return Array(answer.prefix(count))
    }

    /// Says the same so many times to whom it asked last, and hears nothing.
    public func repeatLast(_ bytes: [UInt8], times: Int) {
        for _ in 0..<times { _ = send(descriptor, bytes, bytes.count, 0) }
    }

    public struct Refused: Error {}

    /// Answers every datagram with itself, until the process ends.
    ///
    /// - Parameter other: what the answers come from, in its place.
    public func echo(by other: DatagramVisitor? = nil) {
        Thread.detachNewThread { [self] in
            var bytes = [UInt8](repeating: 0, count: 65_536)
            var source = sockaddr_in()
            while true {
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                let count = withUnsafeMutablePointer(to: &source) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        recvfrom(descriptor, &bytes, bytes.count, 0, $0, &length)
                    }
                }
                guard count >= 0 else { continue }
                _ = withUnsafePointer(to: &source) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        sendto((other ?? self).descriptor, bytes, count, 0, $0, length)
                    }
                }
            }
        }
    }
}
