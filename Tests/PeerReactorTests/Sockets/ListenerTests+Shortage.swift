import CLinux
import Glibc
import PeerCore
import Synchronization
import Testing
@testable import PeerReactor

/// Where descriptors run out.
extension ListenerTests {
    @Test("turns connections away when no descriptor is left, does not spin, and recovers")
    func noDescriptorLeft() async {
        await #expect(processExitsWith: .success) {
            let loop = try EventLoop.started()
            let listener = Handed(try Listener.hold(port: 0, on: .ipv4([127, 0, 0, 1]), .atTheEdge))
            let port = listener.value.address.port
            try listener.value.listen()
            let served = Mutex(0)
            try loop.run {
                try listener.value.accept(on: loop) { stream, _ in
                    served.withLock { $0 += 1 }
                    stream.closeOrderly()
                }
            }
            // The visitors' sockets are made first; then all that is left is taken.
            let visitors = (0..<30).map { _ in TestSocket(TestSocket.blockingSocket(AF_INET)) }
            let taken = takeAllDescriptors()
            for visitor in visitors {
                let status = SocketAddress.loopback(port).withSystemAddress { connect(visitor.fd, $0, $1) }
                precondition(status == 0)
                precondition(visitor.drain().end == .reset)
            }
            precondition(served.withLock { $0 } == 0)
            let turnedAway = try loop.run { listener.value.takeTurnedAway() }
            precondition(turnedAway == visitors.count, "\(turnedAway) turned away")
            let spent = try processorSeconds(within: 0.5, on: loop)
            precondition(spent < 0.2, "\(spent) s of processor time in 0.5 s")
            for fd in taken { _ = close(fd) }
            let end = try TestSocket.connected(to: port).drain().end
            precondition(end == .clean)
        }
    }

    /// Another thread was quicker and took the descriptor that was kept in reserve.
    @Test("whose reserve is gone as well does not spin, and recovers")
    func noReserveLeft() async {
        await #expect(processExitsWith: .success) {
            try EventLoop.alone { loop in
                let listener = Handed(try Listener.hold(port: 0, on: .ipv4([127, 0, 0, 1]), .atTheEdge))
                let port = listener.value.address.port
                try listener.value.listen()
                let visitor = TestSocket(TestSocket.blockingSocket(AF_INET))
                let taken = takeAllDescriptors()
                // With none left, there is no reserve from the start.
                try loop.run { try listener.value.accept(on: loop) { stream, _ in stream.closeOrderly() } }
                let status = SocketAddress.loopback(port).withSystemAddress { connect(visitor.fd, $0, $1) }
                precondition(status == 0)
                let spent = try processorSeconds(within: 0.5, on: loop)
                precondition(spent < 0.2, "\(spent) s of processor time in 0.5 s")
                for fd in taken { _ = close(fd) }
                precondition(visitor.drain().end == .clean)
            }
        }
    }
}
