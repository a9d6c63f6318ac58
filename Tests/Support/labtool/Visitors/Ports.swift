import Glibc

/// A foreign process that sits on ports.
///
///     hold-ports --range LOW-HIGH --count N [--bind A]
///
/// Takes N ports spread evenly over the range, prints which, and keeps them until standard input closes.
enum HoldPorts {
    static func run(_ arguments: Arguments) throws {
        Socket.raiseDescriptorLimit()
        let range = try arguments.range("range")
        let count = try arguments.number("count")
        let address = arguments.has("bind") ? try arguments.text("bind") : nil
        guard count <= range.count else { throw UsageError(text: "--count is more than the range holds") }
        var held: [Int] = []
        for index in 0..<count {
            let port = range.lowerBound + index * range.count / count
            if (try? Socket.listen(address, port: port)) != nil { held.append(port) }
        }
        Report(arguments.tool, ok: held.count == count).with("held", held.count).with("ports", held).write()
        var byte: UInt8 = 0
        while read(0, &byte, 1) > 0 {}
        exit(held.count == count ? 0 : 1)
    }
}

/// Binds and listens on every port of the range in turn, as a foreign process would.
///
///     bind-all --range LOW-HIGH [--bind A]
enum BindAll {
    static func run(_ arguments: Arguments) throws {
        let address = arguments.has("bind") ? try arguments.text("bind") : nil
        var failed: [Int] = []
        for port in try arguments.range("range") {
            if let fd = try? Socket.listen(address, port: port) {
                close(fd)
            } else {
                failed.append(port)
            }
        }
        Report(arguments.tool, ok: failed.isEmpty).with("failed", failed).finish()
    }
}
