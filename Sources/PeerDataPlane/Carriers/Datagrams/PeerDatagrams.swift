package import PeerCore
package import PeerReactor
package import PeerWire

/// What hears the frames that a relay sends. Belongs to the lane's loop.
package protocol RelayFrames: AnyObject {
    /// A visitor's datagram.
    ///
    /// - Parameter opening: whose flow it is, where the relay does not know that this end knows.
    func visited(
        _ flow: DatagramFrame.Flow, _ opening: DatagramFrame.Opening?, _ bytes: UnsafeRawBufferPointer,
        by channel: PeerDatagrams)
    /// Whose the flow is, before its datagram comes in pieces.
    func announced(_ flow: DatagramFrame.Flow, _ opening: DatagramFrame.Opening, by channel: PeerDatagrams)
    /// The relay has ended a flow.
    func ended(_ flow: DatagramFrame.Flow, by channel: PeerDatagrams)
}

/// The peer's end of the datagrams of one session. Belongs to its lane's loop.
package final class PeerDatagrams: DatagramReceiver {
    package struct Counts: Hashable, Sendable {
        /// Too long for three pieces.
        package var tooLong: UInt64 = 0
        /// Sent in pieces.
        package var cut: UInt64 = 0
    }

    package let session: SessionID
    /// Of the relay.
    package let key: NodeKey
    private let loop: EventLoop
    private let sealed: SealedDatagrams
    private let socket: DatagramSocket
    private weak var frames: (any RelayFrames)?
    private let changed: (DatagramPath.Way) -> Void
    private var path: DatagramPath
    private var timer: LoopTimer?
    private var timerDeadline: Instant?
    private var joiner = PieceJoiner()
    private var nextDatagram: UInt16 = 0
    package private(set) var counts = Counts()

    /// - Parameters:
    ///   - address: of the relay's server port.
    ///   - key: of the relay.
    ///   - changed: told when frames take the other way.
    package init(
        on loop: EventLoop, to address: SocketAddress, session: SessionID, key: NodeKey, _ sealed: SealedDatagrams,
        frames: any RelayFrames, changed: @escaping (DatagramPath.Way) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.session = session
        self.key = key
        self.sealed = sealed
        self.frames = frames
        self.changed = changed
        path = DatagramPath(at: loop.now)
        socket = try DatagramSocket.connected(to: address, .betweenNodes)
        try socket.start(on: loop, self)
        perform(path.timePassed(at: loop.now))
    }

    package func stop() {
        timer?.cancel()
        timer = nil
        socket.stop()
    }

    package var way: DatagramPath.Way { path.way }
    /// The relay has answered.
    package var isStanding: Bool { path.isStanding }
    /// How many bytes a datagram to the relay may have, all in all.
    package var largest: Int { path.largest }

    /// The relay, which sends, has heard nothing for a while.
    package func isMissed() { perform(path.isMissed(at: loop.now)) }

    // MARK: From the relay

    package func received(
        _ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress, to local: DatagramAddress,
        on socket: DatagramSocket
    ) {
        guard let header = DatagramHeader(reading: UnsafeRawBufferPointer(bytes)),
            let opened = sealed.open(bytes, header.number, at: loop.now), let frame = DatagramFrame(reading: opened)
        else { return }
        path.heard()
        switch consume frame {
        case .payload(let flow, let payload):
            frames?.visited(flow, nil, UnsafeRawBufferPointer(payload), by: self)
        case .opening(let flow, let opening, let payload):
            frames?.visited(flow, opening, UnsafeRawBufferPointer(payload), by: self)
        case .announcement(let flow, let opening): frames?.announced(flow, opening, by: self)
        case .piece(let flow, let piece, let part):
            guard let joined = joiner.take(piece, of: flow, part, at: loop.now) else { return }
            joined.withUnsafeBytes { frames?.visited(flow, nil, $0, by: self) }
        case .over(let flow): frames?.ended(flow, by: self)
        case .answer(let answer): perform(path.answered(answer, at: loop.now))
        // A relay says nothing else.
        default: break
        }
    }

    // MARK: To the relay

    /// A service's answer goes to the relay.
    package func send(_ bytes: UnsafeRawBufferPointer, of flow: DatagramFrame.Flow) {
        guard let room = loop.datagrams else { return }
        let cut = FrameCut(largest: path.largest)
        guard let pieces = cut.pieces(bytes.count) else {
            counts.tooLong += 1
            return
        }
        path.sent(at: loop.now)
        schedule()
        if pieces > 1 { return send(bytes, of: flow, in: pieces, cut, room) }
        let overhead = DatagramFrame.payloadOverhead
        guard let place = room.room(for: socket, overhead + bytes.count + DatagramHeader.overhead) else { return }
        let frame = place + DatagramHeader.byteCount
        DatagramFrame.writePayload(flow, to: frame)
        if let base = bytes.baseAddress { (frame + overhead).copyMemory(from: base, byteCount: bytes.count) }
        send(place, frame: overhead + bytes.count, room)
    }

    private func send(
        _ bytes: UnsafeRawBufferPointer, of flow: DatagramFrame.Flow, in pieces: Int, _ cut: FrameCut,
        _ room: DatagramRoom
    ) {
        counts.cut += 1
        nextDatagram &+= 1
        for index in 0..<pieces {
            let part = cut.part(index, of: pieces, bytes)
            let count = DatagramFrame.pieceOverhead + part.count
            guard let place = room.room(for: socket, count + DatagramHeader.overhead) else { return }
            let frame = place + DatagramHeader.byteCount
            let piece = DatagramFrame.Piece(datagram: nextDatagram, index: UInt8(index), count: UInt8(pieces))
            DatagramFrame.writePiece(flow, piece, to: frame)
            if let base = part.baseAddress {
                (frame + DatagramFrame.pieceOverhead).copyMemory(from: base, byteCount: part.count)
            }
            send(place, frame: count, room)
        }
    }

    /// - Parameter kind: `known`, `unknown` or `over`.
    package func tell(_ kind: DatagramFrame.Kind, _ flow: DatagramFrame.Flow) {
        let count = DatagramFrame.noticeByteCount
        guard let room = loop.datagrams, let place = room.room(for: socket, count + DatagramHeader.overhead) else {
            return
        }
        DatagramFrame.writeNotice(kind, flow, to: place + DatagramHeader.byteCount)
        send(place, frame: count, room)
    }

    private func send(_ place: UnsafeMutableRawPointer, frame count: Int, _ room: DatagramRoom) {
        if let length = sealed.seal(place, frame: count, at: loop.now) { room.push(length) }
    }

    // MARK: The way

    private func perform(_ actions: [DatagramPath.Action]) {
        for action in actions {
            switch action {
            case .ask(let number, let size): ask(number, size)
            case .change(let way): changed(way)
            case .fit: break
            }
        }
        // Questions wait for nobody.
        if !actions.isEmpty { loop.datagrams?.flush() }
        schedule()
    }

    private func ask(_ number: UInt32, _ size: Int) {
        let count = size - DatagramHeader.overhead
        guard let room = loop.datagrams, let place = room.room(for: socket, size) else { return }
        let probe = DatagramFrame.Probe(
            number: number, prefersStream: path.way == .stream, largest: UInt16(clamping: path.largest))
        DatagramFrame.write(probe, to: place + DatagramHeader.byteCount, count: count)
        send(place, frame: count, room)
    }

    /// One timer, for whatever is due next.
    private func schedule() {
        let deadline = path.nextDeadline
        if let timerDeadline, timerDeadline <= deadline { return }
        timer?.cancel()
        timerDeadline = deadline
        timer = loop.schedule(after: deadline - loop.clock()) { [weak self] in
            guard let self else { return }
            timerDeadline = nil
            perform(path.timePassed(at: loop.clock()))
        }
    }
}
