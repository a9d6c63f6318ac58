import Glibc
import PeerCore
import Testing

@testable import PeerReactor

@Suite("A forwarder whose target is still being connected to", .serialized)
struct ForwarderConnectingTests {
    private func open(
        on loop: EventLoop, to address: SocketAddress, early: [UInt8] = []
    ) throws -> (visitor: TestSocket, ended: Awaited<String>) {
        let (stream, visitor) = try TestSocket.pair()
        let parcel = Handed(stream)
        let ended = Awaited<String>()
        try loop.run {
            let target = try Connector.open(address, .atTheEdge)
            let forwarder = ClosureForwarder(
                on: loop, left: parcel.value.open()!, right: target, isConnecting: true, early: early
            ) { _, ending in
                if case .neverConnected(let error) = ending {
                    ended.tell("never connected: \(error.isRefused ? "refused" : error.text)")
                } else {
                    ended.tell(Passage.text(ending))
                }
            }
            forwarder.start(isLeftRegistered: false)
        }
        return (visitor, ended)
    }

    @Test("sends what was read early, and what the visitor sent meanwhile, once it is connected")
    func connects() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let server = try TestSocket.listening()
        let (visitor, ended) = try open(on: loop, to: .loopback(server.port), early: [1, 2])
        visitor.send([3])
        let service = try server.accept()
        #expect(service.receive(exactly: 3) == [1, 2, 3])
        service.send([4])
        service.close()
        #expect(visitor.drain().bytes == [4])
        visitor.close()
        #expect(try ended.next("end") == "clean")
    }

    @Test("says that it never connected when the target refuses, and resets the visitor")
    func refused() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let closed = try TestSocket.bound(to: .loopback(0))
        let (visitor, ended) = try open(on: loop, to: .loopback(closed.port))
        #expect(visitor.drain().end == .reset)
        #expect(try ended.next("end") == "never connected: refused")
    }

    @Test("does not call a target unreachable that accepted and reset at once")
    func acceptedAndReset() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let server = try TestSocket.listening()
        let hold = Awaited<Void>()
        let address = SocketAddress.loopback(server.port)
        let ending = Awaited<String>()
        let (stream, visitor) = try TestSocket.pair()
        let parcel = Handed(stream)
        loop.execute {
            guard let target = try? Connector.open(address, .atTheEdge) else { return ending.tell("no socket") }
            let forwarder = ClosureForwarder(
                on: loop, left: parcel.value.open()!, right: target, isConnecting: true
            ) { _, how in ending.tell(Passage.text(how)) }
            forwarder.start(isLeftRegistered: false)
            // The loop looks only after the target is gone again.
            _ = try? hold.next("go-ahead")
        }
        try server.accept().reset()
        hold.tell(())
        #expect(try ending.next("end") == "aborted")
        #expect(visitor.drain().end == .reset)
    }

    @Test("gives up when the visitor does")
    func visitorLeaves() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        // A full queue: the system drops what comes further, and a connection stays on its way.
        let server = try TestSocket.listening(backlog: 0)
        let fillers = try (0..<3).map { _ in
            try Connector.open(.loopback(server.port), .atTheEdge).releaseDescriptor()
        }
        defer { for fd in fillers { _ = Glibc.close(fd) } }
        let (visitor, ended) = try open(on: loop, to: .loopback(server.port))
        visitor.reset()
        #expect(try ended.next("end") == "aborted")
    }
}
