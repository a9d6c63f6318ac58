internal import CDatagrams

/// The sockets for datagrams that a loop reads, for what only the system knows of them.
struct DatagramReaders {
    private struct Reader {
        weak var socket: DatagramSocket?
    }

    private var readers: [ObjectIdentifier: Reader] = [:]
    /// Of those that are read no more.
    private var former: UInt64 = 0

    mutating func began(_ socket: DatagramSocket) { readers[ObjectIdentifier(socket)] = Reader(socket: socket) }

    mutating func ended(_ socket: DatagramSocket) {
        guard readers.removeValue(forKey: ObjectIdentifier(socket)) != nil else { return }
        former += socket.overflowed
    }

    /// Datagrams that were dropped on their way in, because others before them had not been read yet.
    var overflowed: UInt64 { readers.values.reduce(former) { $0 + ($1.socket?.overflowed ?? 0) } }
}

extension DatagramSocket {
    fileprivate var overflowed: UInt64 { UInt64(cdatagrams_overflowed(descriptor.raw)) }
}
