import Glibc
public import PeerCore
internal import PeerWire

/// A data channel that waits for a visitor, or for the other end to be through with one. Belongs to one loop.
///
/// The announcer only watches an idle channel for breaking; at the listener its first bytes are a visitor's start.
public final class ReadyChannel: EventSource {
    /// A channel that was heard of so recently needs no proof of life.
    static let freshness = Instant.Span.seconds(1)
    /// Longer than a keepalive takes to be answered: such a channel is dead.
    static let staleAfterMilliseconds = 8_000

    public enum Liveness: Sendable { case fresh, likely, stale }

    /// What has to come first.
    public struct Word {
        /// How many bytes it has; 0 where none may come.
        let byteCount: Int
        /// Whether it may begin so; asked as the bytes come.
        let mayBegin: ([UInt8]) -> Bool

        public init(byteCount: Int, mayBegin: @escaping ([UInt8]) -> Bool = { _ in true }) {
            self.byteCount = byteCount
            self.mayBegin = mayBegin
        }

        /// What a channel waits for where there are no visitor's bytes on it.
        public init(of machine: ChannelMachine) {
            switch machine.awaited {
            case .start: self.init(byteCount: VisitorStart.byteCount, mayBegin: VisitorStart.mayBegin(with:))
            case .ready: self.init(byteCount: ChannelFrame.ready.count, mayBegin: ChannelFrame.ready.starts(with:))
            case .alive: self.init(byteCount: ChannelFrame.alive.count, mayBegin: ChannelFrame.alive.starts(with:))
            default: self.init(byteCount: 0)
            }
        }
    }

    private let loop: EventLoop
    private var stream: Stream?
    private let since: Instant
    /// The first word, as far as it came.
    private var received: [UInt8] = []
    private let expected: Word
    /// From the first byte of the word to the last.
    var limit = SessionTiming.handshakeLimit
    private var timer: LoopTimer?
    private var onWord: ((ReadyChannel, [UInt8]?) -> Void)?

    /// - Parameters:
    ///   - read: what was read off it before, less than a whole word.
    ///   - expected: the first word.
    ///   - onWord: called once, with those bytes, or with none when the channel broke.
    public init(
        on loop: EventLoop, _ stream: consuming Stream, isRegistered: Bool, read: [UInt8] = [],
        expecting expected: Word,
        onWord: @escaping (ReadyChannel, [UInt8]?) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.stream = consume stream
        self.expected = expected
        self.onWord = onWord
        since = loop.now
        received = read
        super.init()
        let fd = self.stream?.fd ?? -1
        if isRegistered { try loop.reregister(fd, for: self) } else { try loop.register(fd, for: self) }
        // What TLS read ahead is announced by nobody.
        if self.stream?.isTLS == true { loop.again(self) }
    }

    /// How long it has waited.
    public var age: Instant.Span { loop.now - since }

    public var liveness: Liveness {
        if age < Self.freshness { return .fresh }
        let silence = stream?.millisecondsSinceAcknowledged ?? -1
        return silence >= 0 && silence < Self.staleAfterMilliseconds ? .likely : .stale
    }

    /// Takes the stream out, registered with the loop as it is.
    public func takeStream() -> Stream? {
        timer?.cancel()
        loop.forget(self)
        onWord = nil
        return stream.take()
    }

    public func close() {
        timer?.cancel()
        loop.forget(self)
        onWord = nil
        stream = nil
    }

    override func runAgain() { ready(.readable, tag: 0) }

    override func ready(_ readiness: Readiness, tag: UInt8) {
        // What follows the first word is for whoever takes the stream.
        guard onWord != nil, !readiness.isDisjoint(with: [.readable, .readHangup, .hangup, .error]) else { return }
        // To the end of what is there: half a word and the other side's end may come in one event.
        while true {
            let wanted = max(1, expected.byteCount - received.count)
            let buffer = UnsafeMutableRawBufferPointer(rebasing: loop.buffer[..<wanted])
            switch stream?.read(into: buffer) {
            case .bytes(let count) where expected.byteCount > 0:
                received.append(contentsOf: buffer[..<count])
                if received.count == expected.byteCount { return word(received) }
                guard expected.mayBegin(received) else { return word(nil) }
            case .wouldBlock: return awaitRest()
            case .bytes, .end, .failed, nil: return word(nil)
            }
        }
    }

    /// Whoever begins a word finishes it in time.
    private func awaitRest() {
        guard timer == nil, !received.isEmpty else { return }
        timer = loop.schedule(after: limit) { [weak self] in
            guard let self, onWord != nil else { return }
            word(nil)
        }
    }

    private func word(_ bytes: [UInt8]?) {
        timer?.cancel()
        let onWord = self.onWord
        self.onWord = nil
        if bytes == nil { close() }
        onWord?(self, bytes)
    }
}
