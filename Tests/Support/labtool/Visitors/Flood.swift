import Glibc

/// One ill-meaning host against a server port: connections that say nothing, TLS handshakes that stop in the middle,
/// and many more that come and go.
///
///     flood --address A --port N --from B --idle 2000 --half 500 --rate 2000 --for SECONDS --hello HEX
///
/// `--from` is the source address, or several with commas between, taken in turn. Of the first two kinds as many are
/// kept as asked for: whoever is thrown out comes back, within the rate. Prints a line once all were tried for the
/// first time, and one at the end.
enum Flood {
    private static let tick = 5

    static func run(_ arguments: Arguments) throws {
        Socket.raiseDescriptorLimit()
        let flood = try Flooder(arguments)
        let end = Clock.milliseconds() + (try arguments.number("for", or: 10)) * 1000
        let begin = Clock.milliseconds()
        func turn() {
            guard Clock.milliseconds() < end else { return flood.loop.stop() }
            flood.spend(upTo: (Clock.milliseconds() - begin) * flood.rate / 1000)
            flood.loop.after(milliseconds: tick, turn)
        }
        turn()
        flood.loop.run(seconds: try arguments.limit())
        Report(arguments.tool, ok: flood.connected > 0)
            .with("connected", flood.connected).with("failed", flood.failed)
            .with("idle", flood.idle.count).with("half", flood.half.count)
            .with("thrownOut", flood.thrownOut).with("perSecond", flood.begun * 1000 / (Clock.milliseconds() - begin))
            .finish()
    }
}

private final class Flooder {
    let loop = Loop()
    let rate: Int
    private let endpoint: Endpoint
    private let sources: [Endpoint]
    private let wantedIdle: Int
    private let wantedHalf: Int
    private let hello: [UInt8]
    private(set) var idle: Set<Int32> = []
    private(set) var half: Set<Int32> = []
    private(set) var begun = 0
    private(set) var connected = 0
    private(set) var failed = 0
    private(set) var thrownOut = 0
    private var isTold = false

    init(_ arguments: Arguments) throws {
        endpoint = try arguments.endpoint()
        sources = try arguments.text("from", or: "127.0.0.1").split(separator: ",").map {
            try Endpoint(host: String($0), port: 0)
        }
        wantedIdle = try arguments.number("idle", or: 0)
        wantedHalf = try arguments.number("half", or: 0)
        rate = try arguments.number("rate", or: 1000)
        let digits = Array(try arguments.text("hello", or: "160301").utf8)
        hello = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<($0 + 2)], as: UTF8.self), radix: 16)
        }
    }

    /// Begins connections until there were so many. Every other one is of the kinds that are kept, while they lack.
    func spend(upTo total: Int) {
        while begun < total {
            begun += 1
            if begun % 2 == 0, half.count < wantedHalf {
                begin(.half)
            } else if begun % 2 == 0, idle.count < wantedIdle {
                begin(.idle)
            } else {
                begin(.passing)
            }
        }
        guard !isTold, begun >= 2 * (wantedHalf + wantedIdle) else { return }
        isTold = true
        Report("flood", ok: true).with("flooding", begun).write()
    }

    private enum Kind { case idle, half, passing }

    private func begin(_ kind: Kind) {
        guard let fd = try? Socket.startConnect(endpoint, from: sources[begun % sources.count]) else {
            failed += 1
            return
        }
        Socket.abortOnClose(fd)
        var isConnected = false
        loop.add(fd, .write) { [self] _ in
            if !isConnected {
                guard Socket.pendingError(fd) == 0 else {
                    failed += 1
                    return loop.remove(fd)
                }
                isConnected = true
                connected += 1
                switch kind {
                case .passing: return loop.remove(fd)
                case .idle: idle.insert(fd)
                case .half:
                    _ = write(fd, hello, hello.count)
                    half.insert(fd)
                }
                return loop.change(fd, .read)
            }
            var byte: UInt8 = 0
            let count = read(fd, &byte, 1)
            // What the other end answers to a half handshake is left unread: only the end of it all is news.
            if count > 0 { return loop.change(fd, .hangUp) }
            if count < 0, errno == EAGAIN { return }
            thrownOut += 1
            idle.remove(fd)
            half.remove(fd)
            loop.remove(fd)
        }
    }
}

/// Asks and answers in turn on one connection, as a person at a terminal does.
///
///     round-trips --address A --port N --for SECONDS [--bytes 64] [--pause MICROSECONDS]
///
/// Reports the percentiles in microseconds.
enum RoundTrips {
    static func run(_ arguments: Arguments) throws {
        let fd = try Socket.connect(arguments.endpoint(), seconds: 10)
        let bytes = try arguments.number("bytes", or: 64)
        let pause = UInt32(try arguments.number("pause", or: 500))
        let end = Clock.milliseconds() + (try arguments.number("for", or: 5)) * 1000
        var out = [UInt8](repeating: 0, count: bytes)
        var back = out
        var times: [Int] = []
        while Clock.milliseconds() < end {
            for index in out.indices { out[index] = UInt8(truncatingIfNeeded: times.count &+ index) }
            let start = Clock.microseconds()
            guard write(fd, out, bytes) == bytes else {
                Report(arguments.tool, ok: false).with("error", SocketError.name(errno)).finish()
            }
            var got = 0
            while got < bytes {
                let count = back.withUnsafeMutableBytes { read(fd, $0.baseAddress! + got, bytes - got) }
                guard count > 0 else {
                    let name = count == 0 ? "closed" : SocketError.name(errno)
                    Report(arguments.tool, ok: false).with("error", name).with("after", times.count).finish()
                }
                got += count
            }
            times.append(Clock.microseconds() - start)
            guard back == out else { Report(arguments.tool, ok: false).with("error", "mismatch").finish() }
            usleep(pause)
        }
        times.sort()
        func percentile(_ part: Double) -> Int { times[min(times.count - 1, Int(Double(times.count) * part))] }
        Report(arguments.tool, ok: !times.isEmpty).with("count", times.count).with("p50", percentile(0.5))
            .with("p90", percentile(0.9)).with("p99", percentile(0.99)).with("worst", times.last ?? 0).finish()
    }
}
