/// Waits for the first byte of a stream and leaves it there: it says what kind of stream this is. Belongs to one loop.
public final class FirstByte: EventSource {
    private let loop: EventLoop
    private var stream: Stream?
    private var done: ((consuming Stream?, UInt8) -> Void)?

    /// - Parameter done: called once, with the stream (registered with the loop) and its first byte, or with none when
    ///   it ended or broke before.
    public init(on loop: EventLoop, _ stream: consuming Stream, done: @escaping (consuming Stream?, UInt8) -> Void) {
        self.loop = loop
        self.stream = consume stream
        self.done = done
        super.init()
    }

    public func start() {
        let fd = stream?.fd ?? -1
        do throws(SystemError) { try loop.register(fd, for: self) } catch { finish(nil) }
    }

    /// Closes the stream; `done` is not called any more.
    public func cancel() {
        loop.forget(self)
        done = nil
        stream = nil
    }

    override func ready(_ readiness: Readiness, tag: UInt8) {
        if let byte = stream?.peek() { return finish(byte) }
        if !readiness.isDisjoint(with: [.readHangup, .hangup, .error]) { finish(nil) }
    }

    private func finish(_ byte: UInt8?) {
        loop.forget(self)
        let done = self.done
        self.done = nil
        guard let byte, let stream = stream.take() else {
            self.stream = nil
            done?(nil, 0)
            return
        }
        done?(stream, byte)
    }
}
