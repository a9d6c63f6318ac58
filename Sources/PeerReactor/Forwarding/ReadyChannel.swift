import Glibc
public import PeerCore

/// A data channel that waits for a visitor. Belongs to one loop.
///
/// At the relay it is only watched for breaking; at the peer its first bytes are the relay's word on a visitor.
public final class ReadyChannel: EventSource {
    /// A channel that was heard of so recently needs no proof of life.
    static let freshness = Instant.Span.seconds(1)
    /// Longer than a keepalive takes to be answered: such a channel is dead.
    static let staleAfterMilliseconds = 8_000

    public enum Liveness: Sendable { case fresh, likely, stale }

    private let loop: EventLoop
    private var stream: Stream?
    private let since: Instant
    /// The first word, as far as it came.
    private var received: [UInt8] = []
    private let expected: Int
    private let isPossible: ([UInt8]) -> Bool
    /// From the first byte of the word to the last.
    var limit = SessionTiming.handshakeLimit
    private var timer: LoopTimer?
    private var onWord: ((ReadyChannel, [UInt8]?) -> Void)?

    /// - Parameters:
    ///   - read: what was read off it before, less than a whole word.
    ///   - expected: how many bytes make the first word; 0 when none may come.
    ///   - isPossible: whether a word may begin so; asked as the bytes come.
    ///   - onWord: called once, with those bytes, or with none when the channel broke.
    public init(
        on loop: EventLoop, _ stream: consuming Stream, isRegistered: Bool, read: [UInt8] = [],
        expecting expected: Int, isPossible: @escaping ([UInt8]) -> Bool = { _ in true },
        onWord: @escaping (ReadyChannel, [UInt8]?) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.stream = consume stream
        self.expected = expected
        self.isPossible = isPossible
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
            let wanted = max(1, expected - received.count)
            let buffer = UnsafeMutableRawBufferPointer(rebasing: loop.buffer[..<wanted])
            switch stream?.read(into: buffer) {
            case .bytes(let count) where expected > 0:
                received.append(contentsOf: buffer[..<count])
                if received.count == expected { return word(received) }
                guard isPossible(received) else { return word(nil) }
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
