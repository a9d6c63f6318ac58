import Glibc

/// Many connections at the same time, each echoing random data of its own, compared byte by byte.
///
///     hitters --address A --port N --connections C --bytes B [--rounds R] [--half-close]
///     hitters --address A --ports N,M,… …      spread over these ports
///
/// All connect first, then all send. With `--half-close` each closes its sending side at the end and wants to see the
/// end of the stream after the last byte.
enum Hitters {
    static func run(_ arguments: Arguments) throws {
        Socket.raiseDescriptorLimit()
        let endpoints = try arguments.endpoints()
        let plan = Plan(
            bytes: try arguments.number("bytes", or: 65536), rounds: try arguments.number("rounds", or: 1),
            halfClose: arguments.has("half-close"))
        let count = try arguments.number("connections")
        let loop = Loop()
        let crowd = Crowd(count)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
        var hitters: [Hitter] = []
        let begin = Clock.milliseconds()
        for index in 0..<count {
            do {
                let endpoint = endpoints[index % endpoints.count]
                let hitter = Hitter(try Socket.startConnect(endpoint), loop, plan, buffer) { [crowd] in
                    crowd.end($0)
                    if crowd.waiting == 0 { for hitter in hitters { hitter.send() } }
                    if crowd.ended == count { loop.stop() }
                }
                hitter.connected = { [crowd] in
                    crowd.waiting -= 1
                    if crowd.waiting == 0 { for hitter in hitters { hitter.send() } }
                }
                hitters.append(hitter)
                hitter.start()
            } catch let error as SocketError {
                crowd.waiting -= 1
                crowd.end(.failed(error.name))
            }
        }
        if crowd.ended < count { loop.run(seconds: try arguments.limit()) }
        let results = crowd.results
        Report(arguments.tool, ok: results["ok"] == count)
            .with("connections", count)
            .with("succeeded", results["ok"] ?? 0)
            .with("timeouts", count - crowd.ended)
            .with("results", results)
            .with("milliseconds", Clock.milliseconds() - begin)
            .finish()
    }
}

private struct Plan {
    let bytes: Int
    let rounds: Int
    let halfClose: Bool
}

private enum Ending {
    case right
    case mismatch
    case closed
    case failed(String)

    var name: String {
        switch self {
        case .right: "ok"
        case .mismatch: "mismatch"
        case .closed: "closed"
        case .failed(let name): name
        }
    }
}

private final class Crowd {
    var waiting: Int
    private(set) var ended = 0
    private(set) var results: [String: Int] = [:]

    init(_ count: Int) { waiting = count }

    func end(_ ending: Ending) {
        ended += 1
        results[ending.name, default: 0] += 1
    }
}

private final class Hitter {
    private enum State {
        case connecting
        case waiting
        case echoing
        case draining
        case ended
    }

    private let fd: Int32
    private let loop: Loop
    private let plan: Plan
    private let buffer: UnsafeMutableRawBufferPointer
    private let ended: (Ending) -> Void
    private let data: UnsafeMutableRawBufferPointer
    private var state = State.connecting
    private var sent = 0
    private var received = 0
    private var round = 0
    var connected: () -> Void = {}

    init(
        _ fd: Int32, _ loop: Loop, _ plan: Plan, _ buffer: UnsafeMutableRawBufferPointer,
        ended: @escaping (Ending) -> Void
    ) {
        self.fd = fd
        self.loop = loop
        self.plan = plan
        self.buffer = buffer
        self.ended = ended
        data = UnsafeMutableRawBufferPointer.allocate(byteCount: plan.bytes, alignment: 8)
        Random.fill(data)
    }

    func start() {
        loop.add(fd, [.write]) { self.handle($0) }
    }

    /// Everybody is connected.
    func send() {
        guard state == .waiting else { return }
        state = .echoing
        loop.change(fd, [.read, .write])
    }

    private func handle(_ what: Interest) {
        if state == .connecting {
            let code = Socket.pendingError(fd)
            guard code == 0 else {
                state = .waiting
                connected()
                return end(.failed(SocketError.name(code)))
            }
            state = .waiting
            loop.change(fd, .read)
            return connected()
        }
        if what.contains(.write), state == .echoing, sent < plan.bytes { write() }
        if !what.isDisjoint(with: [.read, .error, .hangUp]), state != .ended { read() }
    }

    private func write() {
        let count = Glibc.write(fd, data.baseAddress! + sent, plan.bytes - sent)
        if count < 0 {
            if errno != EAGAIN { end(.failed(SocketError.name(errno))) }
            return
        }
        sent += count
        guard sent == plan.bytes else { return }
        loop.change(fd, .read)
        if plan.halfClose, round == plan.rounds - 1 { shutdown(fd, Int32(SHUT_WR)) }
    }

    private func read() {
        let count = Glibc.read(fd, buffer.baseAddress, buffer.count)
        if count < 0 {
            if errno != EAGAIN { end(.failed(SocketError.name(errno))) }
            return
        }
        if count == 0 { return end(state == .draining ? .right : .closed) }
        guard state != .draining, received + count <= plan.bytes,
            memcmp(buffer.baseAddress!, data.baseAddress! + received, count) == 0
        else { return end(.mismatch) }
        received += count
        guard received == plan.bytes else { return }
        round += 1
        if round < plan.rounds {
            (sent, received) = (0, 0)
            loop.change(fd, [.read, .write])
        } else if plan.halfClose {
            state = .draining
        } else {
            end(.right)
        }
    }

    private func end(_ ending: Ending) {
        guard state != .ended else { return }
        state = .ended
        loop.remove(fd)
        data.deallocate()
        ended(ending)
    }
}

enum Random {
    static func fill(_ bytes: UnsafeMutableRawBufferPointer) {
        let source = open("/dev/urandom", O_RDONLY | O_CLOEXEC)
        defer { close(source) }
        var offset = 0
        while offset < bytes.count {
            offset += max(0, read(source, bytes.baseAddress! + offset, bytes.count - offset))
        }
    }
}
