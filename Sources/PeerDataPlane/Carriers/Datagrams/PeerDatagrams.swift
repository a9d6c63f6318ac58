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
    package let session: SessionID
    /// Of the relay.
    package let key: NodeKey
    private let loop: EventLoop
    private let sealed: SealedDatagrams
    private let sender: FrameSender
    private let address: SocketAddress
    private var socket: DatagramSocket
    private weak var frames: (any RelayFrames)?
    private let changed: (DatagramPath.Way) -> Void
    private var path: DatagramPath
    private var timer: LoopTimer?
    private var timerDeadline: Instant?
    private var stream: DatagramStream?
    /// The relay has said something on the stream: it has it.
    private var hasStreamSpoken = false
    private var joiner = PieceJoiner()

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
        sender = FrameSender(on: loop, sealed)
        path = DatagramPath(at: loop.now)
        self.address = address
        socket = try DatagramSocket.connected(to: address, .betweenNodes)
        try socket.start(on: loop, self)
        perform(path.timePassed(at: loop.now))
    }

    package func stop() {
        timer?.cancel()
        timer = nil
        socket.stop()
        stream?.close()
        stream = nil
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
            let room = loop.datagrams, let opened = sealed.open(bytes, header.number, at: loop.now, &room.counts)
        else { return }
        path.heard()
        take(opened)
    }

    /// A stream for frames stands, because datagrams do not get through. With the relay's first word on it, it is told
    /// that this end takes it.
    package func use(_ stream: consuming Stream, isRegistered: Bool, closed: @escaping () -> Void) {
        self.stream?.close()
        self.stream = DatagramStream(
            on: loop, stream, isRegistered: isRegistered, received: { [weak self] in self?.takeFromStream($0) },
            closed: { [weak self] in
                guard let self, self.stream === $0 else { return }
                self.stream = nil
                hasStreamSpoken = false
                closed()
            })
        hasStreamSpoken = false
    }

    private func takeFromStream(_ bytes: UnsafeMutableRawBufferPointer) {
        if !hasStreamSpoken {
            hasStreamSpoken = true
            tellWay()
        }
        take(bytes)
    }

    /// Whether frames are to go by a stream, and there is none.
    package var lacksStream: Bool { path.way == .stream && stream == nil }

    private func take(_ bytes: UnsafeMutableRawBufferPointer) {
        guard let frame = DatagramFrame(reading: bytes) else { return }
        switch consume frame {
        case .payload(let flow, let payload):
            path.carried(at: loop.now)
            frames?.visited(flow, nil, UnsafeRawBufferPointer(payload), by: self)
        case .opening(let flow, let opening, let payload):
            path.carried(at: loop.now)
            frames?.visited(flow, opening, UnsafeRawBufferPointer(payload), by: self)
        case .announcement(let flow, let opening): frames?.announced(flow, opening, by: self)
        case .piece(let flow, let piece, let part):
            guard let joined = joiner.take(piece, of: flow, part, on: loop) else { return }
            joined.withUnsafeBytes { frames?.visited(flow, nil, $0, by: self) }
        case .over(let flow): frames?.ended(flow, by: self)
        case .answer(let answer): perform(path.answered(answer, at: loop.now))
        // A relay says nothing else.
        default: break
        }
    }

    // MARK: To the relay

    private var datagrams: FrameSender.Way {
        .datagrams(socket, to: nil, from: DatagramAddress(high: 0, low: 0, port: 0), largest: path.largest)
    }

    private var current: FrameSender.Way {
        if path.way == .stream, hasStreamSpoken, let stream { return .stream(stream) }
        return datagrams
    }

    /// A service's answer goes to the relay.
    @discardableResult
    package func send(_ bytes: UnsafeRawBufferPointer, of flow: DatagramFrame.Flow) -> FrameSender.Fate {
        if path.way == .datagrams {
            path.sent(at: loop.now)
            schedule()
        }
        return sender.send(bytes, of: flow, by: current)
    }

    /// - Parameter kind: `known`, `unknown` or `over`.
    package func tell(_ kind: DatagramFrame.Kind, _ flow: DatagramFrame.Flow) { sender.tell(kind, flow, by: current) }

    // MARK: The way

    private func perform(_ actions: [DatagramPath.Action]) {
        for action in actions {
            switch action {
            case .ask(let number, let size): ask(number, size)
            case .change(let way):
                if way == .datagrams {
                    stream?.close()
                    stream = nil
                }
                changed(way)
            case .renew: renew()
            }
        }
        schedule()
    }

    /// Another socket, and so another port of this machine.
    private func renew() {
        guard let fresh = try? DatagramSocket.connected(to: address, .betweenNodes) else { return }
        do throws(SystemError) { try fresh.start(on: loop, self) } catch { return }
        loop.datagrams?.flush()
        socket.stop()
        socket = fresh
    }

    private func ask(_ number: UInt32, _ size: Int) {
        let count = size - DatagramHeader.overhead
        let probe = probe(number)
        sender.put(count, by: datagrams) { DatagramFrame.write(probe, to: $0, count: count) }
    }

    private func probe(_ number: UInt32) -> DatagramFrame.Probe {
        DatagramFrame.Probe(
            number: number, prefersStream: path.way == .stream, largest: UInt16(clamping: path.largest))
    }

    /// By the stream; no answer comes of it.
    private func tellWay() {
        let probe = probe(path.takeNumber())
        let count = DatagramFrame.probeByteCount
        sender.put(count, by: current) { DatagramFrame.write(probe, to: $0, count: count) }
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
