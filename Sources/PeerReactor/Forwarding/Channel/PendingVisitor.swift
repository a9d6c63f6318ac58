internal import PeerCore
internal import PeerWire
import Glibc

/// A visitor at the relay whose data channel idled for long and may be dead in somebody's NAT table.
///
/// The visitor's first bytes go out at once, and are kept; when the peer's answer stays away, the same visitor is
/// announced on another channel with the same bytes. The peer serves each visitor once (it knows their numbers), so
/// whichever channel answers first has it, and nothing reaches the service twice.
public final class PendingVisitor: EventSource {
    public enum Outcome: ~Copyable {
        /// `unsent`: the visitor's bytes that this channel did not take yet.
        case answered(visitor: Stream, channel: Stream, unsent: [UInt8])
        case failed
    }

    /// Bytes of the visitor that are kept for a second channel; more wait in the system until the answer.
    private static let keptBytes = 16_384
    /// Without an answer for so long, another channel is tried beside.
    private static let patience = Instant.Span.milliseconds(400)
    private static let limit = Instant.Span.seconds(10)
    private static let maximumCandidates = 4

    private final class Candidate {
        var stream: Stream?
        /// How much of `outgoing` it took.
        var sent = 0
        /// What came of its answer.
        var received: [UInt8] = []

        init(_ stream: consuming Stream) { self.stream = consume stream }
    }

    private let loop: EventLoop
    private let announcement: [UInt8]
    /// What the peer says first.
    private let answer = ReadyChannel.Word(of: ChannelMachine(.announcer, .proving))
    private var visitor: Stream?
    /// By tag; owned here until one of them answers.
    private var candidates: [UInt8: Candidate] = [:]
    private var outgoing: [UInt8]
    private var nextTag: UInt8 = 1
    private var limit: LoopTimer?
    private var patience: LoopTimer?
    private var onNeed: (() -> Void)?
    private var onSettled: ((consuming Outcome) -> Void)?

    /// - Parameters:
    ///   - announcement: what opens the visitor on a channel, and wants an answer.
    ///   - onNeed: another channel is wanted: `add` one, or do nothing.
    public init(
        on loop: EventLoop, visitor: consuming Stream, announcement: [UInt8],
        onNeed: @escaping () -> Void, onSettled: @escaping (consuming Outcome) -> Void
    ) {
        self.loop = loop
        self.visitor = consume visitor
        self.announcement = announcement
        self.onNeed = onNeed
        self.onSettled = onSettled
        outgoing = announcement
        super.init()
    }

    public func start() {
        guard let fd = visitor?.fd, (try? loop.register(fd, for: self, tag: 0)) != nil else { return fail() }
        limit = loop.schedule(after: Self.limit) { [weak self] in self?.fail() }
        wait()
    }

    /// Announces the visitor on one more channel, which is registered with the loop.
    public func add(_ channel: consuming Stream) {
        guard visitor != nil, nextTag <= Self.maximumCandidates else { return }
        let fd = channel.fd
        let tag = nextTag
        nextTag += 1
        candidates[tag] = Candidate(channel)
        guard (try? loop.reregister(fd, for: self, tag: tag)) != nil else { return drop(tag) }
        flush(tag)
        wait()
    }

    private func wait() {
        patience?.cancel()
        guard visitor != nil else { return }
        patience = loop.schedule(after: Self.patience) { [weak self] in self?.need() }
    }

    /// Asks for another channel, and again after a while when there was none.
    private func need() {
        guard visitor != nil, nextTag <= Self.maximumCandidates else { return }
        wait()
        onNeed?()
    }

    public func abort() { fail() }

    override func ready(_ readiness: Readiness, tag: UInt8) {
        if tag == 0 {
            if readiness.contains(.error) { return fail() }
            readVisitor()
        } else {
            if readiness.contains(.writable) { flush(tag) }
            if !readiness.isDisjoint(with: [.readable, .readHangup, .hangup, .error]) { readChannel(tag) }
        }
    }

    private func readVisitor() {
        let room = Self.keptBytes + announcement.count - outgoing.count
        guard room > 0 else { return }
        let buffer = UnsafeMutableRawBufferPointer(rebasing: loop.buffer[..<room])
        switch visitor?.read(into: buffer) {
        case .bytes(let count):
            let before = outgoing.count
            outgoing += ChannelFrame.header(.bytes, count: count)
            outgoing.append(contentsOf: buffer[..<count])
            loop.buffered += outgoing.count - before
            for tag in candidates.keys { flush(tag) }
        // The error is told once; the forwarder would take the break for an orderly end.
        case .failed: fail()
        // The end of the visitor's direction is found again by the forwarder.
        case .end, .wouldBlock, nil: break
        }
    }

    private func flush(_ tag: UInt8) {
        while let candidate = candidates[tag], candidate.sent < outgoing.count {
            let sent = candidate.sent
            let outcome = outgoing.withUnsafeBytes { bytes in
                candidate.stream?.write(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
            }
            switch outcome {
            case .bytes(let count): candidate.sent += count
            case .wouldBlock: return
            case .end, .failed, nil: return drop(tag)
            }
        }
    }

    private func readChannel(_ tag: UInt8) {
        guard let candidate = candidates[tag] else { return }
        // No byte more than the answer: what follows is the forwarder's.
        while candidate.received.count < answer.byteCount {
            let missing = answer.byteCount - candidate.received.count
            let room = UnsafeMutableRawBufferPointer(rebasing: loop.buffer[..<missing])
            switch candidate.stream?.read(into: room) {
            case .bytes(let count):
                candidate.received += room[..<count]
                guard answer.mayBegin(candidate.received) else { return drop(tag) }
            case .wouldBlock: return
            case .end, .failed, nil: return drop(tag)
            }
        }
        settle(tag, candidate)
    }

    private func settle(_ tag: UInt8, _ candidate: Candidate) {
        let unsent = Array(outgoing[candidate.sent...])
        candidates[tag] = nil
        guard let visitor = visitor.take(), let channel = candidate.stream.take() else { return }
        let onSettled = end()
        onSettled?(.answered(visitor: visitor, channel: channel, unsent: unsent))
    }

    private func drop(_ tag: UInt8) {
        guard candidates.removeValue(forKey: tag) != nil else { return }
        if candidates.isEmpty {
            if nextTag > Self.maximumCandidates { fail() } else { need() }
        }
    }

    private func fail() {
        guard visitor != nil else { return }
        visitor = nil
        let onSettled = end()
        onSettled?(.failed)
    }

    private func end() -> ((consuming Outcome) -> Void)? {
        loop.forget(self)
        loop.buffered -= outgoing.count - announcement.count
        limit?.cancel()
        patience?.cancel()
        candidates = [:]
        onNeed = nil
        let settled = onSettled
        onSettled = nil
        return settled
    }
}
