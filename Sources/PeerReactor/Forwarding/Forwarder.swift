internal import CLinux
import Glibc
public import PeerCore
internal import PeerWire

/// Carries bytes between two streams in both directions until both have ended, or one broke. The hot path.
///
/// Small pieces go through the loop's one buffer; a flow that fills it twice in a row is a bulk transfer and goes
/// through a pipe by splice(2) from then on. What cannot be written at once waits in that pipe, or in a spill of at
/// most one buffer, and reading stops meanwhile. Nothing is allocated for a chunk that the other side takes at once.
///
/// Each visitor has one at either end, so it is small: who has many makes subclasses of it that keep what belongs to a
/// visitor, and others take `ClosureForwarder`.
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

    struct Flow {
        /// Frames go this way: one of its ends is a channel that is used again, and nobody said `raw`.
        var isFramed = false
        var isReadable = false
        /// The allowance is used up; a timer is set for more.
        var isHeldBack = false
        var isWritable = false
        /// The source announced its end, or urgent bytes, at which a read stops: short reads no longer mean that
        /// there is nothing more.
        var distrustsShortReads = false
        var sawEnd = false
        var isDone = false
        var fullReads: UInt8 = 0
        var inPipe: Int32 = 0
        var spillStart: Int32 = 0
        /// Bytes that the sink is known to take, at the start and after it was asked (Forwarder+Room.swift).
        var room: Int32 = 65_536
        /// What of this flow is in `EventLoop.buffered`.
        var counted: Int32 = 0
        var pipe: PipePool.Pipe?
        var spill: [UInt8] = []
        var bytes: UInt64 = 0
    }

    public enum Side: Sendable { case left, right }

    private static let leftTag: UInt8 = 0
    private static let rightTag: UInt8 = 1
    private static let spliceChunk = 1 << 20
    /// The same where others move bulk, too: small pieces wait for one such piece (docs/performance.md, "Beside bulk").
    private static let sharedChunk = 1 << 19
    /// Splices smaller than this are cheaper copied.
    private static let smallSplice = 8_192
    /// A read takes so much of a turn however little it brings: small records cost as much as large ones.
    private static let leastTurn = 65_536
    /// The same of what is passed on at an end.
    private static let leastRest = 4_096

    // Everything is final but what is open: otherwise each call and each look within this class goes by its table,
    // which made 6 % of all instructions.
    final let loop: EventLoop
    // Unchecked: these checks were two thirds of all instructions that an exchange took (docs/performance.md). What
    // they would find cannot be: a forwarder is touched on its loop's thread alone, and while a flow is lent out, in
    // `pump` and in `passRestOn`, nobody is called who could come back to this forwarder. Debug builds assert it for
    // `pump`.
    @exclusivity(unchecked) private final var left: Stream?
    @exclusivity(unchecked) private final var right: Stream?
    @exclusivity(unchecked) private(set) final var leftToRight = Flow()
    @exclusivity(unchecked) private(set) final var rightToLeft = Flow()
    /// TLS on either side: its records hold the bytes, so nothing can be moved past this process.
    final let isSpliceable: Bool
    @exclusivity(unchecked) private final var isConnecting: Bool
    /// Apart from the flows, for while one is being changed neither may be looked at.
    @exclusivity(unchecked) private(set) final var isOneWayDone = false
    /// `pump` is at work on the flows.
    @exclusivity(unchecked) private final var isLentOut = false
    /// Set when one end is a data channel that is used again (Forwarder+Channel.swift).
    @exclusivity(unchecked) final var channel: Channel?
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
        // Small pieces first: whoever moves bulk has his turn when all events of this turn have had theirs.
        if leftToRight.fullReads | rightToLeft.fullReads >= 2 { return loop.againWithBulk(self) }
        pump()
    }

    override final func runAgain() { pump() }

    private static func note(_ readiness: Readiness, source: inout Flow, sink: inout Flow) {
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
    private final func broken() {
        if !isConnecting, left != nil {
            // It is the end: whatever is left comes now or never, and is at most one turn.
            allowance = nil
            passRestOn(&leftToRight, isLeftToRight: true)
            passRestOn(&rightToLeft, isLeftToRight: false)
        }
        finish(.aborted, isRecoverable: true)
    }

    private final func passRestOn(_ flow: inout Flow, isLeftToRight: Bool) {
        guard flow.inPipe == 0, flow.spill.isEmpty, !flow.sawEnd else { return }
        var budget = EventLoop.turn
        while budget > 0, flow.spill.isEmpty, !flow.sawEnd, !hasSaidLast(isLeftToRight),
            let moved = flow.isFramed ? carryFrames(&flow, isLeftToRight, false) : copy(&flow, isLeftToRight), moved > 0
        {
            budget -= max(moved, Self.leastRest)
        }
    }

    private final func pump() {
        assert(!isLentOut, "a forwarder was called from within its own turn")
        guard !isConnecting, left != nil else { return }
        var isHungry = false
        isLentOut = true
        let isWhole =
            pumpOne(&leftToRight, isLeftToRight: true, &isHungry)
            && pumpOne(&rightToLeft, isLeftToRight: false, &isHungry)
        isLentOut = false
        guard isWhole else { return broken() }
        if leftToRight.isDone, rightToLeft.isDone { return finish(.clean) }
        if isHungry { loop.againWithBulk(self) }
    }

    /// `false` when a side broke.
    private final func pumpOne(_ flow: inout Flow, isLeftToRight: Bool, _ isHungry: inout Bool) -> Bool {
        var budget = EventLoop.turn
        while !flow.isDone {
            if flow.inPipe > 0 || flow.spillStart < flow.spill.count {
                guard flow.isWritable else { return true }
                guard flush(&flow, isLeftToRight) else { return false }
                continue
            }
            if flow.sawEnd {
                if flow.isFramed, isToChannel(isLeftToRight) {
                    if !hasSaidLast(isLeftToRight) {
                        sayLastWord(&flow)
                        continue
                    }
                } else if !sinkShutdown(isLeftToRight) {
                    flow.isWritable = false
                    return true
                }
                dropPipe(&flow)
                flow.isDone = true
                isOneWayDone = true
                return true
            }
            guard flow.isReadable, !flow.isHeldBack else {
                if flow.inPipe == 0 { dropPipe(&flow) }
                return true
            }
            guard budget > 0 else {
                isHungry = true
                return true
            }
            let isBulk = flow.fullReads >= 2 && isSpliceable && allowance == nil
            let moved =
                flow.isFramed
                ? carryFrames(&flow, isLeftToRight, isBulk)
                : isBulk ? spliceIn(&flow, isLeftToRight) : copy(&flow, isLeftToRight)
            guard let moved else { return false }
            budget -= max(moved, Self.leastTurn)
        }
        return true
    }

    /// Bytes read, or `nil` when a side broke.
    private final func copy(_ flow: inout Flow, _ isLeftToRight: Bool) -> Int? {
        guard let room = allowed(&flow, isLeftToRight) else { return 0 }
        let buffer = UnsafeMutableRawBufferPointer(start: loop.buffer.baseAddress, count: room)
        let outcome = source(isLeftToRight, { $0.read(into: buffer) })
        if let allowance { giveBack(buffer.count, outcome, to: allowance, isLeftToRight) }
        guard let count = took(outcome, of: buffer.count, &flow, isLeftToRight) else { return nil }
        guard count > 0 else { return 0 }
        flow.bytes += UInt64(count)
        return pass(UnsafeRawBufferPointer(rebasing: buffer[..<count]), &flow, isLeftToRight) ? count : nil
    }

    /// Notes what a read says of the source. How many bytes it brought; `nil` when the source broke.
    @inline(__always)
    final func took(_ outcome: Stream.Outcome, of room: Int, _ flow: inout Flow, _ isLeftToRight: Bool) -> Int? {
        switch outcome {
        case .wouldBlock:
            flow.isReadable = false
            return 0
        case .end:
            flow.sawEnd = true
            return 0
        case .failed: return nil
        case .bytes(let count):
            if count < room {
                // Saves the call that would say so.
                if !flow.distrustsShortReads, isSourceDrained(isLeftToRight) { flow.isReadable = false }
                flow.fullReads = 0
            } else if room >= ChannelFrame.maximumPayload {
                flow.fullReads = min(flow.fullReads + 1, 2)
            }
            return count
        }
    }

    /// Writes bytes of the loop's buffer, and keeps what the sink does not take. `false` when it broke.
    @inline(__always)
    final func pass(_ bytes: UnsafeRawBufferPointer, _ flow: inout Flow, _ isLeftToRight: Bool) -> Bool {
        var written = 0
        if flow.isWritable {
            switch sink(isLeftToRight, { $0.write(bytes) }) {
            case .bytes(let some): written = some
            case .wouldBlock: break
            case .end, .failed: return false
            }
        }
        flow.room &-= Int32(truncatingIfNeeded: written)
        if written < bytes.count {
            flow.isWritable = false
            flow.room = 0
            keep(bytes[written...], &flow, andHeld: (left?.held ?? 0) + (right?.held ?? 0))
        }
        return true
    }

    /// Nothing waits yet.
    ///
    /// - Parameter held: bytes that the streams hold beside.
    final func keep(_ bytes: some Collection<UInt8>, _ flow: inout Flow, andHeld held: Int = 0) {
        flow.spill = Array(bytes)
        flow.spillStart = 0
        flow.counted = Int32(flow.spill.count + held)
        loop.buffered += Int(flow.counted)
    }

    /// How much may be read now; `nil`: nothing, until a timer says so.
    @inline(__always)
    final func allowed(_ flow: inout Flow, _ isLeftToRight: Bool) -> Int? {
        let room = readable(&flow, isLeftToRight)
        guard let allowance else { return room }
        return allowed(upTo: room, by: allowance, &flow, isLeftToRight)
    }

    private final func allowed(
        upTo most: Int, by allowance: any ByteAllowance, _ flow: inout Flow, _ isLeftToRight: Bool
    ) -> Int? {
        let room = allowance.take(upTo: most, isLeftToRight, at: loop.now)
        guard room == 0 else { return room }
        flow.isHeldBack = true
        let wait = max(allowance.ready(isLeftToRight), loop.now) - loop.now
        loop.schedule(after: wait) { [weak self] in
            if isLeftToRight { self?.leftToRight.isHeldBack = false } else { self?.rightToLeft.isHeldBack = false }
            self?.pump()
        }
        return nil
    }

    final func giveBack(
        _ taken: Int, _ outcome: Stream.Outcome, to allowance: any ByteAllowance, _ isLeftToRight: Bool
    ) {
        var used = 0
        if case .bytes(let count) = outcome { used = count }
        assert(used <= taken, "more was read than was allowed")
        if used < taken { allowance.putBack(taken - used, isLeftToRight) }
    }

    private final func spliceIn(_ flow: inout Flow, _ isLeftToRight: Bool) -> Int? {
        if flow.pipe == nil { flow.pipe = loop.pipes.take() }
        guard let pipe = flow.pipe else {
            flow.fullReads = 0
            return copy(&flow, isLeftToRight)
        }
        let most = loop.hasMoreBulk ? Self.sharedChunk : Self.spliceChunk
        switch source(isLeftToRight, { $0.splice(into: pipe.writeEnd, upTo: most) }) {
        case .bytes(let count):
            flow.inPipe = Int32(count)
            flow.bytes += UInt64(count)
            if count < Self.smallSplice { flow.fullReads = 0 }
            return count
        // At urgent bytes splice(2) stops, and says the same as at an empty socket or, after the other side's end,
        // as at the end. A read tells them apart.
        case .wouldBlock, .end: return copy(&flow, isLeftToRight)
        case .failed: return nil
        }
    }

    private final func flush(_ flow: inout Flow, _ isLeftToRight: Bool) -> Bool {
        if flow.inPipe > 0, let pipe = flow.pipe {
            let count = Int(flow.inPipe)
            switch sink(isLeftToRight, { $0.splice(outOf: pipe.readEnd, count: count) }) {
            case .bytes(let moved):
                flow.inPipe -= Int32(moved)
                flow.room = 0
            case .wouldBlock:
                flow.isWritable = false
                flow.room = 0
            case .end, .failed: return false
            }
            return true
        }
        let start = Int(flow.spillStart)
        let outcome = flow.spill.withUnsafeBytes { spill in
            sink(isLeftToRight, { $0.write(UnsafeRawBufferPointer(rebasing: spill[start...])) })
        }
        switch outcome {
        case .bytes(let written):
            flow.spillStart += Int32(written)
            if flow.spillStart == flow.spill.count { dropSpill(&flow) }
        case .wouldBlock: flow.isWritable = false
        case .end, .failed: return false
        }
        return true
    }

    final func source(_ isLeftToRight: Bool, _ body: (borrowing Stream) -> Stream.Outcome) -> Stream.Outcome {
        isLeftToRight ? Self.use(left, body) : Self.use(right, body)
    }

    final func sink(_ isLeftToRight: Bool, _ body: (borrowing Stream) -> Stream.Outcome) -> Stream.Outcome {
        isLeftToRight ? Self.use(right, body) : Self.use(left, body)
    }

    private static func use(
        _ stream: borrowing Stream?, _ body: (borrowing Stream) -> Stream.Outcome
    ) -> Stream.Outcome {
        switch stream {
        case .some(let stream): body(stream)
        case .none: .end
        }
    }

    /// Bytes for which the sink's socket has room.
    final func freeAtSink(_ isLeftToRight: Bool) -> Int {
        (isLeftToRight ? right?.freeToSend : left?.freeToSend) ?? 0
    }

    private final func isSourceDrained(_ isLeftToRight: Bool) -> Bool {
        (isLeftToRight ? left?.isDrained : right?.isDrained) ?? true
    }

    /// `false` when the sink must become writable first.
    private final func sinkShutdown(_ isLeftToRight: Bool) -> Bool {
        (isLeftToRight ? right?.shutdownWrite() : left?.shutdownWrite()) ?? true
    }

    private final func dropSpill(_ flow: inout Flow) {
        loop.buffered -= Int(flow.counted)
        flow.counted = 0
        flow.spill = []
        flow.spillStart = 0
    }

    private final func dropPipe(_ flow: inout Flow) {
        guard let pipe = flow.pipe else { return }
        loop.pipes.giveBack(pipe, isEmpty: flow.inPipe == 0)
        flow.pipe = nil
    }

    deinit {
        // Only when the loop itself went, with this under way.
        for pipe in [leftToRight.pipe, rightToLeft.pipe] { pipe?.close() }
    }

    /// - Parameter isRecoverable: the visitor is over, and a channel that still works need not be.
    private final func finish(_ ending: Ending, isRecoverable: Bool = false) {
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
