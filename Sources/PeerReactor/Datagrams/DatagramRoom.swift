internal import CDatagrams
public import PeerWire

/// What became of one loop's datagrams, since the process started.
public struct DatagramCounts: Hashable, Sendable {
    /// Dropped on the way out, for want of room in a socket or in front of a stream.
    public var dropped: UInt64 = 0
    /// Dropped on the way in: the loop had not read those before them yet.
    public var overflowed: UInt64 = 0
    /// Came to a port for other nodes and were not genuine.
    public var forged: UInt64 = 0
    /// Came a second time, or so late that nobody knows.
    public var late: UInt64 = 0
    /// Came in pieces of which some did not.
    public var incomplete: UInt64 = 0

    public init() {}

    public static func + (left: Self, right: Self) -> Self {
        var sum = left
        sum.dropped += right.dropped
        sum.overflowed += right.overflowed
        sum.forged += right.forged
        sum.late += right.late
        sum.incomplete += right.incomplete
        return sum
    }
}

/// A loop's room for datagrams: a batch that came in, and those that wait to go out together by one socket. What goes
/// out leaves at the end of the loop's turn, or when somebody calls `flush` or writes by another socket.
public final class DatagramRoom {
    let inbox: OpaquePointer
    private let outbox: OpaquePointer
    /// Whose datagrams wait.
    private var socket: DatagramSocket?
    public var counts = DatagramCounts()

    /// `nil` when there is no memory.
    init?() {
        guard let inbox = cdatagrams_inbox_new() else { return nil }
        guard let outbox = cdatagrams_outbox_new() else {
            cdatagrams_inbox_free(inbox)
            return nil
        }
        self.inbox = inbox
        self.outbox = outbox
    }

    deinit {
        cdatagrams_inbox_free(inbox)
        cdatagrams_outbox_free(outbox)
    }

    /// Where a datagram's bytes go; `push` follows before anything else is done here.
    ///
    /// - Parameter count: how many at most.
    /// - Returns: `nil` for more than a datagram can have.
    public func room(for socket: DatagramSocket, _ count: Int) -> UnsafeMutableRawPointer? {
        guard count <= cdatagrams_longest else { return nil }
        if self.socket !== socket {
            flush()
            self.socket = socket
        }
        if let room = cdatagrams_room(outbox, count) { return UnsafeMutableRawPointer(room) }
        flush()
        self.socket = socket
        return cdatagrams_room(outbox, count).map { UnsafeMutableRawPointer($0) }
    }

    /// The datagram has its bytes, of a connected socket.
    public func push(_ count: Int) { cdatagrams_push(outbox, count, nil, nil) }

    /// The datagram has its bytes.
    ///
    /// - Parameter local: the address that it comes from; that of nobody: the system chooses.
    public func push(_ count: Int, to end: DatagramAddress, from local: DatagramAddress) {
        var address = cdatagrams_address(end)
        var from = (local.high.bigEndian, local.low.bigEndian)
        withUnsafeBytes(of: &from) {
            cdatagrams_push(outbox, count, &address, $0.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
    }

    /// What waits is sent.
    public func flush() {
        guard let socket, !cdatagrams_is_empty(outbox) else { return }
        let sent = cdatagrams_flush(outbox, socket.descriptor.raw, socket.family, &socket.sendsBundles)
        socket.counts.sent += UInt64(sent.sent)
        socket.counts.dropped += UInt64(sent.dropped)
        counts.dropped += UInt64(sent.dropped)
        socket.counts.tooLong += UInt64(sent.too_long)
        socket.counts.refused += UInt64(sent.refused)
        self.socket = nil
    }
}

extension EventLoop {
    /// Made for the first datagram; `nil` when there is no memory.
    public var datagrams: DatagramRoom? {
        if let datagramRoom { return datagramRoom }
        datagramRoom = DatagramRoom()
        return datagramRoom
    }

    public var datagramCounts: DatagramCounts {
        var counts = datagramRoom?.counts ?? DatagramCounts()
        counts.overflowed = datagramReaders.overflowed
        return counts
    }
}

// MARK: Addresses

extension DatagramAddress {
    init(_ address: cdatagrams_address) {
        var host = address.host
        let (high, low) = withUnsafeBytes(of: &host) {
            ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        self.init(
            high: UInt64(bigEndian: high), low: UInt64(bigEndian: low), scope: address.scope, port: address.port)
    }

    /// An address alone, as 16 bytes.
    init<Bytes: BitwiseCopyable>(host: Bytes) {
        let (high, low) = withUnsafeBytes(of: host) {
            ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        self.init(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low), port: 0)
    }
}

extension DatagramAddress {
    public init(_ address: SocketAddress) {
        switch address.host {
        case .ipv4(let bytes):
            self.init(high: 0, low: bytes.reduce(0xffff) { $0 << 8 | UInt64($1) }, port: address.port)
        case .ipv6(let bytes, let scope):
            self.init(
                high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
                low: bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) }, scope: scope, port: address.port)
        }
    }
}

extension cdatagrams_address {
    init(_ end: DatagramAddress) {
        self.init()
        withUnsafeMutableBytes(of: &host) {
            $0.storeBytes(of: end.high.bigEndian, as: UInt64.self)
            $0.storeBytes(of: end.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        scope = end.scope
        port = end.port
    }
}
