package import PeerReactor
internal import PeerWire

/// Frames over a data channel, for where datagrams do not get through. What the stream has no room for is let go of, as
/// the network would do it. Belongs to its lane's loop.
package final class DatagramStream {
    /// What waits for a stream at most: beyond that it would come too late to be of use.
    private static let maximumQueued = 256 * 1_024
    /// What a frame has at most.
    static let longest = StreamedFrame.maximumByteCount

    private let loop: EventLoop
    private let channel: ByteChannel
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
        self.received = received
        self.closed = closed
        channel.start { [weak self] event in
            guard let self else { return }
            switch event {
            case .received(let bytes): take(bytes)
            case .closed: self.closed(self)
            }
        }
    }

    package func close() { channel.closeAfterFlush() }

    /// - Returns: `false` when there is no room for a frame of so many bytes.
    func send(_ count: Int, _ write: (UnsafeMutableRawPointer) -> Void) -> Bool {
        guard count <= Self.longest, channel.queuedByteCount + count <= Self.maximumQueued else {
            return false
        }
        let length = StreamedFrame.headerByteCount + count
        channel.send(
            [UInt8](unsafeUninitializedCapacity: length) { bytes, used in
                guard let place = UnsafeMutableRawPointer(bytes.baseAddress) else { return }
                StreamedFrame.writeHeader(count, to: place)
                write(place + StreamedFrame.headerByteCount)
                used = length
            })
        return true
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
