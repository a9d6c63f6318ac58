internal import CLinux
import Glibc
public import PeerCore

/// Whole lines to a descriptor that may not take them: a pipe that nobody reads, a terminal that is stopped.
///
/// At first whoever writes a line waits until it is gone. After `start` nobody waits: lines go through a bounded queue
/// to a thread of their own, and `flush` gives what is queued a last chance.
public final class LineWriter: Sendable {
    private struct State {
        var backlog: LineBacklog
        var budget: LineBudget
        /// There is a thread.
        var isStarted = false
        /// It has taken lines that are not written yet.
        var isWriting = false
        /// Somebody wants to know when all is written.
        var isAwaited = false
    }

    private let descriptor: Int32
    /// What a line that has a cause begins with at that moment.
    private let prefix: @Sendable () -> String
    private let state: Locked<State>
    /// Rung when there are lines, and when all of them are written.
    private let lines = clinux_eventfd()
    private let written = clinux_eventfd()

    /// - Parameters:
    ///   - capacity: bytes that wait for the thread.
    ///   - budget: of the lines that have a cause.
    ///   - notice: the line about those that are lost because nobody took them.
    public init(
        _ descriptor: Int32, capacity: Int, budget: LineBudget, prefix: @escaping @Sendable () -> String = { "" },
        notice: @escaping @Sendable (_ lost: Int) -> String
    ) {
        self.descriptor = descriptor
        self.prefix = prefix
        let backlog = LineBacklog(capacity: capacity) { prefix() + notice($0) }
        state = Locked(State(backlog: backlog, budget: budget))
    }

    /// From now on no caller waits.
    public func start() throws(SystemError) {
        guard lines >= 0, written >= 0 else { throw SystemError("eventfd", code: EMFILE) }
        guard !state.withLock({ $0.isStarted }) else { return }
        try SystemThread.detach { self.run() }
        state.withLock { $0.isStarted = true }
    }

    /// - Parameters:
    ///   - cause: lines of one cause are limited, as long as there is a thread, and begin with the prefix; `nil`: this
    ///     one is written as it is.
    ///   - isUrgent: it is limited with its cause only.
    public func write(_ line: String, of cause: String? = nil, isUrgent: Bool = false) {
        let isQueued = state.withLock { state in
            guard state.isStarted else { return false }
            guard let cause else {
                state.backlog.add(line)
                return true
            }
            if let text = state.budget.offer(line, of: cause, isUrgent: isUrgent, at: SystemClock.now) {
                state.backlog.add(prefix() + text)
            }
            return true
        }
        if isQueued { Self.ring(lines) } else { writeAll(Array("\(cause == nil ? "" : prefix())\(line)\n".utf8)) }
    }

    /// As they are; waits until they are gone.
    public func write(bytes: [UInt8]) { writeAll(bytes) }

    /// Returns when all is written, at the latest after `limit`.
    public func flush(within limit: Instant.Span) {
        let deadline = SystemClock.now + limit
        let isStarted = state.withLock { state in
            guard state.isStarted else { return false }
            for line in state.budget.rest() { state.backlog.add(prefix() + line) }
            state.isAwaited = true
            return true
        }
        guard isStarted else { return }
        Self.ring(lines)
        while !state.withLock({ $0.backlog.isEmpty && !$0.isWriting }), Self.wait(written, until: deadline) {}
    }

    // MARK: The thread

    private func run() {
        while true {
            let (bytes, due) = state.withLock { state -> ([UInt8], Instant?) in
                for line in state.budget.due(at: SystemClock.now) { state.backlog.add(prefix() + line) }
                let bytes = state.backlog.take()
                state.isWriting = !bytes.isEmpty
                if bytes.isEmpty, state.isAwaited { Self.ring(written) }
                return (bytes, state.budget.nextDue)
            }
            if bytes.isEmpty { Self.wait(lines, until: due) } else { writeAll(bytes) }
        }
    }

    /// What the descriptor does not take for another reason than that it has to wait is gone.
    private func writeAll(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&entry, 1, -1)
            } else if errno != EINTR {
                return
            }
        }
    }

    private static func ring(_ bell: Int32) {
        var one: UInt64 = 1
        _ = Glibc.write(bell, &one, 8)
    }

    /// Whether it was rung before that; `nil`: whenever that is.
    @discardableResult
    private static func wait(_ bell: Int32, until deadline: Instant?) -> Bool {
        var entry = pollfd(fd: bell, events: Int16(POLLIN), revents: 0)
        // A millisecond more, so that the time has come when it is over.
        let left = deadline.map { Int32(clamping: ($0 - SystemClock.now).nanoseconds / 1_000_000 + 1) } ?? -1
        let ready = poll(&entry, 1, left)
        guard ready > 0 else { return ready < 0 && errno == EINTR }
        var count: UInt64 = 0
        _ = read(bell, &count, 8)
        return true
    }
}
