import Glibc

/// Like FTP with passive transfers: whoever comes is told a number, and only then something listens on that port, for
/// one connection and a few seconds, and no longer than he stays: a node that looks whether this answers goes at once.
///
///     momentary --port N --data FIRST [--count 10] [--bytes 65536] [--bind ADDRESS]
enum Momentary {
    static func run(_ arguments: Arguments) throws {
        let (first, count) = (try arguments.number("data"), try arguments.number("count", or: 10))
        let bytes = [UInt8](repeating: 0x64, count: try arguments.number("bytes", or: 65_536))
        let address = arguments.has("bind") ? try arguments.text("bind") : nil
        nonisolated(unsafe) var turn = 0
        try Service.run(arguments) { fd in
            let port = first + turn % count
            turn += 1
            let listener = try Socket.listen(address, port: port)
            defer { close(listener) }
            Socket.timeouts(listener, seconds: 5)
            try Socket.writeAll(fd, "\(port)\n")
            var either = [listener, fd].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&either, 2, 5_000) > 0, either[0].revents != 0 else { return }
            let data = accept(listener, nil, nil)
            guard data >= 0 else { throw SocketError("accept") }
            defer { close(data) }
            try bytes.withUnsafeBytes { try Socket.writeAll(data, $0) }
        }
    }
}
