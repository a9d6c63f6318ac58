internal import PeerCore
package import PeerReactor
package import PeerWire

/// The relay's end of the datagrams of one session. Belongs to its lane's loop.
package final class RelayDatagrams {
    package let number: UInt32
    package let session: SessionID
    /// Of the peer.
    package let key: NodeKey
    private let loop: EventLoop
    private let sealed: SealedDatagrams
    private let sender: FrameSender
    private weak var hub: DatagramHub?
    private weak var frames: (any PeerFrames)?
    private var follower = DatagramFollower()
    /// The address of this machine that the peer knows.
    private var local = DatagramAddress(high: 0, low: 0, port: 0)
    private var stream: DatagramStream?
    private var joiner = PieceJoiner()

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
        sender = FrameSender(on: loop, sealed)
    }

    package func stop() { stream?.close() }

    // MARK: From the peer

    func received(
        _ bytes: UnsafeMutableRawBufferPointer, _ number: DatagramNumber, from source: DatagramAddress,
        to local: DatagramAddress
    ) {
        guard let room = loop.datagrams, let bytes = sealed.open(bytes, number, at: loop.now, &room.counts) else {
            return
        }
        if follower.heard(number, from: source) { self.local = local }
        take(bytes, from: source)
    }

    /// The peer has dialled a stream for its frames, because datagrams do not get through. It takes the place of one
    /// that is there.
    package func use(_ stream: consuming Stream, isRegistered: Bool) {
        self.stream?.close()
        let made = DatagramStream(
            on: loop, stream, isRegistered: isRegistered, received: { [weak self] in self?.take($0, from: nil) },
            closed: { [weak self] in if self?.stream === $0 { self?.stream = nil } })
        self.stream = made
        // Nothing but that the stream is in good hands: of a plain one the peer may say no more before.
        _ = made.send(0) { _ in }
    }

    /// - Parameter source: of a datagram; `nil`: the frame came by the stream.
    private func take(_ bytes: UnsafeMutableRawBufferPointer, from source: DatagramAddress?) {
        guard let frame = DatagramFrame(reading: bytes) else { return }
        switch consume frame {
        case .payload(let flow, let payload): frames?.answered(flow, UnsafeRawBufferPointer(payload), by: self)
        case .piece(let flow, let piece, let part):
            guard let joined = joiner.take(piece, of: flow, part, on: loop) else { return }
            joined.withUnsafeBytes { frames?.answered(flow, $0, by: self) }
        case .known(let flow): frames?.told(flow, isKnown: true, by: self)
        case .unknown(let flow): frames?.told(flow, isKnown: false, by: self)
        case .over(let flow): frames?.ended(flow, by: self)
        case .probe(let probe):
            follower.told(probe)
            if let source { answer(probe, bytes.count, source) }
        // A peer says nothing else.
        default: break
        }
    }

    private func answer(_ probe: DatagramFrame.Probe, _ count: Int, _ source: DatagramAddress) {
        let answer = DatagramFrame.Answer(number: probe.number, source: source)
        sender.put(count, by: datagrams) { DatagramFrame.write(answer, to: $0, count: count) }
    }

    /// Whether the peer is to be told, by its session, that nothing is heard of it.
    func isMissing() -> Bool { stream == nil && follower.isMissing(at: loop.now) }

    // MARK: To the peer

    private var datagrams: FrameSender.Way? {
        guard let socket = hub?.socket, let peer = follower.peer else { return nil }
        return .datagrams(socket, to: peer, from: local, largest: follower.largest)
    }

    /// Whether frames go by a stream.
    package var takesStream: Bool { follower.prefersStream || follower.peer == nil }

    private var way: FrameSender.Way? {
        if takesStream, let stream { return .stream(stream) }
        return datagrams
    }

    /// A visitor's datagram goes to the peer.
    ///
    /// - Parameter opening: the peer may not know the flow.
    package func send(
        _ bytes: UnsafeRawBufferPointer, of flow: DatagramFrame.Flow, _ opening: DatagramFrame.Opening?
    ) -> FrameSender.Fate {
        follower.sent(at: loop.now)
        return sender.send(bytes, of: flow, opening, by: way)
    }

    /// The flow has ended here.
    package func end(_ flow: DatagramFrame.Flow) { sender.tell(.over, flow, by: way) }
}
