import Glibc

/// What the services have in common: one line once they listen, and a thread per connection where that is simplest.
enum Service {
    static func announce(_ tool: String, _ listener: Int32) {
        Report(tool, ok: true).with("listening", Socket.port(of: listener)).write()
    }

    static func run(_ arguments: Arguments, _ connection: @escaping @Sendable (Int32) throws -> Void) throws {
        Socket.raiseDescriptorLimit()
        let listener = try Socket.listen(
            arguments.has("bind") ? arguments.text("bind") : nil, port: arguments.number("port"))
        announce(arguments.tool, listener)
        while true {
            let fd = accept(listener, nil, nil)
            guard fd >= 0 else {
                Clock.sleep(milliseconds: 5)
                continue
            }
            _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
            Socket.noDelay(fd)
            Threads.start {
                do {
                    try connection(fd)
                } catch {
                    complain("\(error)")
                }
                close(fd)
            }
        }
    }
}

/// Reads and forgets; prints a line for every connection that ended: with how many bytes, and how.
enum Discard {
    static func run(_ arguments: Arguments) throws {
        try Service.run(arguments) { fd in
            let end = try Ending(fd)
            Report("discard", ok: end.how == "end of stream").with("bytes", end.bytes).with("ended", end.how).write()
        }
    }
}

/// Says one line, closes its sending side at once, and goes on reading; prints digest and length at the end. The other
/// half of the half-close test: the visitor's bytes must still arrive after the service has finished speaking.
enum CloseThenRead {
    static func run(_ arguments: Arguments) throws {
        try Service.run(arguments) { fd in
            try Socket.writeAll(fd, "that is all from me\n")
            shutdown(fd, Int32(SHUT_WR))
            let digest = try Digest()
            let end = try Ending(fd) { try digest.add($0) }
            Report("close-then-read", ok: end.how == "end of stream")
                .with("bytes", end.bytes).with("sha256", try digest.finish()).with("ended", end.how).write()
        }
    }
}

/// Reads a connection to its end.
private struct Ending {
    private(set) var bytes = 0
    private(set) var how = "end of stream"

    init(_ fd: Int32, _ each: (UnsafeRawBufferPointer) throws -> Void = { _ in }) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { buffer.deallocate() }
        do {
            while case let count = try Socket.readSome(fd, buffer), count > 0 {
                bytes += count
                try each(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        } catch let error as SocketError {
            how = error.name
        }
    }
}

/// Reads all there is and only then answers: its SHA-256 and its length. A tunnel that loses the answer after the
/// visitor's half-close shows here.
enum AnswerAfterEOF {
    static func run(_ arguments: Arguments) throws {
        try Service.run(arguments) { fd in
            let digest = try Digest()
            var total = 0
            try withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { buffer in
                while case let count = try Socket.readSome(fd, buffer), count > 0 {
                    total += count
                    try digest.add(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                }
            }
            try Socket.writeAll(fd, "\(digest.finish()) \(total)\n")
        }
    }
}

/// Promises more than it sends (`--bytes`) and then breaks off with an RST.
enum ResetMidDownload {
    static func run(_ arguments: Arguments) throws {
        let bytes = try arguments.number("bytes", or: 4 << 20)
        nonisolated(unsafe) let blob = Blob()
        try Service.run(arguments) { fd in
            try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { _ = try Socket.readSome(fd, $0) }
            try Socket.writeAll(fd, "HTTP/1.1 200 OK\r\nContent-Length: \(1 << 40)\r\n\r\n")
            try blob.forEachPiece(from: 0, count: bytes) { try Socket.writeAll(fd, $0) }
            // Time for the bytes to leave: an RST throws away what the other side has not read.
            Clock.sleep(milliseconds: 300)
            Socket.abortOnClose(fd)
        }
    }
}

/// A relay of a far future: answers every session with a version of the protocol that nobody speaks yet.
enum FutureRelay {
    static func run(_ arguments: Arguments) throws {
        try Service.run(arguments) { fd in
            try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { _ = try Socket.readSome(fd, $0) }
            try (Array("p2prcv".utf8) + [0, 99]).withUnsafeBytes { try Socket.writeAll(fd, $0) }
        }
    }
}
