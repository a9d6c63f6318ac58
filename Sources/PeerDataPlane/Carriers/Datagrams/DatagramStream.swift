package import PeerReactor
internal import PeerWire

/// Frames over a data channel, for where datagrams do not get through: `length (2) | frame`. What the stream has no
/// room for is let go of, as the network would do it. Belongs to its lane's loop.
package final class DatagramStream {
    /// What waits for a stream at most: beyond that it would come too late to be of use.
    private static let maximumQueued = 256 * 1_024
    private static let headerByteCount = 2
    /// What a frame has at most.
    static let longest = Int(UInt16.max)

    private let loop: EventLoop
    private let channel: ByteChannel
    private var input: [UInt8] = []
    private let received: (UnsafeMutableRawBufferPointer) -> Void
    private let closed: () -> Void

    /// - Parameters:
    ///   - isRegistered: the stream comes from another source of this loop.
    ///   - received: called with each frame, whose bytes are gone when it returns.
    package init(
        on loop: EventLoop, _ stream: consuming Stream, isRegistered: Bool,
        received: @escaping (UnsafeMutableRawBufferPointer) -> Void, closed: @escaping () -> Void
    ) {
        self.loop = loop
        channel = ByteChannel(on: loop, stream, isRegistered: isRegistered)
        self.received = received
        self.closed = closed
        channel.start { [weak self] event in
            switch event {
            case .received(let bytes): self?.take(bytes)
            case .closed: self?.closed()
            }
        }
    }

    package func close() { channel.closeAfterFlush() }

    /// - Returns: `false` when there is no room for a frame of so many bytes.
    func send(_ count: Int, _ write: (UnsafeMutableRawPointer) -> Void) -> Bool {
        guard count <= Self.longest, channel.queuedByteCount + count <= Self.maximumQueued else { return false }
        let length = Self.headerByteCount + count
        channel.send(
            [UInt8](unsafeUninitializedCapacity: length) { bytes, used in
                let place = UnsafeMutableRawBufferPointer(bytes)
                place.storeBytes(of: UInt16(count).bigEndian, as: UInt16.self)
                if let base = place.baseAddress { write(base + Self.headerByteCount) }
                used = length
            })
        return true
    }

    private func take(_ bytes: [UInt8]) {
        input += bytes
        var start = 0
        input.withUnsafeMutableBytes { all in
            while all.count - start >= Self.headerByteCount {
                let count = Int(UInt16(bigEndian: all.loadUnaligned(fromByteOffset: start, as: UInt16.self)))
                let frame = start + Self.headerByteCount
                guard all.count - frame >= count else { break }
                received(UnsafeMutableRawBufferPointer(rebasing: all[frame..<(frame + count)]))
                start = frame + count
            }
        }
        input.removeFirst(start)
        // What came of it has been put together.
        loop.datagrams?.flush()
    }
}
