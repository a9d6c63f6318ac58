import CLinux
import Glibc
import PeerCore
import Synchronization
import Testing

@testable import PeerReactor

@Suite("A listener", .serialized)
struct ListenerTests {
    static let loopback = SocketAddress.loopback(0).host

    /// By its number: a port that the system chose is lost with the first pause.
    static func hold() throws -> Listener {
        try Listener.hold(port: try TestSocket.bound(to: .loopback(0)).port, on: loopback, .atTheEdge)
    }

    func hold() throws -> Listener { try Self.hold() }

    private func refusal(at port: UInt16) -> Int32? {
        do {
            _ = try TestSocket.connected(to: port)
            return nil
        } catch {
            return (error as? SystemError)?.code
        }
    }

    @Test("that holds a port keeps every other socket away, and refuses connections", arguments: [true, false])
    func held(_ reuse: Bool) throws {
        let listener = try hold()
        let address = listener.address
        #expect(throws: SystemError("bind", code: EADDRINUSE)) { try TestSocket.bound(to: address, reuse: reuse) }
        #expect(throws: SystemError("bind", code: EADDRINUSE)) {
            try TestSocket.bound(to: SocketAddress.anyIPv4(port: address.port), reuse: reuse)
        }
        #expect(throws: SystemError("bind", code: EADDRINUSE)) {
            _ = try Listener.hold(port: address.port, on: Self.loopback, .atTheEdge)
        }
        #expect(refusal(at: address.port) == ECONNREFUSED)
    }

    @Test("on all addresses keeps others away from each one of them, in both families")
    func heldOnAll() throws {
        let listener = try Listener.hold(port: 0, on: nil, .atTheEdge)
        let port = listener.address.port
        #expect(throws: SystemError("bind", code: EADDRINUSE)) {
            try TestSocket.bound(to: .loopback(port), reuse: true)
        }
        try listener.listen()
        #expect(refusal(at: port) == nil)
    }

    @Test("says why a port cannot be had")
    func taken() throws {
        let other = try TestSocket.listening()
        do throws(SystemError) {
            _ = try Listener.hold(port: other.port, on: Self.loopback, .atTheEdge)
            Issue.record("the port was given twice")
        } catch {
            #expect(error.isAddressInUse)
            #expect(error.description.hasPrefix("bind: "))
        }
        do throws(SystemError) {
            // TEST-NET-1 (RFC 5737), no address of this machine.
            _ = try Listener.hold(port: 0, on: .ipv4([192, 0, 2, 1]), .atTheEdge)
            Issue.record("a foreign address was bound")
        } catch {
            #expect(error.isAddressNotAvailable)
        }
    }

    @Test("hands connections over with the address they come from")
    func accepts() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let listener = Handed(try hold())
        let port = listener.value.address.port
        let came = Awaited<SocketAddress>()
        try listener.value.listen()
        let early = try TestSocket.connected(to: port)
        try loop.run {
            try listener.value.accept(on: loop) { stream, address in
                came.tell(address)
                _ = stream.sendAtOnce([1])
                stream.closeOrderly()
            }
        }
        #expect(try came.next("connection") == .loopback(early.port))
        #expect(early.drain().bytes == [1])
        // More at once than one turn takes.
        let visitors = try (0..<200).map { _ in try TestSocket.connected(to: port) }
        for visitor in visitors { #expect(visitor.drain().end == .clean) }
        try loop.run { listener.value.stopAccepting() }
    }

    @Test("that is paused refuses with RST, keeps its port, resets who waited, and can listen again")
    func paused() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let listener = Handed(try hold())
        let address = listener.value.address
        try listener.value.listen()
        let waiting = try TestSocket.connected(to: address.port)
        listener.value.pause()
        #expect(waiting.drain().end == .reset)
        for _ in 0..<3 { #expect(refusal(at: address.port) == ECONNREFUSED) }
        for reuse in [true, false] {
            #expect(throws: SystemError("bind", code: EADDRINUSE)) { try TestSocket.bound(to: address, reuse: reuse) }
        }

        for _ in 0..<3 {
            try listener.value.listen()
            let came = Awaited<Void>()
            try loop.run {
                try listener.value.accept(on: loop) { stream, _ in
                    came.tell(())
                    stream.closeOrderly()
                }
            }
            #expect(try TestSocket.connected(to: address.port).drain().end == .clean)
            try came.next("connection")
            listener.value.pause()
            try loop.run { listener.value.stopAccepting() }
            #expect(refusal(at: address.port) == ECONNREFUSED)
        }
    }

    @Test("that is paused while it accepts does not keep its loop busy")
    func pausedWhileAccepting() async {
        await #expect(processExitsWith: .success) {
            try EventLoop.alone { loop in
                let listener = Handed(try ListenerTests.hold())
                try listener.value.listen()
                try loop.run { try listener.value.accept(on: loop) { _, _ in } }
                listener.value.pause()
                let spent = try processorSeconds(within: 0.5, on: loop)
                precondition(spent < 0.2, "\(spent) s of processor time in 0.5 s")
                // And it takes up its work as soon as it listens again.
                try listener.value.listen()
                let came = inBackground { (try? TestSocket.connected(to: listener.value.address.port))?.drain().end }
                let answer = try came.next("answer")
                precondition(answer == .reset)
            }
        }
    }

    /// While the listener does not see the visitor's ACK his handshake is under way. Drops what has one.
    private func dropAcknowledgements(_ listener: Listener) throws {
        struct Line {
            var code: UInt16
            var onTrue: UInt8 = 0
            var onFalse: UInt8 = 0
            var operand: UInt32
        }
        struct Filter {
            var count: UInt16
            var lines: UnsafeMutablePointer<Line>?
        }
        // Load the byte of the flags, keep ACK, and take the segment where nothing is left (linux/filter.h).
        var lines = [
            Line(code: 0x30, operand: 13), Line(code: 0x54, operand: 0x10), Line(code: 0x15, onFalse: 1, operand: 0),
            Line(code: 0x06, operand: .max), Line(code: 0x06, operand: 0),
        ]
        try lines.withUnsafeMutableBufferPointer { lines in
            var filter = Filter(count: UInt16(lines.count), lines: lines.baseAddress)
            let status = setsockopt(
                listener.descriptor.raw, SOL_SOCKET, SO_ATTACH_FILTER, &filter, socklen_t(MemoryLayout<Filter>.size))
            try #require(status == 0)
        }
    }

    private func isRefused(_ visitor: TestSocket, within milliseconds: Int32) -> Bool {
        var question = pollfd(fd: visitor.fd, events: Int16(POLLOUT), revents: 0)
        guard poll(&question, 1, milliseconds) == 1 else { return false }
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(visitor.fd, SOL_SOCKET, SO_ERROR, &code, &length)
        return code == ECONNREFUSED
    }

    private func isHandshaking(at port: UInt16) throws -> Bool { try #require(HandshakingPorts()).contains(port) }

    @Test("that ignores newcomers completes a handshake that is under way; they are refused when it is paused")
    func gentle() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let listener = Handed(try hold())
        let port = listener.value.address.port
        try listener.value.listen()
        try dropAcknowledgements(listener.value)
        let halfway = try TestSocket.connected(to: port)
        #expect(try isHandshaking(at: port))
        let came = Awaited<Void>()
        try loop.run {
            try listener.value.accept(on: loop) { stream, _ in
                came.tell(())
                _ = stream.sendAtOnce([7])
                stream.closeOrderly()
            }
        }

        // The filter before this one goes with it.
        try #require(listener.value.ignoreNewcomers())
        let newcomer = TestSocket(clinux_socket(AF_INET, Int32(SOCK_STREAM.rawValue)))
        #expect(SocketAddress.loopback(port).withSystemAddress { connect(newcomer.fd, $0, $1) } == -1)
        #expect(errno == EINPROGRESS)
        #expect(try isHandshaking(at: port))
        halfway.send([1])
        try came.next("connection")
        #expect(halfway.receive(1) == [7])
        #expect(try !isHandshaking(at: port))
        #expect(!isRefused(newcomer, within: 100))

        listener.value.pause()
        // With his next SYN, after a second.
        #expect(isRefused(newcomer, within: 5_000))
        #expect(refusal(at: port) == ECONNREFUSED)
        try listener.value.listen()
        #expect(refusal(at: port) == nil)
        try loop.run { listener.value.stopAccepting() }
    }

    @Test("that is paused in the middle of a handshake resets a visitor who believes to be connected")
    func abrupt() throws {
        let listener = try hold()
        try listener.listen()
        try dropAcknowledgements(listener)
        let halfway = try TestSocket.connected(to: listener.address.port)
        listener.pause()
        halfway.send([1])
        #expect(halfway.drain().end == .reset)
    }

    @Test("leaves its port to a foreign socket once it is gone, unless connections of it linger")
    func released() throws {
        var listener: Listener? = try hold()
        let address = listener?.address ?? .loopback(0)
        try listener?.listen()
        listener?.pause()
        listener = nil
        let foreign = try TestSocket.bound(to: address)
        #expect(listen(foreign.fd, 1) == 0)
    }

    @Test("comes back to its port at once although closed connections linger there")
    func afterTimeWait() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        var former: Handed<Listener>? = Handed(try hold())
        let address = former?.value.address ?? .loopback(0)
        do {
            let listener = Handed(former?.value)
            try listener.value?.listen()
            try loop.run {
                try listener.value?.accept(on: loop) { stream, _ in
                    // This side closes first, so TIME_WAIT is on this side.
                    stream.closeOrderly()
                }
            }
            let visitor = try TestSocket.connected(to: address.port)
            #expect(visitor.drain().end == .clean)
            visitor.close()
            try loop.run { listener.value?.stopAccepting() }
        }
        former = nil
        // The loop lets go of its last job, and with it of the listener, in its own time.
        var again: Listener?
        try eventually("the port is free") {
            again = try? Listener.hold(address, .atTheEdge)
            return again != nil
        }
        try again?.listen()
        #expect(refusal(at: address.port) == nil)
    }

    @Test("serves those who had come before it was paused, and refuses those who come later")
    func latecomers() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let listener = Handed(try Listener.hold(port: 0, on: .ipv4([127, 0, 0, 1]), .atTheEdge))
        let port = listener.value.address.port
        try listener.value.listen()
        // The system completes them; nobody has accepted yet.
        let early = try (0..<3).map { _ in
            let visitor = TestSocket(TestSocket.blockingSocket(AF_INET))
            let status = SocketAddress.loopback(port).withSystemAddress { connect(visitor.fd, $0, $1) }
            try #require(status == 0)
            return visitor
        }
        // Paused here, where nothing accepts; admitted on the loop.
        let late = listener.value.pause()
        #expect(late.count == 3)
        try loop.run {
            try listener.value.accept(on: loop) { stream, _ in
                _ = stream.sendAtOnce([7])
                stream.closeOrderly()
            }
            listener.value.admit(late)
        }
        for visitor in early {
            let told = visitor.drain()
            #expect(told.bytes == [7] && told.end == .clean)
        }
        let after = TestSocket(TestSocket.blockingSocket(AF_INET))
        #expect(SocketAddress.loopback(port).withSystemAddress { connect(after.fd, $0, $1) } == -1)
        #expect(errno == ECONNREFUSED)
        try loop.run { listener.value.stopAccepting() }
    }

    @Test("resets those who had come before a pause and whom nobody takes over")
    func forgottenLatecomers() throws {
        let listener = try Listener.hold(port: 0, on: .ipv4([127, 0, 0, 1]), .atTheEdge)
        try listener.listen()
        let visitor = TestSocket(TestSocket.blockingSocket(AF_INET))
        let address = SocketAddress.loopback(listener.address.port)
        try #require(address.withSystemAddress { connect(visitor.fd, $0, $1) } == 0)
        listener.pause()
        #expect(visitor.drain().end == .reset)
    }

    @Test("on a Unix socket belongs to its user alone, replaces one left behind, and says when a path is too long")
    func unix() throws {
        let folder = try temporaryFolder()
        let path = folder + "/control.sock"
        let loop = try EventLoop.started()
        defer { loop.stop() }
        for _ in 0..<2 {
            let listener = Handed(try Listener.unix(path: path))
            var facts = stat()
            #expect(stat(path, &facts) == 0)
            #expect(facts.st_mode & 0o777 == 0o600)
            try loop.run {
                try listener.value.accept(on: loop) { stream, _ in
                    _ = stream.sendAtOnce([5])
                    stream.closeOrderly()
                }
            }
            #expect(try UnixExchange.exchange(path: path, sending: [1], limit: .seconds(5)) == [5])
            try loop.run { listener.value.stopAccepting() }
        }
        #expect {
            _ = try Listener.unix(path: folder + "/" + String(repeating: "x", count: 120))
        } throws: { error in
            (error as? SystemError)?.code == ENAMETOOLONG
        }
        unlink(path)
        rmdir(folder)
    }
}
