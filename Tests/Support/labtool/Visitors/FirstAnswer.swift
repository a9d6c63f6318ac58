import Glibc

/// Knocks every 10 ms until an echo service answers rightly.
///
///     first-answer --address A --port N [--seconds 30] [--every 10]
///
/// Prints the milliseconds from its start to the first right answer, and what the attempts before it met: a port
/// without a service behind it must refuse, so "closed" and "silent" should be 0.
enum FirstAnswer {
    static func run(_ arguments: Arguments) throws {
        let endpoint = try arguments.endpoint()
        let every = try arguments.number("every", or: 10)
        let loop = Loop()
        let begin = Clock.milliseconds()
        var results: [String: Int] = [:]
        var attempts = 0
        var answered: Int?
        var firstAccepted: Int?

        func knock() {
            attempts += 1
            let value = UInt8(truncatingIfNeeded: attempts)
            let asked = Clock.milliseconds() - begin
            do {
                let fd = try Socket.startConnect(endpoint)
                OneByte(fd, loop).start(value: value) { fd, result in
                    if let fd { loop.remove(fd) }
                    results[result, default: 0] += 1
                    if result == "ok", answered == nil {
                        answered = Clock.milliseconds() - begin
                        firstAccepted = asked
                        loop.stop()
                    }
                }
            } catch {
                results[(error as? SocketError)?.name ?? "\(error)", default: 0] += 1
            }
            loop.after(milliseconds: every, knock)
        }

        knock()
        loop.run(seconds: try arguments.limit())
        Report(arguments.tool, ok: answered != nil)
            .with("milliseconds", answered ?? -1)
            .with("asked", firstAccepted ?? -1)
            .with("attempts", attempts)
            .with("refused", results["ECONNREFUSED"] ?? 0)
            .with("closed", results["closed"] ?? 0)
            .with("silent", attempts - results.values.reduce(0, +))
            .with("results", results)
            .finish()
    }
}

/// The port must refuse, every time.
///
///     expect-refused --address A --port N [--times 1]
enum ExpectRefused {
    static func run(_ arguments: Arguments) throws {
        let endpoint = try arguments.endpoint()
        let times = try arguments.number("times", or: 1)
        var results: [String: Int] = [:]
        for _ in 0..<times {
            do {
                close(try Socket.connect(endpoint, seconds: 3))
                results["accepted", default: 0] += 1
            } catch let error as SocketError {
                results[error.name, default: 0] += 1
            }
        }
        Report(arguments.tool, ok: results["ECONNREFUSED"] == times).with("results", results).finish()
    }
}
