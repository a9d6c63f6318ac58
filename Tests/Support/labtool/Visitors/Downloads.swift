import Glibc

/// Reads the blob slowly and checks every byte.
///
///     slow-read --address A --port N --path /blob/1GiB --rate 10KiB [--for 20]
///
/// Right if the connection lives for all that time and delivers at that rate.
enum SlowRead {
    static func run(_ arguments: Arguments) throws {
        let rate = try arguments.number("rate", or: 10 << 10)
        let seconds = try arguments.number("for", or: 20)
        let download = try Download(arguments)
        let blob = Blob()
        let slice = max(1, rate / 10)
        let begin = Clock.milliseconds()
        var slices = 0
        var problem: String?
        while Clock.milliseconds() - begin < seconds * 1000, problem == nil {
            let from = download.received
            problem = download.read(atMost: slice) { piece in
                blob.matches(piece, at: from)
            }
            slices += 1
            let due = begin + slices * 100
            Clock.sleep(milliseconds: max(0, due - Clock.milliseconds()))
        }
        let enough = download.received >= rate * seconds * 8 / 10
        Report(arguments.tool, ok: problem == nil && enough)
            .with("bytes", download.received).with("ended", problem ?? "open").finish()
    }
}

/// A download that must be cut off as an abort, not as a clean end.
///
///     expect-abort --address A --port N [--path /blob/1TiB] [--rate BYTES]
///
/// Prints a line when the first bytes are there, so that the test knows when to pull the plug.
enum ExpectAbort {
    static func run(_ arguments: Arguments) throws {
        let download = try Download(arguments)
        let blob = Blob()
        var problem: String?
        var announced = false
        let rate = try arguments.number("rate", or: 0)
        while problem == nil {
            let from = download.received
            problem = download.read(atMost: 64 << 10) { blob.matches($0, at: from) }
            if !announced, download.received > 0 {
                announced = true
                Report(arguments.tool, ok: true).with("downloading", true).write()
            }
            if rate > 0 { Clock.sleep(milliseconds: 1000 * (64 << 10) / rate) }
        }
        Report(arguments.tool, ok: problem == "ECONNRESET")
            .with("bytes", download.received).with("ended", problem ?? "").finish()
    }
}

/// Sends a little and breaks off with an RST.
///
///     abort --address A --port N [--bytes 1MiB]
enum Abort {
    static func run(_ arguments: Arguments) throws {
        let fd = try Socket.connect(arguments.endpoint(), seconds: arguments.limit())
        let bytes = try arguments.number("bytes", or: 1 << 20)
        try Blob().forEachPiece(from: 0, count: bytes) { try Socket.writeAll(fd, $0) }
        // Time for the bytes to leave: an RST throws away what the other side has not read.
        Clock.sleep(milliseconds: 300)
        Socket.abortOnClose(fd)
        close(fd)
        Report(arguments.tool, ok: true).with("bytes", bytes).finish()
    }
}

/// One HTTP GET with a hand on the body. Nothing is read ahead: the kernel's window is what the server feels.
private final class Download {
    private let fd: Int32
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    private(set) var received = 0

    init(_ arguments: Arguments) throws {
        fd = try Socket.connect(arguments.endpoint(), seconds: arguments.limit())
        let path = try arguments.text("path", or: "/blob/1024GiB")
        try Socket.writeAll(fd, "GET \(path) HTTP/1.1\r\nHost: lab\r\n\r\n")
        var tail: [UInt8] = []
        var byte: UInt8 = 0
        while tail != [13, 10, 13, 10] {
            guard Glibc.read(fd, &byte, 1) == 1 else { throw SocketError("no answer's head") }
            tail = Array((tail + [byte]).suffix(4))
        }
    }

    /// Nil while all is well, else how it ended.
    func read(atMost limit: Int, _ check: (UnsafeRawBufferPointer) -> Bool) -> String? {
        do {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(limit, buffer.count)])
            let count = try Socket.readSome(fd, room)
            guard count > 0 else { return "end of stream" }
            guard check(UnsafeRawBufferPointer(rebasing: room[..<count])) else { return "mismatch" }
            received += count
            return nil
        } catch {
            return (error as? SocketError)?.name ?? "\(error)"
        }
    }
}
