import Glibc
import PeerCore
import PeerReactor
import Testing

@Suite("Lines of output")
struct LineWriterTests {
    /// A pipe with room for 4 KiB.
    private func pipe() -> (reader: Int32, writer: Int32) {
        var ends: [Int32] = [-1, -1]
        #expect(Glibc.pipe(&ends) == 0)
        // F_SETPIPE_SZ
        #expect(fcntl(ends[1], 1031, 4_096) == 4_096)
        return (ends[0], ends[1])
    }

    private func readAll(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 500) > 0 else { break }
            let count = read(descriptor, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func writer(_ descriptor: Int32, capacity: Int = 8_192) -> LineWriter {
        LineWriter(
            descriptor, capacity: capacity, budget: LineBudget(), prefix: { "now " },
            notice: { "\($0) lines were lost" })
    }

    @Test("nobody waits for a pipe that nobody reads, and the reader learns how many lines were lost")
    func full() throws {
        let (reader, end) = pipe()
        defer { close(reader) }
        let writer = writer(end)
        try writer.start()
        let begun = SystemClock.now
        for number in 0..<10_000 { writer.write("line \(number)") }
        writer.flush(within: .milliseconds(200))
        #expect(SystemClock.now - begun < .seconds(2))
        let lines = readAll(reader).split(separator: "\n")
        // In order, none torn, and each is written or counted where it would have stood.
        var next = 0
        for line in lines {
            if line.hasSuffix(" lines were lost") {
                next += try #require(Int(line.split(separator: " ")[1]))
            } else {
                try #require(line == "line \(next)")
                next += 1
            }
        }
        #expect(next == 10_000 && lines.count < 5_000, "\(lines.count) lines, up to \(next)")
        writer.write("after")
        #expect(readAll(reader) == "after\n")
    }

    @Test("the end waits for what is queued, and no longer")
    func flushes() throws {
        let (reader, end) = pipe()
        let writer = writer(end)
        try writer.start()
        for number in 0..<30 { writer.write("line \(number)", of: "one statement") }
        writer.flush(within: .seconds(10))
        let lines = readAll(reader).split(separator: "\n")
        #expect(lines.first == "now line 0" && lines.last == "now line 29 (and 9 more like it)", "\(lines)")
        // Whoever reads is gone: that is no reason to wait.
        signal(SIGPIPE, SIG_IGN)
        close(reader)
        for _ in 0..<3_000 { writer.write("nobody hears of this") }
        let begun = SystemClock.now
        writer.flush(within: .seconds(10))
        #expect(SystemClock.now - begun < .seconds(5))
    }

    @Test("without a thread of its own it writes at once")
    func direct() {
        let (reader, end) = pipe()
        defer { close(reader) }
        let writer = writer(end)
        for number in 0..<25 { writer.write("line \(number)", of: "one statement") }
        writer.write("a result")
        writer.flush(within: .seconds(1))
        #expect(readAll(reader).split(separator: "\n").count == 26)
    }
}
