internal import CLinux
import Glibc
public import PeerCore

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
    /// Bytes that are read in one turn, and a record of TLS at most beyond.
    static let turn = 65_536

    /// Whether what came before is still being worked through.
    private enum Hold {
        case none
        /// Until the next turn, after all others.
        case turn
        /// A timer ends it.
        case timer
    }

    private let loop: EventLoop
    private var stream: Stream?
    private var queue: [UInt8] = []
    private var queueStart = 0
    private var isWritable = true
    private var isClosing = false
    /// Why sending failed; told in the next turn.
    private var breakage: String?
    private var hold = Hold.none
    private var onTurn: (() -> Void)?
    private var onDrained: (() -> Void)?
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

    /// Bytes that were sent and that the system has not taken yet.
    public var queuedByteCount: Int { queue.count - queueStart }

    /// Hands events over from now on; called again, they go to another.
    ///
    /// - Parameters:
    ///   - onTurn: the next turn after `hold`.
    ///   - onDrained: what had to wait is with the system, and it takes more.
    public func start(
        onTurn: (() -> Void)? = nil, onDrained: (() -> Void)? = nil, _ onEvent: @escaping (Event) -> Void
    ) {
        self.onTurn = onTurn
        self.onDrained = onDrained
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

    /// Whoever takes the events has more to do with what came than fits into one turn: nothing is read until it has had
    /// another one (`onTurn`), so that no more piles up than the other end's own socket holds.
    ///
    /// - Parameter span: not before that; zero: when everybody else had a turn.
    public func hold(for span: Instant.Span = .zero) {
        guard hold == .none, stream != nil else { return }
        guard span > .zero else {
            hold = .turn
            return loop.afterOthers(self)
        }
        hold = .timer
        loop.schedule(after: span) { [weak self] in
            guard let self, hold == .timer else { return }
            hold = .turn
            loop.afterOthers(self)
        }
    }

    /// Never calls back: whoever sends is in the middle of something.
    public func send(_ bytes: [UInt8]) { bytes.withUnsafeBytes { send($0) } }

    /// The same, of bytes that are copied.
    public func send(_ bytes: UnsafeRawBufferPointer) {
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

    /// The system takes no more as long as it has about so many bytes that did not go out yet; those that wait for the
    /// other end's acknowledgement do not count. For what is better dropped than late.
    public func limitUnsent(to bytes: Int) {
        if let fd = stream?.fd { clinux_unsent_limit(fd, Int32(clamping: bytes)) }
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
        onTurn = nil
        onDrained = nil
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
        onTurn = nil
        onDrained = nil
        return stream.take()
    }

    override func ready(_ readiness: Readiness, tag: UInt8) {
        if readiness.contains(.writable) {
            isWritable = true
            let hadToWait = queuedByteCount > 0
            flush()
            if hadToWait, queuedByteCount == 0, breakage == nil { onDrained?() }
        }
        if !readiness.isDisjoint(with: [.readable, .readHangup, .hangup, .error]) { drain() }
    }

    private func drain() {
        // Bounded, so that one chatterer does not hold the loop; the rest has its turn later.
        var left = Self.turn
        while left > 0 {
            guard hold == .none, let outcome = stream?.read(into: loop.buffer) else { return }
            switch outcome {
            case .bytes(let count):
                left -= count
                if count > 0 { onEvent?(.received(Array(loop.buffer[..<count]))) }
                // TLS did as much as it may at once, and there is more.
                if count < loop.buffer.count, stream?.isDrained == false { left = 0 }
            case .wouldBlock: return
            // Who has said all it wanted may still read what is queued for it.
            case .end where isClosing: return
            case .end: return end("the connection was closed")
            case .failed(let error): return end(error.text)
            }
        }
        if hold == .none { loop.afterOthers(self) }
    }

    override func runAgain() {
        if let breakage { return end(breakage) }
        guard hold == .turn else { return drain() }
        hold = .none
        onTurn?()
        // Reading is another turn.
        if hold == .none { loop.afterOthers(self) }
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
        onTurn = nil
        onDrained = nil
        queue = []
        queueStart = 0
        guard orderly, let stream = stream.take() else { return self.stream = nil }
        _ = stream.shutdownWrite()
        stream.closeOrderly()
    }
}
