internal import PeerMesh
public import PeerWire

/// Brings a data channel that is used again to the end of a visitor who is gone at this side: says the last words, and
/// drops what is still on its way from the other side until it has said its own. Belongs to one loop.
///
/// Neither goes on for ever: who sends more than `maximum`, or needs longer than `limit`, loses the channel.
public final class ChannelDrain: EventSource {
    /// Bytes that are dropped at most.
    static let maximum = 262_144
    static let limit = Instant.Span.seconds(1)

    private let loop: EventLoop
    private var stream: Stream?
    private var words: [UInt8]
    private var said = 0
    private var input: [UInt8]
    private var reader: ChannelFrameReader
    private var hasHeardLast: Bool
    private var dropped = 0
    private var timer: LoopTimer?
    private var done: ((consuming Stream?, [UInt8]) -> Void)?

    /// - Parameters:
    ///   - channel: registered with the loop.
    ///   - words: frames that are still to be sent; the last of them ends the visitor.
    ///   - input: what was read already.
    ///   - hasHeardLast: the other side ended or broke this visitor before.
    ///   - done: called once: with the channel, registered with the loop, and what was read behind the visitor; or
    ///     with none when it could not be brought to that.
    public init(
        on loop: EventLoop, _ channel: consuming Stream, saying words: [UInt8], input: [UInt8] = [],
        reader: ChannelFrameReader = ChannelFrameReader(), hasHeardLast: Bool = false,
        done: @escaping (consuming Stream?, [UInt8]) -> Void
    ) {
        self.loop = loop
        stream = consume channel
        self.words = words
        self.input = input
        self.reader = reader
        self.hasHeardLast = hasHeardLast
        self.done = done
        super.init()
        loop.buffered += words.count
    }

    public func start() {
        if advance() { return }
        guard let fd = stream?.fd, (try? loop.reregister(fd, for: self)) != nil else { return finish(nil) }
        // The timer keeps this alive until it is settled.
        timer = loop.schedule(after: Self.limit) { self.finish(nil) }
        if stream?.isTLS == true { loop.again(self) }
    }

    override func ready(_ readiness: Readiness, tag: UInt8) {
        if readiness.contains(.error) { return finish(nil) }
        _ = advance()
    }

    override func runAgain() { _ = advance() }

    /// `true` when it is settled.
    private func advance() -> Bool {
        guard let stream = stream.take() else { return true }
        let isIntact = say(stream) && listen(stream)
        self.stream = consume stream
        guard isIntact, said == words.count || input.isEmpty || !hasHeardLast else {
            finish(nil)
            return true
        }
        guard hasHeardLast, said == words.count else { return false }
        finish(self.stream.take())
        return true
    }

    private func say(_ stream: borrowing Stream) -> Bool {
        while said < words.count {
            let outcome = words.withUnsafeBytes { stream.write(UnsafeRawBufferPointer(rebasing: $0[said...])) }
            switch outcome {
            case .bytes(let count): said += count
            case .wouldBlock: return true
            case .end, .failed: return false
            }
        }
        return true
    }

    private func listen(_ stream: borrowing Stream) -> Bool {
        while !hasHeardLast {
            if input.isEmpty {
                switch stream.read(into: loop.buffer) {
                case .bytes(let count): input = Array(loop.buffer[..<count])
                case .wouldBlock: return true
                case .end, .failed: return false
                }
            }
            guard walk() else { return false }
        }
        return true
    }

    /// `false` at a breach, and when too much came.
    private func walk() -> Bool {
        var offset = 0
        let isOrderly = input.withUnsafeBytes { bytes in
            while true {
                switch reader.next(in: bytes, from: &offset) {
                case .bytes(let range): dropped += range.count
                case .nothing: return true
                case .end, .abort:
                    hasHeardLast = true
                    return true
                case .alive, .raw, .breach: return false
                }
            }
        }
        input.removeFirst(offset)
        return isOrderly && dropped <= Self.maximum
    }

    private func finish(_ channel: consuming Stream?) {
        loop.forget(self)
        timer?.cancel()
        let done = self.done
        self.done = nil
        stream = nil
        guard let done else { return }
        loop.buffered -= words.count
        done(channel, input)
    }
}
