import Glibc
public import PeerCore

/// Carries bytes between two streams in both directions until both have ended, or one broke. The hot path.
///
/// Small pieces go through the loop's one buffer; a direction that fills it twice in a row is a bulk transfer and goes
/// through a pipe by splice(2) from then on. What cannot be written at once waits in that pipe, or in a spill of at
/// most one buffer, and reading stops meanwhile. Nothing is allocated for a chunk that the other side takes at once.
///
/// Each visitor has one at either end, so it is small: who has many makes subclasses of it that keep what belongs to a
/// visitor, and others take `ClosureForwarder`.
///
/// Here are its parts, its beginning and its end. In files of their own: a turn of it (`Forwarder+Turn`), how much is
/// read (`Forwarder+Room`), what waits (`Forwarder+Waiting`), its streams (`Forwarder+Ends`), and the data channel that
/// one of them may be (`Forwarder+Channel`). What they share is internal, which costs nothing: the module is compiled
/// as a whole.
open class Forwarder: EventSource {
    public enum Ending: Sendable {
        /// Both sides ended their direction.
        case clean
        /// One side broke off; so was the other.
        case aborted
        /// The right side could not be reached at all.
        case neverConnected(SystemError)

        var isClean: Bool {
            if case .clean = self { true } else { false }
        }
    }

    public enum Side: Sendable { case left, right }

    private static let leftTag: UInt8 = 0
    private static let rightTag: UInt8 = 1

    // Everything is final but what is open: otherwise each call and each look within this class goes by its table,
    // which made 6 % of all instructions. The small ones lie in the gaps that the others would leave.
    //
    // Unchecked: these checks were two thirds of all instructions that an exchange took (docs/performance.md). What
    // they would find cannot be: a forwarder is touched on its loop's thread alone, and while a direction is lent out,
    // in `pump` and in `passRestOn`, nobody is called who could come back to this forwarder. Debug builds assert it for
    // `pump`.
    @exclusivity(unchecked) final var isConnecting: Bool
    /// Apart from the directions, for while one is being changed neither may be looked at.
    @exclusivity(unchecked) final var isOneWayDone = false
    final let loop: EventLoop
    @exclusivity(unchecked) final var left: Stream?
    @exclusivity(unchecked) final var right: Stream?
    @exclusivity(unchecked) final var leftToRight = Direction()
    @exclusivity(unchecked) final var rightToLeft = Direction()
    /// Set when one end is a data channel that is used again (Forwarder+Channel.swift).
    @exclusivity(unchecked) final var channel: Channel?
    /// Not with TLS on either side: its records hold the bytes, so nothing can be moved past this process.
    final let isSpliceable: Bool
    /// `pump` is at work on the directions.
    @exclusivity(unchecked) final var isLentOut = false
    /// Holds both directions to a rate; `nil` for as fast as it goes. May change at any time.
    @exclusivity(unchecked) public final var allowance: (any ByteAllowance)?

    /// Bytes moved so far.
    public final var bytesLeftToRight: UInt64 { leftToRight.bytes }
    public final var bytesRightToLeft: UInt64 { rightToLeft.bytes }

    /// Whether the other end of the right stream has acknowledged nothing for so long, though something was sent there.
    public final func isRightUnacknowledged(for span: Instant.Span) -> Bool {
        right?.isUnacknowledged(for: span) ?? false
    }

    /// - Parameters:
    ///   - isConnecting: the right stream's connection is still being made.
    ///   - early: bytes from the left that were read already.
    public init(
        on loop: EventLoop, left: consuming Stream, right: consuming Stream, isConnecting: Bool = false,
        early: [UInt8] = []
    ) {
        self.loop = loop
        self.isConnecting = isConnecting
        let isLeftTLS = left.isTLS
        let isRightTLS = right.isTLS
        isSpliceable = !isLeftTLS && !isRightTLS
        // A record may have been read off the socket with what came before; no event tells of the rest of it.
        leftToRight.isReadable = isLeftTLS
        rightToLeft.isReadable = isRightTLS
        self.left = consume left
        self.right = consume right
        super.init()
        leftToRight.spill = early
        leftToRight.counted = Int32(early.count)
        loop.buffered += early.count
        leftToRight.isWritable = !isConnecting
        rightToLeft.isWritable = true
    }

    /// One end is a data channel that carries one visitor after the other: what is sent there is in frames, and so is
    /// what comes from there. Before `start`.
    ///
    /// - Parameters:
    ///   - side: the left one at the peer, the right one at the relay.
    ///   - input: bytes of the channel, frames, that were read already.
    public final func useFrames(on side: Side, input: [UInt8] = []) {
        channel = Channel(on: side, input: input, allowsRaw: isSpliceable)
        leftToRight.isFramed = true
        rightToLeft.isFramed = true
        if !input.isEmpty {
            if side == .left { leftToRight.isReadable = true } else { rightToLeft.isReadable = true }
        }
    }

    /// Called once, when the streams are closed, or a channel is all that is left.
    open func ended(_ ending: Ending) {}

    /// Called once, after `ended`, where frames were used: with the channel, registered with the loop, when each end
    /// has said its last word on the visitor, and with what was read behind that; or with none when it is of no more
    /// use.
    open func partedWithChannel(_ stream: consuming Stream?, _ rest: [UInt8]) {}

    /// Starts to listen to both streams. `isLeftRegistered`: the left one is known to the loop under another source.
    public final func start(isLeftRegistered: Bool, isRightRegistered: Bool = false) {
        let leftDescriptor = left?.fd ?? -1
        let rightDescriptor = right?.fd ?? -1
        do {
            try register(leftDescriptor, Self.leftTag, isLeftRegistered)
            try register(rightDescriptor, Self.rightTag, isRightRegistered)
        } catch { return finish(.aborted) }
        // What was read before goes out at once instead of after the next wait.
        if !leftToRight.spill.isEmpty || !isSpliceable || channel?.input.isEmpty == false { pump() }
    }

    private final func register(_ fd: Int32, _ tag: UInt8, _ isRegistered: Bool) throws(SystemError) {
        if isRegistered {
            try loop.reregister(fd, for: self, tag: tag)
        } else {
            try loop.register(fd, for: self, tag: tag)
        }
    }

    /// Breaks both sides off.
    public final func abort() { finish(.aborted) }

    override final func ready(_ readiness: Readiness, tag: UInt8) {
        assert(!isLentOut, "a forwarder was called from within its own turn")
        if tag == Self.rightTag, isConnecting {
            guard connectionSettled(readiness) else { return }
        }
        if readiness.contains(.error) { return broken() }
        if tag == Self.leftTag {
            Self.note(readiness, source: &leftToRight, sink: &rightToLeft)
        } else {
            Self.note(readiness, source: &rightToLeft, sink: &leftToRight)
        }
        // Small pieces first: a direction that moves bulk has its turn when all events of this turn have had theirs.
        if leftToRight.fullReads | rightToLeft.fullReads >= 2 { return loop.againWithBulk(self) }
        pump()
    }

    override final func runAgain() { pump() }

    private static func note(_ readiness: Readiness, source: inout Direction, sink: inout Direction) {
        if !readiness.isDisjoint(with: [.readable, .readHangup, .hangup]) { source.isReadable = true }
        if !readiness.isDisjoint(with: [.readHangup, .hangup, .urgent]) { source.distrustsShortReads = true }
        if readiness.contains(.writable) { sink.isWritable = true }
    }

    private final func connectionSettled(_ readiness: Readiness) -> Bool {
        guard !readiness.isDisjoint(with: [.writable, .error, .hangup]) else { return false }
        let code = right?.pendingError ?? 0
        // A reset comes from one who had accepted; who refuses says ECONNREFUSED.
        if code != 0, code != ECONNRESET, code != EPIPE {
            finish(.neverConnected(SystemError("connect", code: code)), isRecoverable: true)
            return false
        }
        // An unconnected socket is reported as hung up; writable alone means connected.
        guard code != 0 || readiness.contains(.writable) && !readiness.contains(.hangup) else { return false }
        isConnecting = false
        return true
    }

    /// What arrived before the reset is still passed on: a server that refuses an upload answers before it breaks
    /// off. No end is passed on here, whatever the read says; the reset follows.
    final func broken() {
        if !isConnecting, left != nil {
            // It is the end: whatever is left comes now or never, and is at most one turn.
            allowance = nil
            passRestOn(&leftToRight, isLeftToRight: true)
            passRestOn(&rightToLeft, isLeftToRight: false)
        }
        finish(.aborted, isRecoverable: true)
    }

    deinit {
        // Only when the loop itself went, with this under way.
        for pipe in [leftToRight.pipe, rightToLeft.pipe] { pipe?.close() }
    }

    /// - Parameter isRecoverable: the visitor is over, and a channel that still works need not be.
    final func finish(_ ending: Ending, isRecoverable: Bool = false) {
        assert(!isLentOut, "a forwarder was ended from within its own turn")
        guard left != nil else { return }
        loop.forget(self)
        let isRecovered = isRecoverable && canRecover
        dropPipe(&leftToRight)
        dropPipe(&rightToLeft)
        dropSpill(&leftToRight)
        dropSpill(&rightToLeft)
        let channel = self.channel
        self.channel = nil
        var kept: Stream?
        if let channel, channel.machine.servesAgain, isRecovered || ending.isClean {
            kept = channel.isLeft ? left.take() : right.take()
        }
        switch ending {
        case .clean:
            left.take()?.closeOrderly()
            right.take()?.closeOrderly()
        case .aborted, .neverConnected:
            _ = left.take()
            _ = right.take()
        }
        ended(ending)
        if let channel, isRecovered, let kept = kept.take() {
            ChannelRecovery(of: self, kept, channel).start()
        } else if let channel {
            part(with: kept, channel)
        }
    }
}
