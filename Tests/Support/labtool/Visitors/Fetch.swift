import Glibc

/// A visitor of `momentary`: asks for a number, and fetches what that port has, one time after the other.
///
///     fetch --port N [--times 10] [--bytes 65536]
enum Fetch {
    static func run(_ arguments: Arguments) throws {
        let (times, wanted) = (try arguments.number("times", or: 10), try arguments.number("bytes", or: 65_536))
        let control = try Endpoint(host: "127.0.0.1", port: arguments.number("port"))
        var whole = 0
        var errors: [String] = []
        for _ in 0..<times {
            do {
                let fd = try Socket.connect(control, seconds: 5)
                defer { close(fd) }
                let line = try read(fd, until: { $0.last == UInt8(ascii: "\n") })
                guard let port = Int(String(decoding: line.dropLast(), as: UTF8.self)) else {
                    throw SocketError("number", ECONNRESET)
                }
                let data = try Socket.connect(try Endpoint(host: "127.0.0.1", port: port), seconds: 5)
                defer { close(data) }
                if try read(data, until: { _ in false }).count == wanted { whole += 1 }
            } catch { errors.append("\(error)") }
        }
        Report(arguments.tool, ok: whole == times).with("whole", whole).with("error", errors.first ?? "").finish()
    }

    private static func read(_ fd: Int32, until isEnough: ([UInt8]) -> Bool) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { buffer in
            while !isEnough(bytes), case let count = try Socket.readSome(fd, buffer), count > 0 {
                bytes += UnsafeRawBufferPointer(rebasing: buffer[..<count])
            }
        }
        return bytes
    }
}
