internal import PeerCore
package import PeerReactor
package import PeerWire

/// The relay's end of the datagrams of all sessions on one lane: a socket at the server's port number. What does not
/// authenticate is let go of without an answer.
package final class DatagramHub: DatagramReceiver {
    private let loop: EventLoop
    let socket: DatagramSocket
    private var channels: [UInt32: RelayDatagrams] = [:]

    /// - Parameter socket: shares its port with those of the other lanes.
    package init(on loop: EventLoop, _ socket: DatagramSocket) {
        self.loop = loop
        self.socket = socket
    }

    /// Call on the loop.
    package func start() throws(SystemError) { try socket.start(on: loop, self) }

    package func stop() { socket.stop() }

    /// A session has datagrams from now on.
    package func add(_ channel: RelayDatagrams) { channels[channel.number] = channel }

    package func remove(_ number: UInt32) { channels[number] = nil }

    /// Sessions whose peers are to be told that nothing is heard of them.
    package func missing() -> [SessionID] { channels.values.filter { $0.isMissing() }.map(\.session) }

    package func received(
        _ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress, to local: DatagramAddress,
        on socket: DatagramSocket
    ) {
        guard let header = DatagramHeader(reading: UnsafeRawBufferPointer(bytes)),
            let channel = channels[header.channel]
        else { return }
        channel.received(bytes, header.number, from: source, to: local)
    }
}

/// What hears the frames that a peer sends. Belongs to the lane's loop.
package protocol PeerFrames: AnyObject {
    /// An answer of a service.
    func answered(_ flow: DatagramFrame.Flow, _ bytes: UnsafeRawBufferPointer, by channel: RelayDatagrams)
    /// The peer knows a flow from now on, or does not know it.
    func told(_ flow: DatagramFrame.Flow, isKnown: Bool, by channel: RelayDatagrams)
    /// The peer has ended a flow.
    func ended(_ flow: DatagramFrame.Flow, by channel: RelayDatagrams)
}

/// The relay's end of the datagrams of one session.
package final class RelayDatagrams {
    package struct Counts: Hashable, Sendable {
        /// Too long for three pieces.
        package var tooLong: UInt64 = 0
        /// Sent in pieces.
        package var cut: UInt64 = 0
        /// There was no way to the peer.
        package var lost: UInt64 = 0
    }

    package let number: UInt32
    package let session: SessionID
    /// Of the peer.
    package let key: NodeKey
    private let loop: EventLoop
    private let sealed: SealedDatagrams
    private weak var hub: DatagramHub?
    private weak var frames: (any PeerFrames)?
    private var follower = DatagramFollower()
    /// The address of this machine that the peer knows.
    private var local = DatagramAddress(high: 0, low: 0, port: 0)
    private var joiner = PieceJoiner()
    private var nextDatagram: UInt16 = 0
    package private(set) var counts = Counts()

    /// - Parameters:
    ///   - number: that its datagrams have in front.
    ///   - key: of the peer.
    package init(
        on loop: EventLoop, number: UInt32, session: SessionID, key: NodeKey, _ sealed: SealedDatagrams,
        at hub: DatagramHub, to frames: any PeerFrames
    ) {
        self.loop = loop
        self.number = number
        self.session = session
        self.key = key
        self.sealed = sealed
        self.hub = hub
        self.frames = frames
    }

    // MARK: From the peer

    func received(
        _ bytes: UnsafeMutableRawBufferPointer, _ number: DatagramNumber, from source: DatagramAddress,
        to local: DatagramAddress
    ) {
        guard let bytes = sealed.open(bytes, number, at: loop.now), let frame = DatagramFrame(reading: bytes) else {
            return
        }
        if follower.heard(number, from: source) { self.local = local }
        switch consume frame {
        case .payload(let flow, let payload): frames?.answered(flow, UnsafeRawBufferPointer(payload), by: self)
        case .piece(let flow, let piece, let part):
            guard let joined = joiner.take(piece, of: flow, part, at: loop.now) else { return }
            joined.withUnsafeBytes { frames?.answered(flow, $0, by: self) }
        case .known(let flow): frames?.told(flow, isKnown: true, by: self)
        case .unknown(let flow): frames?.told(flow, isKnown: false, by: self)
        case .over(let flow): frames?.ended(flow, by: self)
        case .probe(let probe):
            follower.told(probe)
            answer(probe, bytes.count, source)
        // A peer says nothing else.
        default: break
        }
    }

    private func answer(_ probe: DatagramFrame.Probe, _ count: Int, _ source: DatagramAddress) {
        guard let room = loop.datagrams, let hub,
            let place = room.room(for: hub.socket, count + DatagramHeader.overhead)
        else { return }
        DatagramFrame.write(
            DatagramFrame.Answer(number: probe.number, source: source), to: place + DatagramHeader.byteCount,
            count: count)
        send(place, frame: count, room)
    }

    /// Whether the peer's own datagrams come from that host.
    func isFrom(_ host: HostAddress) -> Bool { follower.peer?.host == host }

    /// Whether the peer is to be told, by its session, that nothing is heard of it.
    func isMissing() -> Bool { follower.isMissing(at: loop.now) }

    // MARK: To the peer

    /// A visitor's datagram goes to the peer.
    ///
    /// - Parameter opening: the peer may not know the flow.
    package func send(
        _ bytes: UnsafeRawBufferPointer, of flow: DatagramFrame.Flow, _ opening: DatagramFrame.Opening?
    ) {
        guard let room = loop.datagrams, let hub, follower.peer != nil else {
            counts.lost += 1
            return
        }
        let cut = FrameCut(largest: follower.largest)
        let overhead = opening == nil ? DatagramFrame.payloadOverhead : DatagramFrame.openingOverhead
        guard let pieces = cut.pieces(bytes.count, overhead: overhead) else {
            counts.tooLong += 1
            return
        }
        follower.sent(at: loop.now)
        if pieces > 1 {
            if let opening { announce(flow, opening, room, hub) }
            return send(bytes, of: flow, in: pieces, cut, room, hub)
        }
        let count = overhead + bytes.count
        guard let place = room.room(for: hub.socket, count + DatagramHeader.overhead) else { return }
        let frame = place + DatagramHeader.byteCount
        if let opening {
            DatagramFrame.write(.opening, flow, opening, to: frame)
        } else {
            DatagramFrame.writePayload(flow, to: frame)
        }
        if let base = bytes.baseAddress { (frame + overhead).copyMemory(from: base, byteCount: bytes.count) }
        send(place, frame: count, room)
    }

    private func announce(
        _ flow: DatagramFrame.Flow, _ opening: DatagramFrame.Opening, _ room: DatagramRoom, _ hub: DatagramHub
    ) {
        let count = DatagramFrame.openingOverhead
        guard let place = room.room(for: hub.socket, count + DatagramHeader.overhead) else { return }
        DatagramFrame.write(.announcement, flow, opening, to: place + DatagramHeader.byteCount)
        send(place, frame: count, room)
    }

    private func send(
        _ bytes: UnsafeRawBufferPointer, of flow: DatagramFrame.Flow, in pieces: Int, _ cut: FrameCut,
        _ room: DatagramRoom, _ hub: DatagramHub
    ) {
        counts.cut += 1
        nextDatagram &+= 1
        for index in 0..<pieces {
            let part = cut.part(index, of: pieces, bytes)
            let count = DatagramFrame.pieceOverhead + part.count
            guard let place = room.room(for: hub.socket, count + DatagramHeader.overhead) else { return }
            let frame = place + DatagramHeader.byteCount
            let piece = DatagramFrame.Piece(datagram: nextDatagram, index: UInt8(index), count: UInt8(pieces))
            DatagramFrame.writePiece(flow, piece, to: frame)
            if let base = part.baseAddress {
                (frame + DatagramFrame.pieceOverhead).copyMemory(from: base, byteCount: part.count)
            }
            send(place, frame: count, room)
        }
    }

    /// The flow has ended here.
    package func end(_ flow: DatagramFrame.Flow) {
        let count = DatagramFrame.noticeByteCount
        guard let room = loop.datagrams, let hub, follower.peer != nil,
            let place = room.room(for: hub.socket, count + DatagramHeader.overhead)
        else { return }
        DatagramFrame.writeNotice(.over, flow, to: place + DatagramHeader.byteCount)
        send(place, frame: count, room)
    }

    private func send(_ place: UnsafeMutableRawPointer, frame count: Int, _ room: DatagramRoom) {
        guard let peer = follower.peer, let length = sealed.seal(place, frame: count, at: loop.now) else { return }
        room.push(length, to: peer, from: local)
    }
}
