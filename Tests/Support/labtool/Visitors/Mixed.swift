import Glibc
import Synchronization

/// Visitors of every kind at one echo and one HTTP service at once, for a while; each byte that comes back is compared.
///
///     mixed --echo PORT --http PORT --for SECONDS [--held 20]
///
/// Bulk both ways at once, down and up (the last by its digest), short connections, one after the other on a connection
/// that is kept, `--held` that say something every now and then, and such as leave by a reset in the middle of an
/// answer. What an echo sends is another piece of the blob on each connection, so that bytes of somebody else show.
enum Mixed {
    static func run(_ arguments: Arguments) throws {
        Socket.raiseDescriptorLimit()
        let echo = try Endpoint(host: "127.0.0.1", port: arguments.number("echo"))
        let http = try Endpoint(host: "127.0.0.1", port: arguments.number("http"))
        let begin = Clock.milliseconds()
        let visitors = Visitors(until: begin + (try arguments.number("for")) * 1000)
        let held = try arguments.number("held", or: 20)
        let kinds: [(String, @Sendable () throws -> Void)] = [
            ("bulk", { try visitors.echo(echo, bytes: 8 << 20, pause: 200) }),
            ("down", { try visitors.down(http, bytes: 8 << 20, pause: 200) }),
            ("up", { try visitors.up(http, bytes: 4 << 20, pause: 200) }),
            ("short", { try visitors.echo(echo, bytes: 1 + visitors.random(16 << 10), pause: 5) }),
            ("short", { try visitors.echo(echo, bytes: 1 + visitors.random(64), pause: 5) }),
            ("kept", { try visitors.kept(http, pause: 10) }),
            ("held", { try visitors.held(echo, count: held) }),
            ("leaving", { try visitors.leave(http, pause: 50) }),
        ]
        for (name, visit) in kinds { visitors.start(name, visit) }
        visitors.wait(for: kinds.count)
        let told = visitors.told
        Report(arguments.tool, ok: told.changed == 0 && told.broken.isEmpty && told.bytes > 0)
            .with("bytes", told.bytes).with("changed", told.changed)
            .with("connections", told.connections.values.reduce(0, +)).with("kinds", told.connections)
            .with("broken", told.broken).with("worst", told.worst)
            .with("milliseconds", Clock.milliseconds() - begin)
            .finish()
    }
}

private final class Visitors: Sendable {
    struct Told {
        /// That came back, or whose digest did.
        var bytes = 0
        var changed = 0
        var connections: [String: Int] = [:]
        /// How often a kind met with something else than it should, by kind and what that was.
        var broken: [String: Int] = [:]
        /// Milliseconds that the first answer on a short connection took at most.
        var worst = 0
        fileprivate var ended = 0
    }

    private static let patience = 15
    private let blob = Pattern()
    private let end: Int
    private let state = Mutex(Told())

    var told: Told { state.withLock { $0 } }

    init(until end: Int) { self.end = end }

    private var isOver: Bool { Clock.milliseconds() >= end }

    func random(_ bound: Int) -> Int { Int.random(in: 0..<bound) }

    /// One visit after the other; what throws is counted, and the next one comes.
    func start(_ kind: String, _ visit: @escaping @Sendable () throws -> Void) {
        Threads.start { [self] in
            while !isOver {
                do {
                    try visit()
                    state.withLock { $0.connections[kind, default: 0] += 1 }
                } catch {
                    state.withLock { $0.broken["\(kind): \(error)", default: 0] += 1 }
                    Clock.sleep(milliseconds: 100)
                }
            }
            state.withLock { $0.ended += 1 }
        }
    }

    func wait(for count: Int) {
        while told.ended < count { Clock.sleep(milliseconds: 20) }
    }

    // MARK: Visits

    private func with<T>(_ endpoint: Endpoint, _ body: (Int32) throws -> T) throws -> T {
        let fd = try Socket.connect(endpoint, seconds: Self.patience)
        defer { close(fd) }
        return try body(fd)
    }

    /// Sends and reads at the same time, ends its own direction, and wants the other's end after the last byte.
    func echo(_ endpoint: Endpoint, bytes: Int, pause: Int) throws {
        let offset = random(Blob.period)
        try with(endpoint) { fd in
            let begin = Clock.milliseconds()
            // What fits into the sockets' buffers needs no thread of its own.
            let isShort = bytes <= 16 << 10
            let sender = isShort ? nil : Sender { [self] in try send(fd, bytes, from: offset) }
            // Nobody writes any more to a descriptor that is closed.
            defer { sender?.finish(fd) }
            if isShort { try send(fd, bytes, from: offset) }
            try receive(fd, bytes, from: offset)
            if isShort {
                let took = Clock.milliseconds() - begin
                state.withLock { $0.worst = max($0.worst, took) }
            }
            try wantEnd(fd)
        }
        Clock.sleep(milliseconds: pause)
    }

    func down(_ endpoint: Endpoint, bytes: Int, pause: Int) throws {
        try with(endpoint) { fd in
            try Socket.writeAll(fd, "GET /blob/\(bytes) HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
            _ = try head(fd)
            try receive(fd, bytes, from: 0)
            try wantEnd(fd)
        }
        Clock.sleep(milliseconds: pause)
    }

    func up(_ endpoint: Endpoint, bytes: Int, pause: Int) throws {
        let digest = try Digest()
        try blob.forEachPiece(from: 0, count: bytes) { try digest.add($0) }
        let wanted = Array("\(try digest.finish()) \(bytes)\n".utf8)
        try with(endpoint) { fd in
            let headers = "Host: lab\r\nContent-Length: \(bytes)\r\nConnection: close\r\n\r\n"
            try Socket.writeAll(fd, "PUT /sink HTTP/1.1\r\n\(headers)")
            try blob.forEachPiece(from: 0, count: bytes) { try Socket.writeAll(fd, $0) }
            _ = try head(fd)
            let answer = try read(fd, wanted.count)
            state.withLock {
                $0.bytes += bytes
                if answer != wanted { $0.changed += bytes }
            }
            try wantEnd(fd)
        }
        Clock.sleep(milliseconds: pause)
    }

    /// 200 questions on one connection, or what there is time for.
    func kept(_ endpoint: Endpoint, pause: Int) throws {
        try with(endpoint) { fd in
            for _ in 0..<200 where !isOver {
                let bytes = 1 + random(64 << 10)
                try Socket.writeAll(fd, "GET /blob/\(bytes) HTTP/1.1\r\nHost: lab\r\n\r\n")
                _ = try head(fd)
                try receive(fd, bytes, from: 0)
                Clock.sleep(milliseconds: pause)
            }
        }
    }

    /// All of them stay to the end, and each says something in its turn.
    func held(_ endpoint: Endpoint, count: Int) throws {
        let fds = try (0..<count).map { _ in try Socket.connect(endpoint, seconds: Self.patience) }
        defer { for fd in fds { close(fd) } }
        state.withLock { $0.connections["held", default: 0] += count - 1 }
        var turn = 0
        while !isOver {
            let offset = random(Blob.period)
            try blob.forEachPiece(from: offset, count: 64) { try Socket.writeAll(fds[turn % count], $0) }
            try receive(fds[turn % count], 64, from: offset)
            turn += 1
            Clock.sleep(milliseconds: 100)
        }
    }

    func leave(_ endpoint: Endpoint, pause: Int) throws {
        try with(endpoint) { fd in
            Socket.abortOnClose(fd)
            try Socket.writeAll(fd, "GET /blob/\(1 << 20) HTTP/1.1\r\nHost: lab\r\n\r\n")
            _ = try head(fd)
            try receive(fd, 1 + random(256 << 10), from: 0)
        }
        Clock.sleep(milliseconds: pause)
    }

    // MARK: Bytes

    private func send(_ fd: Int32, _ count: Int, from offset: Int) throws {
        try blob.forEachPiece(from: offset, count: count) { try Socket.writeAll(fd, $0) }
        shutdown(fd, Int32(SHUT_WR))
    }

    private func receive(_ fd: Int32, _ count: Int, from offset: Int) throws {
        try withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { buffer in
            var got = 0
            while got < count {
                let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, count - got)])
                let length = try Socket.readSome(fd, room)
                guard length > 0 else { throw SocketError("an end after \(got) of \(count) bytes", ECONNABORTED) }
                let piece = UnsafeRawBufferPointer(rebasing: room[..<length])
                let changed = blob.matches(piece, at: offset + got) ? 0 : blob.differences(piece, at: offset + got)
                state.withLock {
                    $0.bytes += length
                    $0.changed += changed
                }
                got += length
            }
        }
    }

    private func read(_ fd: Int32, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let length = try bytes.withUnsafeMutableBytes {
                try Socket.readSome(fd, UnsafeMutableRawBufferPointer(rebasing: $0[got...]))
            }
            guard length > 0 else { throw SocketError("an end in an answer", ECONNABORTED) }
            got += length
        }
        return bytes
    }

    private func head(_ fd: Int32) throws -> String {
        var head: [UInt8] = []
        while !head.suffix(4).elementsEqual([13, 10, 13, 10]) { head += try read(fd, 1) }
        guard head.starts(with: Array("HTTP/1.1 200".utf8)) else { throw SocketError("another answer", EBADMSG) }
        return String(decoding: head, as: UTF8.self)
    }

    private func wantEnd(_ fd: Int32) throws {
        var byte: UInt8 = 0
        let count = Glibc.read(fd, &byte, 1)
        guard count == 0 else { throw count < 0 ? SocketError("end") : SocketError("more than was sent", EBADMSG) }
    }
}
