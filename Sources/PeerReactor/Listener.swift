internal import CLinux
import Glibc

/// A bound TCP port that may be held, listening, or paused. Connections are refused unless it listens.
///
/// While held, no other process can bind it: SO_REUSEADDR is set for the bind (or TIME_WAIT would keep us out after
/// a restart), cleared while the port is held (or others could bind and listen beside us) and set again before
/// `listen`. `shutdown(SHUT_RD)` takes a listener back to bound, and the system answers with RST.
public final class Listener: EventSource {
    public enum Kind: Sendable {
        /// Visitors come here.
        case atTheEdge
        /// Other nodes come here.
        case betweenNodes
    }

    private static let backlog: Int32 = 4_096
    /// Accepted in one turn.
    private static let batch = 64

    public let address: SocketAddress
    private let descriptor: Descriptor
    private var onAccept: ((consuming Stream, SocketAddress) -> Void)?
    private weak var loop: EventLoop?
    /// Kept so that a connection can be accepted and closed when no descriptor is left: otherwise it would stay
    /// in the queue and wake the loop for ever.
    private var reserve: Descriptor?
    /// Connections that were turned away for want of descriptors.
    public private(set) var turnedAway = 0

    private init(_ descriptor: consuming Descriptor, address: SocketAddress) {
        self.descriptor = descriptor
        self.address = address
        super.init()
    }

    /// Binds without listening.
    public static func hold(_ address: SocketAddress, _ kind: Kind) throws(SystemError) -> Listener {
        let fd = clinux_socket(address.family, Int32(SOCK_STREAM.rawValue))
        guard fd >= 0 else { throw SystemError("socket") }
        let descriptor = Descriptor(fd)
        if case .ipv6 = address.host, address.isUnspecified { set(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0) }
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
        guard address.withSystemAddress({ bind(fd, $0, $1) }) == 0 else { throw SystemError("bind") }
        set(fd, SOL_SOCKET, SO_REUSEADDR, 0)
        switch kind {
        case .atTheEdge: SocketSetup.atTheEdge(fd)
        case .betweenNodes: SocketSetup.betweenNodes(fd)
        }
        let bound = SocketAddress.local(of: fd) ?? address
        return Listener(descriptor, address: bound)
    }

    /// Binds on one address, or without one on all: IPv6 and IPv4, or IPv4 alone on a machine that has no IPv6.
    public static func hold(
        port: UInt16, on host: SocketAddress.Host?, _ kind: Kind
    ) throws(SystemError) -> Listener {
        if let host { return try hold(SocketAddress(host: host, port: port), kind) }
        do {
            return try hold(.any(port: port), kind)
        } catch where error.code == EAFNOSUPPORT || error.isAddressNotAvailable {
            return try hold(.anyIPv4(port: port), kind)
        }
    }

    /// From now on the system completes connections; they wait until `accept`.
    public func listen() throws(SystemError) {
        Self.set(descriptor.raw, SOL_SOCKET, SO_REUSEADDR, 1)
        guard Glibc.listen(descriptor.raw, Self.backlog) == 0 else { throw SystemError("listen") }
    }

    /// Connections are refused; the port stays bound.
    public func pause() { shutdown(descriptor.raw, Int32(SHUT_RD)) }

    /// Hands every connection to `body`, on the loop's thread. Call there.
    public func accept(on loop: EventLoop, _ body: @escaping (consuming Stream, SocketAddress) -> Void) throws(SystemError) {
        stopAccepting()
        onAccept = body
        self.loop = loop
        reserve = Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC))
        try loop.registerListener(descriptor.raw, for: self)
    }

    /// Undoes `accept`. Call on the same loop.
    public func stopAccepting() {
        guard onAccept != nil else { return }
        onAccept = nil
        reserve = nil
        loop?.unregister(descriptor.raw)
        loop?.forget(self)
    }

    override func ready(_ readiness: Readiness, tag: UInt8) {
        for _ in 0..<Self.batch {
            guard let onAccept else { return }
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let fd = clinux_accept(descriptor.raw, &storage, &length)
            if fd >= 0 {
                // A Unix socket has no address worth the name.
                onAccept(Stream(Descriptor(fd)), SocketAddress(storage) ?? .anyIPv4(port: 0))
                continue
            }
            switch errno {
            case EMFILE, ENFILE: turnOneAway()
            case ECONNABORTED, EINTR: continue
            default: return
            }
        }
    }

    private func turnOneAway() {
        turnedAway += 1
        reserve = nil
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let fd = clinux_accept(descriptor.raw, &storage, &length)
        if fd >= 0 { _ = close(fd) }
        reserve = Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC))
    }

    private static func set(_ fd: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

extension Listener {
    /// A Unix socket for this user alone (0600). One left behind by a dead process is replaced.
    public static func unix(path: String) throws(SystemError) -> Listener {
        let fd = clinux_socket(AF_UNIX, Int32(SOCK_STREAM.rawValue))
        guard fd >= 0 else { throw SystemError("socket") }
        let descriptor = Descriptor(fd)
        unlink(path)
        let former = umask(0o177)
        let status = UnixAddress(path: path)?.withSystemAddress { bind(fd, $0, $1) } ?? -1
        let code = errno
        umask(former)
        guard status == 0 else { throw SystemError("bind \(path)", code: code) }
        guard Glibc.listen(fd, 64) == 0 else { throw SystemError("listen") }
        return Listener(descriptor, address: .anyIPv4(port: 0))
    }
}

/// The path of a Unix socket.
struct UnixAddress {
    private var system = sockaddr_un()

    /// `nil` when the path is too long for the system.
    init?(path: String) {
        system.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: system.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &system.sun_path) { $0.copyBytes(from: bytes) }
    }

    func withSystemAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: system) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
}
