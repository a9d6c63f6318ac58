internal import PeerCore
package import PeerReactor
internal import PeerWire

/// Frames over a data channel, for where datagrams do not get through. A stream that has no room keeps everything in
/// order and late, so frames wait in front of it, for a second at most, and the oldest are let go of. Belongs to its
/// lane's loop.
package final class DatagramStream {
    /// What the channel gets at a time, or one frame that is longer: what it has cannot be let go of any more. Several
    /// small ones go as one record and one call.
    private static let piece = 8_192
    /// The same for the system, of what has not gone out.
    private static let unsent = 16_384
    /// What a frame has at most.
    static let longest = StreamedFrame.maximumByteCount

    private let loop: EventLoop
    private let channel: ByteChannel
    private var waiting = FrameRing()
    /// Those that wait, as they go out.
    private let room: UnsafeMutableRawBufferPointer
    private var input: [UInt8] = []
    private let received: (UnsafeMutableRawBufferPointer) -> Void
    private let closed: (DatagramStream) -> Void

    /// - Parameters:
    ///   - isRegistered: the stream comes from another source of this loop.
    ///   - received: called with each frame, whose bytes are gone when it returns.
    package init(
        on loop: EventLoop, _ stream: consuming Stream, isRegistered: Bool,
        received: @escaping (UnsafeMutableRawBufferPointer) -> Void,
        closed: @escaping (DatagramStream) -> Void
    ) {
        self.loop = loop
        channel = ByteChannel(on: loop, stream, isRegistered: isRegistered)
        channel.limitUnsent(to: Self.unsent)
        // Pages that no frame was in take no memory: with nothing waiting each one begins at the first.
        room = .allocate(byteCount: waiting.limits.bytes, alignment: 16)
        self.received = received
        self.closed = closed
        channel.start(onDrained: { [weak self] in self?.feed() }) { [weak self] event in
            guard let self else { return }
            switch event {
            case .received(let bytes): take(bytes)
            case .closed: self.closed(self)
            }
        }
    }

    package func close() { channel.closeAfterFlush() }

    deinit { room.deallocate() }

    /// Into an idle stream the frame goes at once.
    ///
    /// - Returns: `false` when the frame is too long.
    func send(_ count: Int, _ write: (UnsafeMutableRawPointer) -> Void) -> Bool {
        let former = waiting.dropped
        guard count <= Self.longest, let start = room.baseAddress,
            let offset = waiting.push(StreamedFrame.headerByteCount + count, at: loop.now)
        else { return false }
        StreamedFrame.writeHeader(count, to: start + offset)
        write(start + offset + StreamedFrame.headerByteCount)
        feed(since: former)
        return true
    }

    /// The channel gets what it has room for.
    private func feed() { feed(since: waiting.dropped) }

    /// - Parameter former: how many had been let go of before; those that have been since are counted.
    private func feed(since former: UInt64) {
        while channel.queuedByteCount == 0, let places = waiting.take(upTo: Self.piece, at: loop.now) {
            channel.send(UnsafeRawBufferPointer(rebasing: room[places]))
        }
        let dropped = waiting.dropped - former
        if dropped > 0 { loop.datagrams?.counts.dropped += dropped }
    }

    private func take(_ bytes: [UInt8]) {
        input += bytes
        var start = 0
        input.withUnsafeMutableBytes { all in
            while let frame = StreamedFrame.first(in: UnsafeMutableRawBufferPointer(rebasing: all[start...])) {
                received(frame)
                start += StreamedFrame.headerByteCount + frame.count
            }
        }
        input.removeFirst(start)
    }
}
