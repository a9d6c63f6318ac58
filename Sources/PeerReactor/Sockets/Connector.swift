internal import CLinux
import Glibc
public import PeerCore

/// Connects to the first of several addresses that answers, a new attempt every 250 ms beside the earlier ones
/// (RFC 8305), and gives up after `limit`. Belongs to one loop.
public final class Connector {
    /// Between two addresses of one name.
    private static let stagger = Instant.Span.milliseconds(250)
    /// Before the same addresses are tried once more, from another port of ours: the first packet may be lost, or the
    /// old port remembered by somebody on the way.
    private static let repetition = Instant.Span.milliseconds(600)

    private final class Attempt: EventSource {
        var stream: Stream?
        weak var owner: Connector?

        init(stream: consuming Stream) {
            self.stream = consume stream
            super.init()
        }

        override func ready(_ readiness: Readiness, tag: UInt8) { owner?.attemptIsReady(self, readiness) }
    }

    private let loop: EventLoop
    private let kind: SocketSetup
    private var addresses: ArraySlice<SocketAddress>
    private var repeated: [SocketAddress]
    private var attempts: [Attempt] = []
    private var timers: [LoopTimer] = []
    private var lastError: SystemError?
    private var done: ((consuming Stream?, SystemError) -> Void)?

    /// - Parameter done: called once, after this returned, with the stream, or with none and the reason.
    public init(
        on loop: EventLoop, to addresses: [SocketAddress], kind: SocketSetup, limit: Instant.Span,
        done: @escaping (consuming Stream?, SystemError) -> Void
    ) {
        self.loop = loop
        self.kind = kind
        self.addresses = addresses[...]
        repeated = kind == .betweenNodes ? addresses : []
        self.done = done
        timers.append(loop.schedule(after: limit) { [self] in finish(nil, SystemError("connect", code: ETIMEDOUT)) })
        tryNext()
    }

    public func cancel() { settle() }

    private func tryNext() {
        guard done != nil else { return }
        guard let address = addresses.popFirst() else {
            if attempts.isEmpty { giveUp() } else { repeatLater() }
            return
        }
        do {
            let attempt = Attempt(stream: try Self.open(address, kind))
            attempt.owner = self
            try loop.register(attempt.stream?.fd ?? -1, for: attempt)
            attempts.append(attempt)
            if addresses.isEmpty {
                repeatLater()
            } else {
                timers.append(loop.schedule(after: Self.stagger) { [weak self] in self?.tryNext() })
            }
        } catch {
            lastError = error
            tryNext()
        }
    }

    private func repeatLater() {
        guard !repeated.isEmpty else { return }
        let again = repeated
        repeated = []
        timers.append(
            loop.schedule(after: Self.repetition) { [weak self] in
                self?.addresses = again[...]
                self?.tryNext()
            })
    }

    /// A socket whose connection to `address` is made, or on its way.
    public static func open(_ address: SocketAddress, _ kind: SocketSetup) throws(SystemError) -> Stream {
        let fd = clinux_socket(address.family, Int32(SOCK_STREAM.rawValue))
        guard fd >= 0 else { throw SystemError("socket") }
        let stream = Stream(Descriptor(fd))
        kind.apply(to: fd)
        // A target that swallows connections holds a visitor for 7 s, not for two minutes.
        clinux_syn_repeats(fd, 2)
        let status = address.withSystemAddress { connect(fd, $0, $1) }
        guard status == 0 || errno == EINPROGRESS else { throw SystemError("connect") }
        return stream
    }

    /// A stream to a Unix socket of this machine, connected at once or not at all.
    public static func openUnix(path: String) throws(SystemError) -> Stream {
        guard let address = UnixAddress(path: path) else { throw SystemError("connect", code: ENAMETOOLONG) }
        let fd = clinux_socket(AF_UNIX, Int32(SOCK_STREAM.rawValue))
        guard fd >= 0 else { throw SystemError("socket") }
        let stream = Stream(Descriptor(fd))
        guard address.withSystemAddress({ connect(fd, $0, $1) }) == 0 else { throw SystemError("connect") }
        return stream
    }

    private func attemptIsReady(_ attempt: Attempt, _ readiness: Readiness) {
        guard !readiness.isDisjoint(with: [.writable, .error, .hangup]) else { return }
        let code = attempt.stream?.pendingError ?? 0
        if code == 0, readiness.contains(.writable), !readiness.contains(.hangup) {
            loop.forget(attempt)
            attempts.removeAll { $0 === attempt }
            if let fd = attempt.stream?.fd { loop.unregister(fd) }
            let stream = attempt.stream.take()
            finish(stream, SystemError("connect", code: 0))
        } else if code != 0 {
            lastError = SystemError("connect", code: code)
            loop.forget(attempt)
            attempt.stream = nil
            attempts.removeAll { $0 === attempt }
            tryNext()
        }
    }

    /// In the next turn, never from within `init`: there the caller has no hold of this connector yet, and would
    /// take one that is over for one that is on its way.
    private func giveUp() {
        let error = lastError ?? SystemError("connect", code: EHOSTUNREACH)
        timers.append(loop.schedule(after: .zero) { [self] in finish(nil, error) })
    }

    private func finish(_ stream: consuming Stream?, _ error: SystemError) {
        let done = self.done
        settle()
        done?(stream, error)
    }

    private func settle() {
        done = nil
        for timer in timers { timer.cancel() }
        timers = []
        for attempt in attempts { loop.forget(attempt) }
        attempts = []
        addresses = []
    }
}
