import Glibc

/// Sends at a port what does not belong there, and tells how long the other side put up with it.
///
///     garbage --address A --port N --kind KIND [--seconds 60]
///
/// Kinds: random, endless-header, silence, slow, tls, half-preamble, session-then-random, newer-version. The answer's
/// first bytes are reported in hexadecimal.
enum Garbage {
    static func run(_ arguments: Arguments) throws {
        let kind = try arguments.text("kind")
        let limit = try arguments.limit()
        let fd = try Socket.connect(arguments.endpoint(), seconds: limit)
        Socket.nonBlocking(fd)
        let begin = Clock.milliseconds()
        var sent = 0
        var answered = 0
        var answer = ""
        var ended: String?
        while ended == nil, Clock.milliseconds() - begin < limit * 1000 {
            let piece = try next(kind, sent)
            var pause = 1000
            if !piece.isEmpty {
                let count = write(fd, piece, piece.count)
                if count > 0 { sent += count }
                if count < 0, errno != EAGAIN { ended = SocketError.name(errno) }
                pause = kind == "slow" ? 1000 : 5
            }
            var poller = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            guard ended == nil, poll(&poller, 1, Int32(pause)) > 0 else { continue }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(fd, &buffer, buffer.count)
            if count == 0 { ended = "end of stream" }
            if count < 0, errno != EAGAIN { ended = SocketError.name(errno) }
            if count > 0 {
                answered += count
                if answer.count < 64 { answer += buffer[..<min(count, 32)].map(hex).joined() }
            }
        }
        Report(arguments.tool, ok: ended != nil)
            .with("kind", kind).with("milliseconds", Clock.milliseconds() - begin)
            .with("sent", sent).with("answered", answered).with("answer", answer).with("ended", ended ?? "still open")
            .finish()
    }

    private static func next(_ kind: String, _ sent: Int) throws -> [UInt8] {
        switch kind {
        case "silence":
            return []
        case "slow":
            // A session whose first frame promises 16 KiB and brings a byte a second.
            let promised = preamble(version: 1) + [1, 0, 0x40, 0]
            return sent == 0 ? promised : [0]
        case "random":
            return (0..<4096).map { _ in UInt8.random(in: 0...255) }
        case "endless-header":
            return Array(
                (sent == 0 ? "GET / HTTP/1.1\r\n" : "X-Padding: \(String(repeating: "a", count: 1000))\r\n").utf8)
        case "tls":
            // The head of a TLS record that never comes.
            return sent == 0 ? [0x16, 3, 1, 0x40, 0] : []
        case "half-preamble":
            return sent == 0 ? Array("p2p".utf8) : []
        case "session-then-random":
            return sent == 0 ? preamble(version: 1) : (0..<4096).map { _ in UInt8.random(in: 0...255) }
        case "newer-version":
            return sent == 0 ? preamble(version: 99) : []
        default:
            throw UsageError(text: "--kind \(kind) is unknown")
        }
    }

    /// How a session begins.
    private static func preamble(version: UInt8) -> [UInt8] { Array("p2prcs".utf8) + [0, version] }

    private static func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }
}
