import Glibc

/// Datagrams at an even pace to something that answers each with itself, and what became of them.
///
///     datagram-pings --address A --port N --bytes B --rate PER-SECOND --for SECONDS
///
/// Each is `number (8) | the echo's signature (2) | zeros (6) | when it was sent (8) | zeros`. A line `{"first":MS}`
/// says that answers come. The last line has the longest time without one, and when it was over (monotonic clock).
enum DatagramPings {
    /// After the last question answers are waited for.
    private static let patience = 1_000

    static func run(_ arguments: Arguments) throws {
        let fd = try DatagramSockets.connected(to: arguments.endpoint())
        let pings = Pings(
            fd, bytes: max(24, try arguments.number("bytes", or: 100)), rate: try arguments.number("rate", or: 50))
        let begin = Clock.nanoseconds()
        let end = begin + (try arguments.number("for")) * 1_000_000_000
        while true {
            let now = Clock.nanoseconds()
            if now >= end { break }
            pings.send(since: begin, now)
            pings.receive()
            pings.wait(milliseconds: 1)
        }
        let last = Clock.milliseconds()
        while pings.answered < pings.sent, Clock.milliseconds() - last < patience {
            pings.wait(milliseconds: 20)
            pings.receive()
        }
        pings.report(arguments.tool)
    }

    private final class Pings {
        private let fd: Int32
        private let count: Int
        private let rate: Int
        private let room: UnsafeMutableRawPointer
        private let answer = UnsafeMutableRawPointer.allocate(byteCount: 65_536, alignment: 8)
        private var took: [Int32] = []
        private var flows: Set<UInt16> = []
        private var seen: [Bool] = []
        private(set) var sent = 0
        private(set) var answered = 0
        private var refused = 0
        private var repeated = 0
        private var longest = 0
        private var longestEnd = 0
        private var lastAnswer = Clock.milliseconds()

        init(_ fd: Int32, bytes: Int, rate: Int) {
            self.fd = fd
            self.rate = rate
            count = min(bytes, DatagramSockets.longest)
            room = .allocate(byteCount: count, alignment: 8)
            memset(room, 0, count)
        }

        func send(since begin: Int, _ now: Int) {
            let due = (now - begin) / 1_000 * rate / 1_000_000 + 1
            // What is late goes in bursts that a socket has room for.
            for _ in 0..<min(max(0, due - sent), 64) {
                room.storeBytes(of: sent, as: Int.self)
                room.storeBytes(of: Clock.nanoseconds(), toByteOffset: 16, as: Int.self)
                if Glibc.send(fd, room, count, 0) < 0 { refused += 1 }
                sent += 1
                seen.append(false)
            }
        }

        func receive() {
            while true {
                let length = recv(fd, answer, 65_536, Int32(MSG_DONTWAIT))
                if length < 0, errno == ECONNREFUSED {
                    refused += 1
                    continue
                }
                guard length == count else {
                    if length < 0 { return }
                    continue
                }
                let number = answer.load(as: Int.self)
                guard number >= 0, number < sent else { continue }
                if seen[number] {
                    repeated += 1
                    continue
                }
                seen[number] = true
                answered += 1
                took.append(
                    Int32(clamping: (Clock.nanoseconds() - answer.load(fromByteOffset: 16, as: Int.self)) / 1_000))
                flows.insert(answer.loadUnaligned(fromByteOffset: 8, as: UInt16.self).bigEndian)
                note()
            }
        }

        private func note() {
            let now = Clock.milliseconds()
            let gap = now - lastAnswer
            lastAnswer = now
            guard answered > 1 else {
                let line = Array("{\"first\":\(now)}\n".utf8)
                _ = write(1, line, line.count)
                return
            }
            if gap > longest { (longest, longestEnd) = (gap, now) }
        }

        func wait(milliseconds: Int32) {
            var poll = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            Glibc.poll(&poll, 1, milliseconds)
        }

        func report(_ tool: String) -> Never {
            took.sort()
            func percentile(_ share: Int) -> Int { took.isEmpty ? -1 : Int(took[(took.count - 1) * share / 100]) }
            Report(tool, ok: answered > 0)
                .with("sent", sent).with("answered", answered).with("refused", refused).with("repeated", repeated)
                .with("flows", flows.count).with("longest_gap_ms", longest).with("gap_end_ms", longestEnd)
                .with("p50_us", percentile(50)).with("p99_us", percentile(99)).with("most_us", percentile(100))
                .finish()
        }
    }
}
