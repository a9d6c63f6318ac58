import Glibc
import PeerCore
import Testing

@testable import PeerReactor

@Suite("A connector", .serialized)
struct ConnectorTests {
    private func connect(
        on loop: EventLoop, to addresses: [SocketAddress], limit: Instant.Span = .seconds(10)
    ) throws -> Awaited<String> {
        let outcome = Awaited<String>()
        try loop.run {
            _ = Connector(on: loop, to: addresses, kind: .atTheEdge, limit: limit) { stream, error in
                guard let stream = consume stream else { return outcome.tell(error.text) }
                outcome.tell(stream.remoteAddress?.description ?? "no address")
                _ = stream.sendAtOnce([1])
                stream.closeOrderly()
            }
        }
        return outcome
    }

    /// Connections here stay on their way: the queue is full, and the system drops what comes further.
    private func silent() throws -> (TestSocket, fillers: [StreamParcel]) {
        let server = try TestSocket.listening(backlog: 0)
        let fillers = try (0..<3).map { _ in
            StreamParcel(try Connector.open(.loopback(server.port), .atTheEdge))
        }
        return (server, fillers)
    }

    @Test("hands over a stream that works")
    func works() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let server = try TestSocket.listening()
        let outcome = try connect(on: loop, to: [.loopback(server.port)])
        #expect(try server.accept().drain().bytes == [1])
        #expect(try outcome.next("outcome") == "127.0.0.1:\(server.port)")
    }

    @Test("goes on to the second address at once when the first refuses")
    func second() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let closed = try TestSocket.bound(to: .loopback(0))
        let server = try TestSocket.listening()
        let seconds = try duration {
            let outcome = try connect(on: loop, to: [.loopback(closed.port), .loopback(server.port)])
            #expect(try outcome.next("outcome") == "127.0.0.1:\(server.port)")
        }
        #expect(seconds < 2)
    }

    @Test("tries the second address beside a first that is silent")
    func silentFirst() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (mute, fillers) = try silent()
        let server = try TestSocket.listening()
        let outcome = try connect(on: loop, to: [.loopback(mute.port), .loopback(server.port)])
        #expect(try outcome.next("outcome") == "127.0.0.1:\(server.port)")
        _ = fillers
    }

    @Test("gives the reason of the last address when all refuse")
    func allRefuse() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let closed = try (0..<3).map { _ in try TestSocket.bound(to: .loopback(0)) }
        let outcome = try connect(on: loop, to: closed.map { .loopback($0.port) })
        #expect(try outcome.next("outcome") == "Connection refused")
    }

    @Test("gives up after its limit")
    func timeOut() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let (mute, fillers) = try silent()
        let seconds = try duration {
            let outcome = try connect(on: loop, to: [.loopback(mute.port)], limit: .milliseconds(300))
            #expect(try outcome.next("outcome") == "Connection timed out")
        }
        #expect(seconds >= 0.3)
        #expect(seconds < 3)
        _ = fillers
    }

    @Test(
        "without addresses, or with ones that fail at once, answers after it was made, not while",
        arguments: [true, false])
    func failsAtOnce(_ isEmpty: Bool) throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let told = Awaited<String>()
        try loop.run {
            // A broadcast address: connect(2) itself refuses.
            let addresses = isEmpty ? [] : [SocketAddress(host: .ipv4([255, 255, 255, 255]), port: 9)]
            _ = Connector(on: loop, to: addresses, kind: .atTheEdge, limit: .seconds(5)) { stream, _ in
                told.tell(stream == nil ? "failed" : "connected")
            }
            told.tell("made")
        }
        #expect(try told.next("end of making it") == "made")
        #expect(try told.next("outcome") == "failed")
    }

    @Test("that was cancelled tells nothing and closes what was on its way")
    func cancel() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let server = try TestSocket.listening()
        let told = Awaited<Void>()
        try loop.run {
            let connector = Connector(
                on: loop, to: [.loopback(server.port)], kind: .atTheEdge, limit: .milliseconds(50)
            ) {
                _, _ in told.tell(())
            }
            connector.cancel()
        }
        #expect(try server.accept().drain().end == .reset)
        try loop.run {}
        #expect(told.count == 0)
    }

    @Test("leaves nothing behind, whatever becomes of it")
    func leavesNothing() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let server = try TestSocket.listening()
        let closed = try TestSocket.bound(to: .loopback(0))
        for addresses in [[SocketAddress.loopback(closed.port), .loopback(server.port)], [.loopback(closed.port)]] {
            let done = Awaited<Void>()
            let observed = try loop.run {
                let connector = Connector(on: loop, to: addresses, kind: .atTheEdge, limit: .seconds(60)) { _, _ in
                    done.tell(())
                }
                return WeakReference(connector)
            }
            try done.next("outcome")
            try eventually("the connector is gone") { try loop.run { observed.isGone } }
        }
    }
}

struct WeakReference: @unchecked Sendable {
    // Unchecked: only asked whether it is gone.
    private weak var object: AnyObject?
    init(_ object: AnyObject) { self.object = object }
    var isGone: Bool { object == nil }
}
