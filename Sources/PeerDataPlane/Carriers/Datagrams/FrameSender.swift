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

    /// What became of a datagram.
    package enum Fate {
        /// It goes out, or waits for room; if newer ones need that, the loop counts it.
        case sent
        /// Sent in pieces.
        case cut
        /// Too long for three pieces.
        case tooLong
        /// There was no way to the other end.
        case lost
    }

    private let loop: EventLoop
    private let sealed: SealedDatagrams
    private var nextDatagram: UInt16 = 0

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
    ) -> Fate {
        guard let way else { return .lost }
        let overhead = opening == nil ? DatagramFrame.payloadOverhead : DatagramFrame.openingOverhead
        if case .datagrams(_, _, _, let largest) = way {
            let cut = FrameCut(largest: largest)
            guard let pieces = cut.pieces(bytes.count, overhead: overhead) else { return .tooLong }
            if pieces > 1 {
                if let opening { announce(flow, opening, way) }
                send(bytes, of: flow, in: pieces, cut, way)
                return .cut
            }
        } else if let opening, overhead + bytes.count > DatagramStream.longest {
            // A stream keeps them in order.
            announce(flow, opening, way)
            return send(bytes, of: flow, by: way)
        }
        return put(overhead + bytes.count, by: way) { frame in
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
    @discardableResult
    func put(_ count: Int, by way: Way?, _ write: (UnsafeMutableRawPointer) -> Void) -> Fate {
        switch way {
        case .datagrams(let socket, let end, let local, _):
            guard let room = loop.datagrams, let place = room.room(for: socket, count + DatagramHeader.overhead) else {
                return .tooLong
            }
            write(place + DatagramHeader.byteCount)
            guard let length = sealed.seal(place, frame: count, at: loop.now) else { return .lost }
            if let end { room.push(length, to: end, from: local) } else { room.push(length) }
            return .sent
        case .stream(let stream): return stream.send(count, write) ? .sent : .tooLong
        case nil: return .lost
        }
    }
}
