internal import CLinux
import Glibc

/// How sockets are set up, in one place.
public enum SocketSetup: Sendable {
    /// Visitors and targets.
    case atTheEdge
    /// Other nodes.
    case betweenNodes

    /// Home NATs forget idle flows, some after seconds; a probe goes out before that. A dead path is known after 11 s.
    static let keepaliveIdle: Int32 = 5
    static let keepaliveInterval: Int32 = 2
    static let keepaliveCount: Int32 = 3

    func apply(to fd: Int32) {
        switch self {
        case .atTheEdge: Self.setUpAtTheEdge(fd)
        case .betweenNodes: Self.setUpBetweenNodes(fd)
        }
    }

    /// For streams between nodes, and for listeners that accept them (accepted sockets inherit).
    private static func setUpBetweenNodes(_ fd: Int32) {
        clinux_no_delay(fd)
        clinux_keepalive(fd, keepaliveIdle, keepaliveInterval, keepaliveCount)
        clinux_reset_on_close(fd, 1)
    }

    /// For visitors and targets: theirs is the choice of keepalives, up to an hour of silence from a vanished host.
    private static func setUpAtTheEdge(_ fd: Int32) {
        // An urgent byte stays in its place among the others instead of being left out.
        var on: Int32 = 1
        setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, socklen_t(MemoryLayout<Int32>.size))
        clinux_no_delay(fd)
        clinux_keepalive(fd, 120, 30, 8)
        clinux_reset_on_close(fd, 1)
    }
}
