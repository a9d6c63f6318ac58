public import PeerCore

/// Reads the first bytes of a stream until they can be judged, at most `limit` long. Belongs to one loop.
public final class FirstBytes: EventSource {
    private let loop: EventLoop
    private var stream: Stream?
    private var bytes: [UInt8] = []
    private let maximum: Int
    private let isEnough: ([UInt8]) -> Bool
    private var timer: LoopTimer?
    private var done: ((consuming Stream, [UInt8]) -> Void)?

    /// - Parameters:
    ///   - maximum: no more bytes than this are taken.
    ///   - isEnough: whether the bytes so far can be judged.
    ///   - done: called once, with the stream (registered with the loop) and the bytes taken from it; never when the
    ///     stream broke meanwhile.
    public init(
        on loop: EventLoop, _ stream: consuming Stream, maximum: Int, limit: Instant.Span,
        isEnough: @escaping ([UInt8]) -> Bool, done: @escaping (consuming Stream, [UInt8]) -> Void
    ) {
        self.loop = loop
        self.stream = consume stream
        self.maximum = maximum
        self.isEnough = isEnough
        self.done = done
        super.init()
        // The timer keeps this alive until it is settled.
        timer = loop.schedule(after: limit) { self.finish() }
        if let fd = self.stream?.fd, (try? loop.reregister(fd, for: self)) == nil { finish() }
        // What TLS read ahead is announced by nobody.
        if self.stream?.isTLS == true { loop.again(self) }
    }

    override func runAgain() { ready([], tag: 0) }

    override func ready(_ readiness: Readiness, tag: UInt8) {
        while bytes.count < maximum {
            let room = UnsafeMutableRawBufferPointer(rebasing: loop.buffer[..<(maximum - bytes.count)])
            let outcome = stream?.read(into: room)
            // The error is told once; whoever got this stream next would take the break for an orderly end.
            if case .failed? = outcome { return drop() }
            guard case .bytes(let count)? = outcome else { break }
            bytes.append(contentsOf: room[..<count])
        }
        if bytes.count >= maximum || isEnough(bytes) || !readiness.isDisjoint(with: [.readHangup, .hangup, .error]) {
            finish()
        }
    }

    private func drop() {
        loop.forget(self)
        timer?.cancel()
        done = nil
        stream = nil
    }

    private func finish() {
        guard let stream = stream.take() else { return }
        loop.forget(self)
        timer?.cancel()
        let done = self.done
        self.done = nil
        done?(stream, bytes)
    }
}
