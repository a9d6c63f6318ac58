internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// Writes the frames of one end of a session, as datagrams or to a stream. Belongs to its lane's loop.
package final class FrameSender {
    /// Which way frames go.
    enum Way {
        /// - Parameters:
        ///   - to: `nil` for a connected socket.
        ///   - from: the address of this machine that they come from.
        case datagrams(DatagramSocket, to: DatagramAddress?, from: DatagramAddress, largest: Int)
        case stream(DatagramStream)
    }

    package struct Counts: Hashable, Sendable {
        /// Too long for three pieces.
        package var tooLong: UInt64 = 0
        /// Sent in pieces.
        package var cut: UInt64 = 0
        /// There was no way to the other end, or no room on it.
        package var lost: UInt64 = 0
    }

    private let loop: EventLoop
    private let sealed: SealedDatagrams
    private var nextDatagram: UInt16 = 0
    package private(set) var counts = Counts()

    init(on loop: EventLoop, _ sealed: SealedDatagrams) {
        self.loop = loop
        self.sealed = sealed
    }

    /// A visitor's datagram, or a service's.
    ///
    /// - Parameter opening: the other end may not know the flow.
    func send(
        _ bytes: UnsafeRawBufferPointer, of flow: DatagramFrame.Flow, _ opening: DatagramFrame.Opening? = nil,
        by way: Way?
    ) {
        guard let way else {
            counts.lost += 1
            return
        }
        let overhead = opening == nil ? DatagramFrame.payloadOverhead : DatagramFrame.openingOverhead
        if case .datagrams(_, _, _, let largest) = way {
            let cut = FrameCut(largest: largest)
            guard let pieces = cut.pieces(bytes.count, overhead: overhead) else {
                counts.tooLong += 1
                return
            }
            if pieces > 1 {
                if let opening { announce(flow, opening, way) }
                return send(bytes, of: flow, in: pieces, cut, way)
            }
        } else if let opening, overhead + bytes.count > DatagramStream.longest {
            // A stream keeps them in order.
            announce(flow, opening, way)
            return send(bytes, of: flow, by: way)
        }
        put(overhead + bytes.count, by: way) { frame in
            if let opening {
                DatagramFrame.write(.opening, flow, opening, to: frame)
            } else {
                DatagramFrame.writePayload(flow, to: frame)
            }
            if let base = bytes.baseAddress { (frame + overhead).copyMemory(from: base, byteCount: bytes.count) }
        }
    }

    private func announce(_ flow: DatagramFrame.Flow, _ opening: DatagramFrame.Opening, _ way: Way) {
        put(DatagramFrame.openingOverhead, by: way) { DatagramFrame.write(.announcement, flow, opening, to: $0) }
    }

    private func send(
        _ bytes: UnsafeRawBufferPointer, of flow: DatagramFrame.Flow, in pieces: Int, _ cut: FrameCut, _ way: Way
    ) {
        counts.cut += 1
        nextDatagram &+= 1
        for index in 0..<pieces {
            let part = cut.part(index, of: pieces, bytes)
            let piece = DatagramFrame.Piece(datagram: nextDatagram, index: UInt8(index), count: UInt8(pieces))
            put(DatagramFrame.pieceOverhead + part.count, by: way) { frame in
                DatagramFrame.writePiece(flow, piece, to: frame)
                guard let base = part.baseAddress else { return }
                (frame + DatagramFrame.pieceOverhead).copyMemory(from: base, byteCount: part.count)
            }
        }
    }

    /// - Parameter kind: `known`, `unknown` or `over`.
    func tell(_ kind: DatagramFrame.Kind, _ flow: DatagramFrame.Flow, by way: Way?) {
        put(DatagramFrame.noticeByteCount, by: way) { DatagramFrame.writeNotice(kind, flow, to: $0) }
    }

    /// - Parameters:
    ///   - count: of the frame.
    ///   - write: writes it where it is told to.
    func put(_ count: Int, by way: Way?, _ write: (UnsafeMutableRawPointer) -> Void) {
        switch way {
        case .datagrams(let socket, let end, let local, _):
            guard let room = loop.datagrams, let place = room.room(for: socket, count + DatagramHeader.overhead) else {
                counts.tooLong += 1
                return
            }
            write(place + DatagramHeader.byteCount)
            guard let length = sealed.seal(place, frame: count, at: loop.now) else { return }
            if let end { room.push(length, to: end, from: local) } else { room.push(length) }
        case .stream(let stream):
            if !stream.send(count, write) { counts.lost += 1 }
        case nil: counts.lost += 1
        }
    }
}
