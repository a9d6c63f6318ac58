import Glibc

/// Opens, echoes one byte, closes; over and over.
///
///     churn --address A --port N --connections 20000 --parallel 64
enum Churn {
    static func run(_ arguments: Arguments) throws {
        Socket.raiseDescriptorLimit()
        let endpoint = try arguments.endpoint()
        let total = try arguments.number("connections")
        let parallel = try arguments.number("parallel", or: 64)
        let loop = Loop()
        var started = 0
        var ended = 0
        var results: [String: Int] = [:]
        let begin = Clock.milliseconds()

        func next() {
            while started < total {
                started += 1
                do {
                    let fd = try Socket.startConnect(endpoint)
                    return OneByte(fd, loop).start(value: UInt8(truncatingIfNeeded: started)) { fd, result in
                        if let fd { loop.remove(fd) }
                        finish(result)
                        next()
                    }
                } catch {
                    finish((error as? SocketError)?.name ?? "\(error)")
                }
            }
        }
        func finish(_ result: String) {
            ended += 1
            results[result, default: 0] += 1
            if ended == total { loop.stop() }
        }

        for _ in 0..<parallel { next() }
        if ended < total { loop.run(seconds: try arguments.limit()) }
        Report(arguments.tool, ok: results["ok"] == total)
            .with("connections", total)
            .with("succeeded", results["ok"] ?? 0)
            .with("timeouts", total - ended)
            .with("results", results)
            .with("milliseconds", Clock.milliseconds() - begin)
            .finish()
    }
}

/// Keeps many connections open, each proven by one byte.
///
///     hold --address A --port N --connections 5000
///
/// Prints a line with "held" once all are open (or have failed), keeps them until standard input closes or the time is
/// over, echoes one more byte on each, and reports.
enum Hold {
    static func run(_ arguments: Arguments) throws {
        Socket.raiseDescriptorLimit()
        let endpoint = try arguments.endpoint()
        let total = try arguments.number("connections")
        let limit = try arguments.limit()
        let loop = Loop()
        var started = 0
        var open: [Int32] = []
        var results: [String: Int] = [:]
        var pending = 0

        func next() {
            while started < total {
                started += 1
                do {
                    let fd = try Socket.startConnect(endpoint)
                    pending += 1
                    return OneByte(fd, loop).start(value: UInt8(truncatingIfNeeded: started)) { fd, result in
                        pending -= 1
                        results[result, default: 0] += 1
                        if let fd {
                            if result == "ok" {
                                loop.change(fd, [])
                                open.append(fd)
                            } else {
                                loop.remove(fd)
                            }
                        }
                        if started == total, pending == 0 { return loop.stop() }
                        next()
                    }
                } catch {
                    results[(error as? SocketError)?.name ?? "\(error)", default: 0] += 1
                }
            }
        }

        // A queue of connections at a time: no listener's backlog is the thing under test here.
        let begin = Clock.milliseconds()
        for _ in 0..<128 where started < total { next() }
        if pending > 0 { loop.run(seconds: limit) }
        Report(arguments.tool, ok: open.count == total)
            .with("held", open.count).with("results", results).with("milliseconds", Clock.milliseconds() - begin)
            .write()

        // Standard input closes, or the time is over.
        loop.add(0, .read) { _ in
            var byte: UInt8 = 0
            if read(0, &byte, 1) <= 0 { loop.stop() }
        }
        loop.run(seconds: max(1, limit - (Clock.milliseconds() - begin) / 1000))

        var alive = 0
        for fd in open {
            _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK)
            Socket.timeouts(fd, seconds: 5)
            var byte: UInt8 = 42
            if write(fd, &byte, 1) == 1, read(fd, &byte, 1) == 1, byte == 42 { alive += 1 }
        }
        Report(arguments.tool, ok: alive == total).with("alive", alive).finish()
    }
}

/// One connection, one byte there and back. The descriptor is handed on open, whatever the result.
final class OneByte {
    private let fd: Int32
    private let loop: Loop
    private var connected = false

    init(_ fd: Int32, _ loop: Loop) {
        self.fd = fd
        self.loop = loop
    }

    func start(value: UInt8, _ done: @escaping (Int32?, String) -> Void) {
        loop.add(fd, .write) { [self] what in
            if !connected {
                let code = Socket.pendingError(fd)
                guard code == 0 else { return done(fd, SocketError.name(code)) }
                connected = true
                var byte = value
                guard write(fd, &byte, 1) == 1 else { return done(fd, SocketError.name(errno)) }
                return loop.change(fd, .read)
            }
            var bytes: [UInt8] = [0, 0, 0, 0]
            let count = read(fd, &bytes, 4)
            if count < 0, errno == EAGAIN { return }
            if count < 0 { return done(fd, SocketError.name(errno)) }
            if count == 0 { return done(fd, "closed") }
            done(fd, count == 1 && bytes[0] == value ? "ok" : "mismatch")
        }
    }
}
