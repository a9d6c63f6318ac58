import Glibc

/// A visitor that knows several addresses of one service, and gives up on none of them.
///
///     list-visitor --addresses A:P,B:P --expect TEXT [--every 50] [--next 250] [--patience 1000] [--seconds 60]
///
/// Every 50 ms it begins a request. It asks the first address; the next one 250 ms later, or at once when the one
/// before failed; and so on. Each attempt has a second. The first right answer ends the request. It stops when its
/// standard input ends, and prints the longest time without any answer, and how many requests failed or were answered
/// wrongly.
///
/// Addresses are tried in the order in which they stand there. With `--list FILE` they are read from the file anew
/// every 100 ms, one to a line.
enum ListVisitor {
    static func run(_ arguments: Arguments) throws {
        let visitor = try Visitor(arguments)
        visitor.loop.add(0, .read) { _ in
            var byte: UInt8 = 0
            if read(0, &byte, 1) <= 0 { visitor.loop.stop() }
        }
        visitor.begin()
        visitor.loop.run(seconds: try arguments.limit())
        visitor.report(arguments.tool).finish()
    }

    private final class Visitor {
        let loop = Loop()
        private let expected: String
        private let every: Int
        private let next: Int
        let patience: Int
        private let file: String?
        private var addresses: [Endpoint] = []
        private var lastRead = 0
        private var requests = 0
        private var answers = 0
        private var failed = 0
        private var wrong = 0
        private var lastAnswer = Clock.milliseconds()
        private var longestGap = 0
        private var slowest = 0
        private var byAddress: [String: Int] = [:]
        private var results: [String: Int] = [:]

        init(_ arguments: Arguments) throws {
            expected = try arguments.text("expect")
            every = try arguments.number("every", or: 50)
            next = try arguments.number("next", or: 250)
            patience = try arguments.number("patience", or: 1000)
            file = arguments.has("list") ? try arguments.text("list") : nil
            if file == nil { addresses = try Self.parse(arguments.text("addresses"), ",") }
        }

        private static func parse(_ text: String, _ separator: Character) throws -> [Endpoint] {
            try text.split(separator: separator).map { entry in
                guard let colon = entry.lastIndex(of: ":"), let port = Int(entry[entry.index(after: colon)...]) else {
                    throw UsageError(text: "\(entry) is no address")
                }
                return try Endpoint(host: String(entry[..<colon]), port: port)
            }
        }

        private func look() {
            guard let file, Clock.milliseconds() - lastRead >= 100 else { return }
            lastRead = Clock.milliseconds()
            guard let stream = fopen(file, "r") else { return }
            defer { fclose(stream) }
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = fread(&bytes, 1, bytes.count, stream)
            let list = try? Self.parse(String(decoding: bytes[..<count], as: UTF8.self), "\n")
            if let list, !list.isEmpty { addresses = list }
        }

        func begin() {
            look()
            requests += 1
            ask(Request(addresses), 0)
            loop.after(milliseconds: every) { self.begin() }
        }

        private func ask(_ request: Request, _ index: Int) {
            guard !request.isOver, index == request.asked, index < request.addresses.count else { return }
            request.asked += 1
            request.open += 1
            let attempt = Attempt(request.addresses[index], loop, patience) { outcome in
                request.open -= 1
                self.ended(request, index, outcome)
            }
            attempt.start()
            loop.after(milliseconds: next) { self.ask(request, index + 1) }
        }

        private func ended(_ request: Request, _ index: Int, _ outcome: Attempt.Outcome) {
            switch outcome {
            case .answered(let body):
                guard body == expected else {
                    wrong += 1
                    return
                }
                guard !request.isOver else { return }
                request.isOver = true
                answers += 1
                if answers == 1 { complain("{\"first answer\":\(Clock.milliseconds() - request.began)}") }
                byAddress["\(index)", default: 0] += 1
                let now = Clock.milliseconds()
                longestGap = max(longestGap, now - lastAnswer)
                slowest = max(slowest, now - request.began)
                lastAnswer = now
            case .failed(let reason):
                results[reason, default: 0] += 1
                ask(request, index + 1)
                if !request.isOver, request.open == 0, request.asked == request.addresses.count {
                    request.isOver = true
                    failed += 1
                }
            }
        }

        func report(_ tool: String) -> Report {
            longestGap = max(longestGap, Clock.milliseconds() - lastAnswer)
            return Report(tool, ok: wrong == 0 && answers > 0)
                .with("requests", requests).with("answers", answers).with("failed", failed).with("wrong", wrong)
                .with("longestGap", longestGap).with("slowest", slowest).with("byAddress", byAddress)
                .with("results", results)
        }
    }

    private final class Request {
        let addresses: [Endpoint]
        let began = Clock.milliseconds()
        var asked = 0
        var open = 0
        var isOver = false
        init(_ addresses: [Endpoint]) { self.addresses = addresses }
    }

    /// One connection, one GET, the body of the answer.
    private final class Attempt {
        enum Outcome {
            case answered(String)
            case failed(String)
        }

        private let endpoint: Endpoint
        private let loop: Loop
        private let patience: Int
        private var done: ((Outcome) -> Void)?
        private var fd: Int32 = -1
        private var isSent = false
        private var answer: [UInt8] = []

        init(_ endpoint: Endpoint, _ loop: Loop, _ patience: Int, _ done: @escaping (Outcome) -> Void) {
            self.endpoint = endpoint
            self.loop = loop
            self.patience = patience
            self.done = done
        }

        func start() {
            do {
                fd = try Socket.startConnect(endpoint)
            } catch { return finish(.failed((error as? SocketError)?.name ?? "\(error)")) }
            loop.add(fd, [.read, .write]) { self.happened($0) }
            loop.after(milliseconds: patience) { self.finish(.failed("silent")) }
        }

        private func happened(_ what: Interest) {
            guard done != nil else { return }
            if !isSent {
                let code = Socket.pendingError(fd)
                guard code == 0 else { return finish(.failed(SocketError.name(code))) }
                isSent = true
                let words = Array("GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n".utf8)
                guard write(fd, words, words.count) == words.count else { return finish(.failed("write")) }
                loop.change(fd, .read)
                return
            }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(fd, &buffer, buffer.count)
            if count < 0 {
                if errno == EAGAIN { return }
                return finish(.failed(SocketError.name(errno)))
            }
            if count > 0, answer.count < 64 << 10 {
                answer += buffer[..<count]
                return
            }
            let text = String(decoding: answer, as: UTF8.self)
            guard text.hasPrefix("HTTP/1.1 200"), let end = text.firstRange(of: "\r\n\r\n") else {
                return finish(.failed("closed"))
            }
            finish(.answered(String(text[end.upperBound...])))
        }

        private func finish(_ outcome: Outcome) {
            guard let done else { return }
            self.done = nil
            if fd >= 0 { loop.remove(fd) }
            done(outcome)
        }
    }
}
