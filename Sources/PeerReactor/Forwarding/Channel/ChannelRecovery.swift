internal import PeerCore
internal import PeerWire

extension Forwarder {
    /// Whether the channel may outlive a visitor that was reset. Not when something waits to be written: the other end
    /// must not be told of the reset behind that.
    var canRecover: Bool {
        guard let channel, channel.machine.canRecover else { return false }
        return (channel.isLeft ? rightToLeft : leftToRight).spill.isEmpty
    }
}

/// A data channel whose visitor was reset: tells the other end, and passes over what that still sends of the visitor,
/// until it says its own last word. Then the channel serves the next one. Else it is closed, which says the same.
///
/// Many visitors leave by a reset: they close a connection that something was just sent on. Without this each of them
/// would cost a new channel, and that a handshake.
final class ChannelRecovery: EventSource {
    /// The other end hears of it at once, unless it does not read; then the reset of the channel has to tell it.
    private static let limit = Instant.Span.seconds(1)
    /// Bytes that are passed over at most; more would cost more than another channel.
    private static let maximumPassedOver = 1 << 18

    private let forwarder: Forwarder
    private var loop: EventLoop { forwarder.loop }
    private var stream: Stream?
    private var channel: Forwarder.Channel
    private var room = maximumPassedOver
    private var timer: LoopTimer?

    init(of forwarder: Forwarder, _ stream: consuming Stream, _ channel: Forwarder.Channel) {
        self.forwarder = forwarder
        self.stream = consume stream
        self.channel = channel
        super.init()
    }

    func start() {
        if let word = channel.machine.reset(), stream?.sendAtOnce(word) != true { return end(isWhole: false) }
        let input = channel.input
        channel.input = []
        input.withUnsafeBytes(passOver)
        guard stream != nil else { return }
        do throws(SystemError) { try loop.reregister(stream?.fd ?? -1, for: self) } catch { return end(isWhole: false) }
        timer = loop.schedule(after: Self.limit) { [self] in end(isWhole: false) }
        // What was read off the socket before is announced by nobody.
        loop.again(self)
    }

    override func ready(_ readiness: Readiness, tag: UInt8) { read() }
    override func runAgain() { read() }

    private func read() {
        while stream != nil {
            guard room > 0 else { return end(isWhole: false) }
            let buffer = UnsafeMutableRawBufferPointer(rebasing: loop.buffer[..<min(room, loop.buffer.count)])
            switch stream?.read(into: buffer) {
            case .bytes(let count):
                room -= count
                passOver(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            case .wouldBlock: return
            case .end, .failed, nil: return end(isWhole: false)
            }
        }
    }

    private func passOver(_ bytes: UnsafeRawBufferPointer) {
        var offset = 0
        while !channel.machine.hasHeardLast {
            let piece = channel.reader.next(in: bytes, from: &offset)
            if case .nothing = piece { return }
            switch channel.hear(piece) {
            case .goesOn, .ended, .broken: continue
            case .ready, .raw, .breach: return end(isWhole: false)
            }
        }
        channel.input = Array(bytes[offset...])
        end(isWhole: true)
    }

    private func end(isWhole: Bool) {
        guard let stream = stream.take() else { return }
        timer?.cancel()
        loop.forget(self)
        if isWhole { forwarder.part(with: stream, channel) } else { forwarder.part(with: nil, channel) }
    }
}
