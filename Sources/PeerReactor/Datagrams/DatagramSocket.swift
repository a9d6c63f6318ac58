internal import CDatagrams
import Glibc
public import PeerWire

/// What hears the datagrams of a socket. Belongs to the socket's loop.
public protocol DatagramReceiver: AnyObject {
    /// A datagram came.
    ///
    /// - Parameters:
    ///   - bytes: may be written to, and are gone when this returns.
    ///   - source: who sent it.
    ///   - local: the address of this machine that it came to, without a port; that of nobody where the socket does
    ///     not tell.
    func received(
        _ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress, to local: DatagramAddress,
        on socket: DatagramSocket)

    /// Of a connected socket: a datagram that was sent did not arrive (ICMP).
    func failed(_ error: SystemError, on socket: DatagramSocket)
}

extension DatagramReceiver {
    public func failed(_ error: SystemError, on socket: DatagramSocket) {}
}

/// A socket for datagrams, of one port of this machine or connected to one of another. Belongs to one loop.
///
/// It reads without a pause: what a receiver cannot pass on it lets go of.
public final class DatagramSocket: EventSource {
    /// What became of datagrams that were to be sent.
    public struct Counts: Hashable, Sendable {
        public var sent: UInt64 = 0
        /// The socket had no room.
        public var dropped: UInt64 = 0
        /// Larger than the way takes.
        public var tooLong: UInt64 = 0
        /// The system refused them: no route, a filter, an address that cannot be.
        public var refused: UInt64 = 0
    }

    public enum Kind: Sendable {
        /// Visitors and targets: each answer comes from the address that was asked, and the system cuts what is too
        /// long for the way.
        case atTheEdge
        /// Other nodes: nothing is cut, for this end finds out itself what gets through.
        case betweenNodes
    }

    /// In the kernel, each way.
    private static let room: Int32 = 4 << 20
    /// A port of this machine that nothing is sent from (RFC 6335, section 6: reserved).
    private static let nowhere: UInt16 = 1
    /// Batches of one turn.
    private static let batches = 4

    let descriptor: Descriptor
    let family: Int32
    public let kind: Kind
    public internal(set) var counts = Counts()
    /// The kernel takes bundles (UDP_SEGMENT).
    var sendsBundles = true
    private weak var loop: EventLoop?
    private weak var receiver: (any DatagramReceiver)?

    private init(_ descriptor: consuming Descriptor, _ family: Int32, _ kind: Kind) {
        self.descriptor = descriptor
        self.family = family
        self.kind = kind
        super.init()
        let fd = self.descriptor.raw
        cdatagrams_set_room(fd, Self.room)
        cdatagrams_bundle(fd)
        if kind == .betweenNodes { cdatagrams_keep_whole(fd, family) }
    }

    // MARK: Making one

    /// - Parameter isShared: with others that share it (SO_REUSEPORT), which have to come from the same user.
    public static func bound(
        to address: SocketAddress, _ kind: Kind, isShared: Bool = false
    ) throws(SystemError) -> DatagramSocket {
        let family = address.family
        let socket = try made(family, kind)
        if isShared, cdatagrams_share_port(socket.descriptor.raw) != 0 { throw SystemError("setsockopt SO_REUSEPORT") }
        var end = cdatagrams_address(DatagramAddress(address))
        // A socket for both families is bound to no address in either.
        guard cdatagrams_bind(socket.descriptor.raw, family, &end) == 0 else { throw SystemError("bind") }
        if address.isUnspecified { cdatagrams_tell_local(socket.descriptor.raw, family) }
        return socket
    }

    /// On one address, or without one on all: IPv6 and IPv4, or IPv4 alone on a machine that has no IPv6.
    public static func bound(
        port: UInt16, on host: SocketAddress.Host?, _ kind: Kind, isShared: Bool = false
    ) throws(SystemError) -> DatagramSocket {
        if let host { return try bound(to: SocketAddress(host: host, port: port), kind, isShared: isShared) }
        do {
            return try bound(to: .any(port: port), kind, isShared: isShared)
        } catch  where error.code == EAFNOSUPPORT || error.isAddressNotAvailable {
            return try bound(to: .anyIPv4(port: port), kind, isShared: isShared)
        }
    }

    /// Only its datagrams are received, and nobody else's.
    public static func connected(to address: SocketAddress, _ kind: Kind) throws(SystemError) -> DatagramSocket {
        let family = address.family
        let socket = try made(family, kind)
        var end = cdatagrams_address(DatagramAddress(address))
        guard cdatagrams_connect(socket.descriptor.raw, family, &end) == 0 else { throw SystemError("connect") }
        return socket
    }

    /// Another socket at the local end of this one, which is connected: the kernel gives it what comes there from
    /// anybody but this one's other end. It is never to send.
    public func beside() throws(SystemError) -> DatagramSocket {
        let socket = try Self.made(family, kind)
        guard cdatagrams_beside(descriptor.raw, socket.descriptor.raw) == 0 else { throw SystemError("bind") }
        return socket
    }

    private static func made(_ family: Int32, _ kind: Kind) throws(SystemError) -> DatagramSocket {
        let fd = cdatagrams_socket(family)
        guard fd >= 0 else { throw SystemError("socket") }
        return DatagramSocket(Descriptor(fd), family, kind)
    }

    /// The local end; the address is that of nobody where the socket is bound to none.
    public var local: DatagramAddress {
        var end = cdatagrams_address()
        guard cdatagrams_local(descriptor.raw, &end) == 0 else { return DatagramAddress(high: 0, low: 0, port: 0) }
        return DatagramAddress(end)
    }

    /// As `Stream.openDescriptors`.
    public var openDescriptors: Int { Int(descriptor.raw) + 1 }

    /// Of the sockets that share this one's port, each gets the datagrams whose first four bytes name it, by their
    /// lowest bits: its turn in the order in which they were bound.
    ///
    /// - Returns: `false` where the kernel cannot.
    public func steer(bits: Int) -> Bool { cdatagrams_steer(descriptor.raw, Int32(bits)) == 0 }

    // MARK: Refusing

    /// Whoever sends something is told that nobody is here (ICMP), and the port stays bound: the socket is connected
    /// to where nothing comes from. From any thread.
    public func refuse() {
        let own = local
        let isEverywhere = own.high == 0 && (own.low == 0 || own.low == 0xffff_0000_0000)
        let ways: [DatagramAddress] =
            isEverywhere
            ? [
                DatagramAddress(high: 0, low: 1, port: Self.nowhere),
                DatagramAddress(high: 0, low: 0xffff_7f00_0001, port: Self.nowhere),
            ] : [DatagramAddress(high: own.high, low: own.low, scope: own.scope, port: Self.nowhere)]
        for way in family == AF_INET ? ways.suffix(1) : ways[...] {
            var end = cdatagrams_address(way)
            if cdatagrams_connect(descriptor.raw, family, &end) == 0 { return }
        }
    }

    /// Undoes `refuse`. From any thread; `start` has to follow.
    ///
    /// - Throws: where the system has no other socket for it; then the port may not hear visitors of IPv6.
    public func admit() throws(SystemError) {
        guard cdatagrams_is_connected(descriptor.raw) else { return }
        let fresh = try Self.made(family, kind)
        guard cdatagrams_replace(descriptor.raw, fresh.descriptor.raw) == 0 else { throw SystemError("bind") }
    }

    // MARK: Receiving

    /// Datagrams go to `receiver` from now on. Call on the loop.
    public func start(on loop: EventLoop, _ receiver: any DatagramReceiver) throws(SystemError) {
        self.receiver = receiver
        self.loop = loop
        try loop.registerReceiver(descriptor.raw, for: self)
        loop.datagramReaders.began(self)
    }

    /// Nothing is received any more. Call on the loop.
    public func stop() {
        guard let loop else { return }
        loop.datagramReaders.ended(self)
        loop.unregister(descriptor.raw)
        loop.forget(self)
        self.loop = nil
        receiver = nil
    }

    override func ready(_ readiness: Readiness, tag: UInt8) { receive() }
    override func runAgain() { receive() }

    private func receive() {
        guard let loop, let room = loop.datagrams, let receiver else { return }
        for _ in 0..<Self.batches {
            let count = cdatagrams_receive(room.inbox, descriptor.raw)
            if count < 0 {
                receiver.failed(SystemError("recvmmsg", code: -count), on: self)
            } else {
                for at in 0..<count { tell(cdatagrams_message(room.inbox, at).pointee, receiver) }
                // Fewer than there is room for: the queue was empty, and what comes next is told anew.
                guard count == cdatagrams_inbox_messages else { return }
            }
            guard self.loop != nil else { return }
        }
        loop.again(self)
    }

    private func tell(_ message: cdatagrams_message, _ receiver: any DatagramReceiver) {
        let source = DatagramAddress(message.from)
        let local = DatagramAddress(host: message.to)
        guard message.segment > 0 else {
            let bytes = UnsafeMutableRawBufferPointer(start: message.bytes, count: Int(message.count))
            if self.loop != nil { receiver.received(bytes, from: source, to: local, on: self) }
            return
        }
        var at = 0
        while at < Int(message.count), self.loop != nil {
            let length = min(Int(message.segment), Int(message.count) - at)
            let bytes = UnsafeMutableRawBufferPointer(start: message.bytes + at, count: length)
            receiver.received(bytes, from: source, to: local, on: self)
            at += length
        }
    }
}
