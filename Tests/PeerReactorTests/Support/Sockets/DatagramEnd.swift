import Glibc
import PeerWire

@testable import PeerReactor

/// A plain socket of the system, for what the other end of a datagram sees.
final class DatagramEnd {
    private let descriptor: Descriptor
    let port: UInt16

    /// - Parameter host: an IPv4 address.
    init(_ host: String = "127.0.0.1") throws {
        let fd = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw SystemError("socket") }
        descriptor = Descriptor(fd)
        let address = SocketAddress(numeric: host, port: 0)!
        guard address.withSystemAddress({ bind(fd, $0, $1) }) == 0 else { throw SystemError("bind") }
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var room: Int32 = 4 << 20
        setsockopt(fd, SOL_SOCKET, Int32(SO_RCVBUFFORCE), &room, socklen_t(MemoryLayout<Int32>.size))
        port = SocketAddress.local(of: fd)!.port
    }

    var address: DatagramAddress { DatagramAddress(SocketAddress(numeric: "127.0.0.1", port: port)!) }

    func send(_ bytes: [UInt8], to port: UInt16, at host: String = "127.0.0.1") throws {
        let address = SocketAddress(numeric: host, port: port)!
        let count = address.withSystemAddress { sendto(descriptor.raw, bytes, bytes.count, 0, $0, $1) }
        guard count == bytes.count else { throw SystemError("sendto") }
    }

    /// The next datagram, and who sent it; waits for 5 s.
    func next() throws -> (bytes: [UInt8], from: SocketAddress) {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let count = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(descriptor.raw, &bytes, bytes.count, 0, $0, &length)
            }
        }
        guard count >= 0 else { throw SystemError("recvfrom") }
        return (Array(bytes.prefix(count)), SocketAddress(storage)!)
    }

    /// Nothing more is there.
    var isEmpty: Bool {
        var byte: UInt8 = 0
        return recv(descriptor.raw, &byte, 1, Int32(MSG_DONTWAIT)) < 0 && errno == EAGAIN
    }
}
