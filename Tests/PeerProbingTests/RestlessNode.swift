import COpenSSL
import Dispatch
import Glibc
import PeerReactor
import PeerWire

/// A node that sends so many messages without payload before each answer: OpenSSL on a blocking socket, for one
/// connection.
final class RestlessNode: Sendable {
    let port: UInt16
    private let listening: Int32

    init(_ number: UInt8, messages: Int, answering text: String) throws {
        listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let fd = listening
        port = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(fd, $0, length)
                _ = listen(fd, 8)
                _ = getsockname(fd, $0, &length)
            }
            return UInt16(bigEndian: $0.pointee.sin_port)
        }
        DispatchQueue.global().async { Self.serve(fd, number, messages, text) }
    }

    /// The client closes its connection when it stops.
    func close() { shutdown(listening, Int32(SHUT_RDWR)) }

    private static func serve(_ listening: Int32, _ number: UInt8, _ messages: Int, _ text: String) {
        let seed = [UInt8](repeating: number, count: 32)
        let socket = accept(listening, nil, nil)
        let context = copenssl_server(seed, { _, _, _ in false }, nil, nil)
        let ssl = copenssl_accept(context, socket)
        defer {
            SSL_free(ssl)
            SSL_CTX_free(context)
            _ = Glibc.close(socket)
            _ = Glibc.close(listening)
        }
        var room = [UInt8](repeating: 0, count: 4_096)
        while SSL_read(ssl, &room, Int32(room.count)) > 0 {
            for _ in 0..<messages {
                guard SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1, SSL_do_handshake(ssl) == 1 else { return }
            }
            guard SSL_write(ssl, Array(text.utf8), Int32(text.utf8.count)) > 0 else { return }
        }
    }
}

/// A port on which connections are made a second after they were begun: the system's queue is full until then.
final class SlowPort: Sendable {
    let port: UInt16
    private let listening: Int32
    private let filling: [Int32]

    init() throws {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        (port, filling) = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { at in
                _ = bind(fd, at, length)
                _ = listen(fd, 0)
                _ = getsockname(fd, at, &length)
                let filling = (0..<2).map { _ in
                    let one = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
                    _ = connect(one, at, length)
                    return one
                }
                return (
                    at.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { UInt16(bigEndian: $0.pointee.sin_port) },
                    filling
                )
            }
        }
        listening = fd
    }

    /// Takes all who wait, and closes them once their TLS has begun.
    func admit() {
        _ = listen(listening, 64)
        DispatchQueue.global().async { [listening] in
            while true {
                let one = accept(listening, nil, nil)
                guard one >= 0 else { break }
                var byte: UInt8 = 0
                var time = timeval(tv_sec: 5, tv_usec: 0)
                setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
                _ = recv(one, &byte, 1, 0)
                _ = Glibc.close(one)
            }
            _ = Glibc.close(listening)
        }
        for one in filling { _ = Glibc.close(one) }
    }

    func close() { shutdown(listening, Int32(SHUT_RDWR)) }
}
