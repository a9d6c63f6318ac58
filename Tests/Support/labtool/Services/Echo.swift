import Glibc

/// Sends back what comes, until the visitor has finished; then closes its own side too. `banner` speaks first.
///
///     echo --port N [--count 40]      on that many ports from N on
enum Echo {
    static func run(_ arguments: Arguments) throws { try serve(arguments, banner: "") }

    static func runWithBanner(_ arguments: Arguments) throws {
        try serve(arguments, banner: arguments.text("text", or: "220 labtool ready") + "\r\n")
    }

    private static func serve(_ arguments: Arguments, banner: String) throws {
        Socket.raiseDescriptorLimit()
        let first = try arguments.number("port")
        let address = arguments.has("bind") ? try arguments.text("bind") : nil
        let listeners = try (0..<arguments.number("count", or: 1)).map { try Socket.listen(address, port: first + $0) }
        let loop = Loop()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
        for listener in listeners {
            Socket.nonBlocking(listener)
            loop.add(listener, .read) { _ in
                while case let fd = accept(listener, nil, nil), fd >= 0 {
                    Socket.nonBlocking(fd)
                    Socket.noDelay(fd)
                    let connection = EchoConnection(fd, loop, buffer, banner: Array(banner.utf8))
                    loop.add(fd, .read) { connection.handle($0) }
                    connection.start()
                }
            }
        }
        Service.announce(arguments.tool, listeners[0])
        loop.run(seconds: try arguments.limit())
        Report(arguments.tool, ok: false).with("error", "time limit reached").write()
        exit(3)
    }
}

/// Owned by the loop's closure; holds bytes only while the visitor does not read them.
private final class EchoConnection {
    private let fd: Int32
    private let loop: Loop
    private let buffer: UnsafeMutableRawBufferPointer
    private var backlog: [UInt8]

    init(_ fd: Int32, _ loop: Loop, _ buffer: UnsafeMutableRawBufferPointer, banner: [UInt8]) {
        self.fd = fd
        self.loop = loop
        self.buffer = buffer
        backlog = banner
    }

    func start() {
        if !backlog.isEmpty { flush() }
    }

    func handle(_ what: Interest) {
        if what.contains(.error) { return loop.remove(fd) }
        if !backlog.isEmpty {
            flush()
        } else {
            receive()
        }
    }

    private func receive() {
        let count = read(fd, buffer.baseAddress, buffer.count)
        if count < 0 {
            if errno != EAGAIN, errno != EINTR { loop.remove(fd) }
            return
        }
        if count == 0 {
            return loop.remove(fd)
        }
        let sent = max(0, write(fd, buffer.baseAddress, count))
        if sent < count {
            backlog = Array(buffer[sent..<count])
            loop.change(fd, .write)
        }
    }

    private func flush() {
        let sent = backlog.withUnsafeBytes { write(fd, $0.baseAddress, $0.count) }
        if sent < 0, errno != EAGAIN, errno != EINTR { return loop.remove(fd) }
        backlog.removeFirst(max(0, sent))
        loop.change(fd, backlog.isEmpty ? .read : .write)
    }
}
