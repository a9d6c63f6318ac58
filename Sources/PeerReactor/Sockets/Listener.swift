internal import CLinux
import Glibc
public import PeerCore
internal import Synchronization

/// A bound TCP port that may be held, listening, or paused. Connections are refused unless it listens.
///
/// While held, no other process can bind it: SO_REUSEADDR is set for the bind (or TIME_WAIT would keep us out after
/// a restart), cleared while the port is held (or others could bind and listen beside us) and set again before
/// `listen`. `shutdown(SHUT_RD)` takes a listener back to bound, and the system answers with RST.
public final class Listener: EventSource {
    private static let backlog: Int32 = 4_096
    /// Accepted in one turn.
    private static let batch = 64
    /// How long the system is left in peace when it cannot give connections.
    private static let pauseForBreath = Instant.Span.milliseconds(50)

    /// How long a visitor may take to complete a handshake before a port that closes gently refuses all the same. Most
    /// round trips are shorter; and it is less than the second after which a visitor repeats a SYN that was ignored
    /// (RFC 6298, section 2.1): that one finds the port closed, and it is refused.
    public static let longestHandshake = Instant.Span.milliseconds(300)

    public let address: SocketAddress
    let descriptor: Descriptor
    /// What was accepted since has a filter that it does not need. Set by one thread, read by the one that accepts.
    private let ignoresNewcomers = Atomic(false)
    private var onAccept: ((consuming Stream, SocketAddress) -> Void)?
    private weak var loop: EventLoop?
    /// As `Stream.openDescriptors`.
    public var openDescriptors: Int { Int(descriptor.raw) + 1 }
    /// Connections that were turned away for want of descriptors.
    private var turnedAway: UInt64 = 0
    private var rest: LoopTimer?

    private init(_ descriptor: consuming Descriptor, address: SocketAddress) {
        self.descriptor = descriptor
        self.address = address
        super.init()
    }

    /// Binds without listening.
    public static func hold(_ address: SocketAddress, _ kind: SocketSetup) throws(SystemError) -> Listener {
        let fd = clinux_socket(address.family, Int32(SOCK_STREAM.rawValue))
        guard fd >= 0 else { throw SystemError("socket") }
        let descriptor = Descriptor(fd)
        if case .ipv6 = address.host, address.isUnspecified { set(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0) }
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
        guard address.withSystemAddress({ bind(fd, $0, $1) }) == 0 else { throw SystemError("bind") }
        set(fd, SOL_SOCKET, SO_REUSEADDR, 0)
        kind.apply(to: fd)
        let bound = SocketAddress.local(of: fd) ?? address
        return Listener(descriptor, address: bound)
    }

    /// Binds on one address, or without one on all: IPv6 and IPv4, or IPv4 alone on a machine that has no IPv6.
    public static func hold(
        port: UInt16, on host: SocketAddress.Host?, _ kind: SocketSetup
    ) throws(SystemError) -> Listener {
        if let host { return try hold(SocketAddress(host: host, port: port), kind) }
        do {
            return try hold(.any(port: port), kind)
        } catch  where error.code == EAFNOSUPPORT || error.isAddressNotAvailable {
            return try hold(.anyIPv4(port: port), kind)
        }
    }

    /// From now on the system completes connections; they wait until `accept`.
    public func listen() throws(SystemError) {
        Self.set(descriptor.raw, SOL_SOCKET, SO_REUSEADDR, 1)
        if ignoresNewcomers.exchange(false, ordering: .relaxed) { clinux_ignore_syn(descriptor.raw, 0) }
        guard Glibc.listen(descriptor.raw, Self.backlog) == 0 else { throw SystemError("listen") }
    }

    /// Who begins a handshake from now on is left without an answer, and handshakes that are under way are completed
    /// and accepted: otherwise a pause, which follows in a moment, would reset visitors who believe to be connected.
    /// `false` where the system cannot do that.
    public func ignoreNewcomers() -> Bool {
        guard clinux_ignore_syn(descriptor.raw, 1) == 0 else { return false }
        ignoresNewcomers.store(true, ordering: .relaxed)
        return true
    }

    /// The system's next connection, or -1.
    private func nextConnection(_ storage: inout sockaddr_storage) -> Int32 {
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let fd = clinux_accept(descriptor.raw, &storage, &length)
        if fd >= 0, ignoresNewcomers.load(ordering: .relaxed) { clinux_ignore_syn(fd, 0) }
        return fd
    }

    /// Connections are refused; the port stays bound, if it was asked for by its number (the system takes back one
    /// that it chose itself), and out of reach for others as while held.
    ///
    /// The system would reset connections that it has completed and nobody accepted yet: they are in the result, for
    /// `admit` on the loop that accepts. Whoever lets go of it resets them.
    @discardableResult
    public func pause() -> [AcceptedConnection] {
        var late: [AcceptedConnection] = []
        while late.count < Int(Self.backlog) {
            var storage = sockaddr_storage()
            let fd = nextConnection(&storage)
            guard fd >= 0 else { break }
            let parcel = StreamParcel(Stream(Descriptor(fd)))
            late.append(AcceptedConnection(parcel: parcel, address: SocketAddress(storage) ?? .anyIPv4(port: 0)))
        }
        shutdown(descriptor.raw, Int32(SHUT_RD))
        Self.set(descriptor.raw, SOL_SOCKET, SO_REUSEADDR, 0)
        return late
    }

    /// Those who had come before a pause are accepted like others. Call on the loop.
    public func admit(_ late: [AcceptedConnection]) {
        for connection in late {
            guard let onAccept, let stream = connection.parcel.open() else { continue }
            onAccept(stream, connection.address)
        }
    }

    /// Hands every connection to `body`, on the loop's thread. Call there.
    public func accept(
        on loop: EventLoop, _ body: @escaping (consuming Stream, SocketAddress) -> Void
    ) throws(SystemError) {
        stopAccepting()
        try loop.registerListener(descriptor.raw, for: self)
        onAccept = body
        self.loop = loop
        if loop.spare == nil { loop.spare = Self.openSpare() }
    }

    /// How many were turned away for want of descriptors since this was asked last. Call on the loop.
    public func takeTurnedAway() -> UInt64 {
        defer { turnedAway = 0 }
        return turnedAway
    }

    /// Undoes `accept`. Call on the same loop.
    public func stopAccepting() {
        guard onAccept != nil else { return }
        onAccept = nil
        rest?.cancel()
        rest = nil
        loop?.unregister(descriptor.raw)
        loop?.forget(self)
    }

    override func ready(_ readiness: Readiness, tag: UInt8) {
        for _ in 0..<Self.batch {
            guard let onAccept else { return }
            var storage = sockaddr_storage()
            let fd = nextConnection(&storage)
            if fd >= 0 {
                // A Unix socket has no address worth the name.
                onAccept(Stream(Descriptor(fd)), SocketAddress(storage) ?? .anyIPv4(port: 0))
                continue
            }
            switch errno {
            case EAGAIN: return
            case EMFILE, ENFILE: guard turnOneAway() else { return }
            // What the network did to a connection that waited (accept(2)): the next one may be well.
            case ECONNABORTED, EINTR, ENETDOWN, EPROTO, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH: continue
            default: return takeBreath()
            }
        }
    }

    /// `false` when there is nothing more to do now. Without a free descriptor the system says EMFILE even when no
    /// connection waits.
    private func turnOneAway() -> Bool {
        guard let loop else { return false }
        loop.spare = nil
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let fd = clinux_accept(descriptor.raw, &storage, &length)
        let code = errno
        if fd >= 0 {
            turnedAway += 1
            _ = close(fd)
        }
        loop.spare = Self.openSpare()
        if fd < 0, code != EAGAIN { takeBreath() }
        return fd >= 0
    }

    /// Paused, or out of memory, or the spare descriptor was snatched by another thread: the socket stays ready all the
    /// time, and asking at once again would keep the loop busy with nothing.
    private func takeBreath() {
        guard let loop, onAccept != nil else { return }
        loop.unregister(descriptor.raw)
        rest = loop.schedule(after: Self.pauseForBreath) { [weak self] in
            guard let self, onAccept != nil else { return }
            do throws(SystemError) { try loop.registerListener(descriptor.raw, for: self) } catch { takeBreath() }
        }
    }

    private static func openSpare() -> Descriptor? {
        let fd = open("/dev/null", O_RDONLY | O_CLOEXEC)
        return fd >= 0 ? Descriptor(fd) : nil
    }

    private static func set(_ fd: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

extension Listener {
    /// A Unix socket for this user alone (0600). One left behind by a dead process is replaced.
    ///
    /// It gets its rights between `bind` and `listen`: nobody can connect before the latter. The umask would be
    /// simpler, and is the whole process's: files of other threads would be made with it.
    public static func unix(path: String) throws(SystemError) -> Listener {
        guard let address = UnixAddress(path: path) else { throw SystemError("bind \(path)", code: ENAMETOOLONG) }
        let fd = clinux_socket(AF_UNIX, Int32(SOCK_STREAM.rawValue))
        guard fd >= 0 else { throw SystemError("socket") }
        let descriptor = Descriptor(fd)
        unlink(path)
        let status = address.withSystemAddress { bind(fd, $0, $1) } == 0 ? chmod(path, 0o600) : -1
        let code = errno
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
