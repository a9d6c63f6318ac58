import Glibc

/// A socket for datagrams with much room in the kernel.
enum DatagramSockets {
    static let longest = 65_507

    static func make(_ family: Int32) throws -> Int32 {
        let fd = socket(family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw SocketError("socket") }
        for (forced, plain) in [(SO_RCVBUFFORCE, SO_RCVBUF), (SO_SNDBUFFORCE, SO_SNDBUF)] {
            var room: Int32 = 8 << 20
            if setsockopt(fd, SOL_SOCKET, forced, &room, 4) != 0 { setsockopt(fd, SOL_SOCKET, plain, &room, 4) }
        }
        return fd
    }

    /// Datagrams of nobody else are received.
    static func connected(to endpoint: Endpoint) throws -> Int32 {
        let fd = try make(endpoint.family)
        guard endpoint.withAddress({ connect(fd, $0, $1) }) == 0 else { throw SocketError("connect") }
        return fd
    }
}

/// Answers each datagram with itself, and says how many came when it is asked to end (SIGTERM).
///
///     datagram-echo --port N [--bind A] [--sign]
///
/// With `--sign` bytes 8 and 9 of an answer are the port that its question came from, as `datagram-pings` expects it.
enum DatagramEcho {
    static func run(_ arguments: Arguments) throws {
        let host = try arguments.text("bind", or: "127.0.0.1")
        let endpoint = try Endpoint(host: host, port: try arguments.number("port"), toListen: true)
        let fd = try DatagramSockets.make(endpoint.family)
        guard endpoint.withAddress({ bind(fd, $0, $1) }) == 0 else { throw SocketError("bind") }
        let isSigned = arguments.has("sign")
        var stop = sigset_t()
        sigemptyset(&stop)
        sigaddset(&stop, SIGTERM)
        pthread_sigmask(SIG_BLOCK, &stop, nil)
        let counted = UnsafeMutablePointer<Int>.allocate(capacity: 1)
        counted.initialize(to: 0)
        let place = UInt(bitPattern: counted)
        Threads.start {
            var stop = sigset_t()
            sigemptyset(&stop)
            sigaddset(&stop, SIGTERM)
            var which: Int32 = 0
            sigwait(&stop, &which)
            let came = UnsafeMutablePointer<Int>(bitPattern: place)?.pointee ?? 0
            Report("datagram-echo", ok: true).with("came", came).finish()
        }
        Service.announce(arguments.tool, fd)
        let room = UnsafeMutableRawPointer.allocate(byteCount: 65_536, alignment: 8)
        var name = sockaddr_storage()
        withUnsafeMutablePointer(to: &name) { name in
            name.withMemoryRebound(to: sockaddr.self, capacity: 1) { source in
                while true {
                    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
                    let count = recvfrom(fd, room, 65_536, 0, source, &length)
                    guard count >= 0 else { continue }
                    counted.pointee += 1
                    // The port sits at the same place in both families, in the order that it has on the wire.
                    if isSigned, count >= 10 { memcpy(room + 8, UnsafeRawPointer(source) + 2, 2) }
                    _ = sendto(fd, room, count, 0, source, length)
                }
            }
        }
    }
}
