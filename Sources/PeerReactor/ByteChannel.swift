import Glibc
internal import PeerMesh

/// A stream for small things: handshakes, frames of a session, lines of the control socket. What is sent waits in a
/// bounded buffer; what arrives is handed over as it comes. Not for visitors' bytes (`Forwarder`).
public final class ByteChannel: EventSource {
    public enum Event: Sendable {
        case received([UInt8])
        /// The other end closed, or the connection broke; the channel is closed.
        case closed(String)
    }

    /// A reader that lets so much pile up is cut off.
    static let maximumQueued = 4 << 20

    private let loop: EventLoop
    private var stream: Stream?
    private var queue: [UInt8] = []
    private var queueStart = 0
    private var isWritable = true
    private var isClosing = false
    /// Why sending failed; told in the next turn.
    private var breakage: String?
    private var onEvent: ((Event) -> Void)?
    /// The stream is known to the loop under another source.
    private let isTakenOver: Bool

    /// - Parameter isRegistered: the stream comes from another source of this loop.
    public init(on loop: EventLoop, _ stream: consuming Stream, isRegistered: Bool = false) {
        self.loop = loop
        isTakenOver = isRegistered
        self.stream = consume stream
        super.init()
    }

    public var remoteAddress: SocketAddress? { stream?.remoteAddress }
    public var localAddress: SocketAddress? { stream?.localAddress }

    /// Whether both ends are on this machine.
    public var isLocal: Bool {
        guard let local = localAddress, let remote = remoteAddress else { return false }
        return local.host == remote.host || (local.isLoopback && remote.isLoopback)
    }

    /// Hands events over from now on; called again, they go to another.
    public func start(_ onEvent: @escaping (Event) -> Void) {
        self.onEvent = onEvent
        guard !isRegistered else { return }
        guard let fd = stream?.fd else { return }
        do throws(SystemError) {
            if isTakenOver { try loop.reregister(fd, for: self) } else { try loop.register(fd, for: self) }
            // What TLS read ahead is announced by nobody.
            if breakage != nil || stream?.isTLS == true { loop.again(self) }
        } catch {
            end(error.description)
        }
    }

    /// Never calls back: whoever sends is in the middle of something.
    public func send(_ bytes: [UInt8]) {
        guard stream != nil, !isClosing, breakage == nil, !bytes.isEmpty else { return }
        guard queue.count - queueStart + bytes.count <= Self.maximumQueued else {
            return broken("the other end does not read")
        }
        // A queue that is never quite empty must not grow by what was sent already.
        if queueStart > 65_536, queueStart > queue.count / 2 {
            queue.removeFirst(queueStart)
            queueStart = 0
        }
        queue.append(contentsOf: bytes)
        flush()
    }

    private func broken(_ reason: String) {
        guard breakage == nil else { return }
        breakage = reason
        queue = []
        queueStart = 0
        if isRegistered { loop.again(self) }
    }

    /// Sends what is queued, for at most a second, then closes in an orderly way.
    public func closeAfterFlush() {
        guard stream != nil else { return }
        onEvent = nil
        isClosing = true
        if queueStart == queue.count { return close(orderly: true) }
        loop.schedule(after: .seconds(1)) { [weak self] in self?.close(orderly: false) }
    }

    public func close() { close(orderly: false) }

    /// Takes the stream out for another use on `loop`; the channel is over. On the same loop it stays registered.
    public func takeStream(for loop: EventLoop) -> Stream? {
        if loop !== self.loop, let fd = stream?.fd { self.loop.unregister(fd) }
        self.loop.forget(self)
        onEvent = nil
        return stream.take()
    }

    override func ready(_ readiness: Readiness, tag: UInt8) {
        if readiness.contains(.writable) {
            isWritable = true
            flush()
        }
        if !readiness.isDisjoint(with: [.readable, .readHangup, .hangup, .error]) { drain() }
    }

    private func drain() {
        // Bounded, so that one chatterer does not hold the loop; the rest has its turn later.
        for _ in 0..<16 {
            guard let outcome = stream?.read(into: loop.buffer) else { return }
            switch outcome {
            case .bytes(let count):
                if count > 0 { onEvent?(.received(Array(loop.buffer[..<count]))) }
                // TLS did as much as it may at once, and there is more.
                if count < loop.buffer.count, stream?.isDrained == false { return loop.again(self) }
            case .wouldBlock: return
            // Who has said all it wanted may still read what is queued for it.
            case .end where isClosing: return
            case .end: return end("the connection was closed")
            case .failed(let error): return end(error.text)
            }
        }
        loop.again(self)
    }

    override func runAgain() {
        if let breakage { end(breakage) } else { drain() }
    }

    private func flush() {
        while isWritable, queueStart < queue.count {
            let start = queueStart
            let outcome = queue.withUnsafeBytes { queue in
                stream?.write(UnsafeRawBufferPointer(rebasing: queue[start...]))
            }
            switch outcome {
            case .bytes(let count): queueStart += count
            case .wouldBlock: isWritable = false
            case .failed(let error): return broken(error.text)
            case .end, nil: return
            }
        }
        if queueStart == queue.count {
            queue.removeAll(keepingCapacity: queue.capacity <= 16_384)
            queueStart = 0
            if isClosing { close(orderly: true) }
        }
    }

    private func end(_ reason: String) {
        let onEvent = self.onEvent
        close(orderly: false)
        onEvent?(.closed(reason))
    }

    private func close(orderly: Bool) {
        loop.forget(self)
        onEvent = nil
        queue = []
        queueStart = 0
        guard orderly, let stream = stream.take() else { return self.stream = nil }
        _ = stream.shutdownWrite()
        stream.closeOrderly()
    }
}
