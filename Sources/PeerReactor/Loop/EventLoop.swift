internal import CLinux
import Glibc
public import PeerCore

/// What epoll says of a descriptor.
struct Readiness: OptionSet {
    let rawValue: UInt32
    static let readable = Readiness(rawValue: UInt32(CLINUX_READABLE))
    static let writable = Readiness(rawValue: UInt32(CLINUX_WRITABLE))
    static let error = Readiness(rawValue: UInt32(CLINUX_ERROR))
    static let hangup = Readiness(rawValue: UInt32(CLINUX_HANGUP))
    /// TCP's urgent data (EPOLLPRI).
    static let urgent = Readiness(rawValue: 0x002)
    static let readHangup = Readiness(rawValue: UInt32(CLINUX_READ_HANGUP))
}

/// Whatever a loop wakes. Belongs to one loop, lives on its thread only.
open class EventSource {
    /// The place in the loop's table while registered.
    fileprivate(set) final var slot: Int32 = -1
    fileprivate final var isListedAgain = false
    fileprivate final var isListedLast = false
    final var isRegistered: Bool { slot >= 0 }

    init() {}

    /// Something happened on the descriptor that was registered with this tag.
    func ready(_ readiness: Readiness, tag: UInt8) {}
    /// The next turn, after `EventLoop.again` or `EventLoop.afterOthers`.
    func runAgain() {}
}

/// One epoll loop on a thread of its own (epoll(7), edge-triggered). Streams, listeners and timers belong to one
/// loop and are touched on its thread alone; other threads come in through `execute`.
public final class EventLoop: @unchecked Sendable {
    // Unchecked, because everything but the inbox belongs to the loop's thread: `preconditionInLoop` holds that.

    private struct Slot {
        var source: EventSource?
        var generation: UInt32 = 0
    }

    private struct Inbox {
        var jobs: [@Sendable () -> Void] = []
        var isSignalled = false
        /// The loop stopped for good; jobs that come now are let go of.
        var isClosed = false
    }

    /// Bytes that one direction moves before others get their turn.
    static let turn = 262_144
    /// Of the forwarders that move bulk as many have their turn before new events are looked for as fit in here, one at
    /// the least: whoever has just a little to do waits for one turn of a bulk transfer, and not for all of them.
    private static let bulkSpan = Instant.Span.microseconds(50)
    /// A timer that is due later than this may be late by the length of a turn.
    private static let farSpan = Instant.Span.milliseconds(100)
    /// What those who stand back may take of one turn together.
    private static let lastSpan = Instant.Span.milliseconds(2)
    private static let batch = 256
    private static let everything: Readiness = [.readable, .writable, .readHangup, .urgent]

    private let epoll: Int32
    private let wake: Int32
    private let inbox = Locked(Inbox())
    private let thread = Locked<pthread_t?>(nil)

    // Owned by the loop's thread, and none is lent out over a call that could change it: unchecked, for these are
    // looked at several times for each event.
    @exclusivity(unchecked) private var slots: [Slot] = []
    private var freeSlots: [Int32] = []
    @exclusivity(unchecked) private var againList: [EventSource] = []
    /// Flows that move bulk.
    @exclusivity(unchecked) private var bulkList = TurnList()
    /// Those that stand back.
    @exclusivity(unchecked) private var lastList = TurnList()
    @exclusivity(unchecked) private var timers = TimerHeap()
    @exclusivity(unchecked) private var isStopped = false
    @exclusivity(unchecked) private var isYielding = false
    /// The time of this turn.
    @exclusivity(unchecked) public private(set) var now: Instant
    let buffer: UnsafeMutableRawBufferPointer
    let pipes = PipePool()
    @exclusivity(unchecked) var datagramRoom: DatagramRoom?
    var datagramReaders = DatagramReaders()
    /// Bytes of visitors that wait in buffers of this loop's forwarders. Read on the loop's thread.
    // Unchecked, too: the compiler moves the check to the beginning of each direction's turn, whether it is looked at
    // there or not, which took 19 % of the instructions of an exchange.
    @exclusivity(unchecked) public internal(set) var buffered = 0
    /// Kept so that a listener can accept and close a connection when no descriptor is left: otherwise it would stay in
    /// the queue and wake the loop for ever. One does for all listeners of this loop.
    var spare: Descriptor?

    private let manual: ManualClock?

    /// - Parameter clock: a test's own time; `nil`: the system's.
    public init(clock: ManualClock? = nil) throws(SystemError) {
        manual = clock
        epoll = clinux_epoll_create()
        guard epoll >= 0 else { throw SystemError("epoll_create1") }
        wake = clinux_eventfd()
        guard wake >= 0 else {
            let error = SystemError("eventfd")
            _ = close(epoll)
            throw error
        }
        now = clock?.now ?? SystemClock.now
        buffer = .allocate(byteCount: 65_536, alignment: 4_096)
        clinux_epoll_add(epoll, wake, Readiness.readable.rawValue, 0, .max)
        clock?.drives(self)
    }

    deinit {
        buffer.deallocate()
        _ = close(wake)
        _ = close(epoll)
    }

    /// The time at this very moment; `now` is that of the turn. From any thread.
    public func clock() -> Instant { manual?.now ?? SystemClock.now }

    /// The time of day. From any thread.
    public func wall() -> WallTime { manual?.wall ?? .now }

    // MARK: From any thread

    /// Runs the loop on a new thread until `stop`.
    ///
    /// - Parameter yields: when there is more to do than processors to do it, threads that do not yield go first.
    public func start(yields: Bool = false) throws(SystemError) {
        isYielding = yields
        try SystemThread.detach { self.run() }
    }

    /// Runs `job` on the loop's thread, after what is queued already.
    public func execute(_ job: @escaping @Sendable () -> Void) {
        let mustWake = inbox.withLock { inbox in
            guard !inbox.isClosed else { return false }
            inbox.jobs.append(job)
            defer { inbox.isSignalled = true }
            return !inbox.isSignalled
        }
        if mustWake {
            var one: UInt64 = 1
            _ = write(wake, &one, 8)
        }
    }

    public func stop() { execute { self.isStopped = true } }

    public var isInLoop: Bool { thread.withLock { $0.map { pthread_equal($0, pthread_self()) != 0 } ?? false } }

    public func preconditionInLoop() { precondition(isInLoop, "touched from a thread that is not the loop's") }

    // MARK: On the loop's thread

    /// Edge-triggered, both directions: interest never changes, so nothing is paid for changing it.
    func register(_ fd: Int32, for source: EventSource, tag: UInt8 = 0) throws(SystemError) {
        try place(source) { data in
            clinux_epoll_add(epoll, fd, Self.everything.rawValue, 1, data | UInt64(tag))
        }
    }

    /// Another source takes a descriptor over that is registered here; what is ready now is told anew.
    func reregister(_ fd: Int32, for source: EventSource, tag: UInt8 = 0) throws(SystemError) {
        try place(source) { data in
            clinux_epoll_modify(epoll, fd, Self.everything.rawValue, 1, data | UInt64(tag))
        }
    }

    /// A listener: level-triggered, so that what one turn leaves is told again.
    func registerListener(_ fd: Int32, for source: EventSource) throws(SystemError) {
        try place(source) { data in clinux_epoll_add(epoll, fd, Readiness.readable.rawValue, 0, data) }
    }

    /// A socket for datagrams: edge-triggered, and no word of room to send, which each datagram that has gone would be.
    func registerReceiver(_ fd: Int32, for source: EventSource) throws(SystemError) {
        try place(source) { data in clinux_epoll_add(epoll, fd, Readiness.readable.rawValue, 1, data) }
    }

    func unregister(_ fd: Int32) { clinux_epoll_delete(epoll, fd) }

    /// For a stream that goes to another loop.
    public func unregister(_ stream: borrowing Stream) { unregister(stream.fd) }

    /// No event reaches the source from here on. Its descriptors leave with their closing, or by `unregister`.
    func forget(_ source: EventSource) {
        guard source.slot >= 0 else { return }
        let index = Int(source.slot)
        slots[index].source = nil
        slots[index].generation = (slots[index].generation &+ 1) & 0xff_ffff
        freeSlots.append(source.slot)
        source.slot = -1
    }

    /// Calls `runAgain` in the next turn, after everybody else had theirs.
    func again(_ source: EventSource) {
        guard !source.isListedAgain else { return }
        source.isListedAgain = true
        againList.append(source)
    }

    /// The same for a forwarder that moves bulk: in one of the next turns. Each turn of the loop serves as many of them
    /// as fit into 50 µs, one at the least.
    func againWithBulk(_ source: EventSource) {
        guard !source.isListedAgain else { return }
        source.isListedAgain = true
        bulkList.append(source)
    }

    /// Other forwarders that move bulk wait for their turn.
    var hasMoreBulk: Bool { !bulkList.isEmpty }

    /// Calls `runAgain` when everybody else had a turn. Of those who stand back so, each turn of the loop serves as
    /// many as fit into 2 ms, one at the least: however many there are, others do not wait for all of them.
    func afterOthers(_ source: EventSource) {
        guard !source.isListedLast else { return }
        source.isListedLast = true
        lastList.append(source)
    }

    /// Runs `body` once, not before `span` has passed.
    @discardableResult
    public func schedule(after span: Instant.Span, _ body: @escaping () -> Void) -> LoopTimer {
        let timer = LoopTimer(deadline: clock() + span, body: body)
        timers.insert(timer)
        return timer
    }

    /// Gives the source a place, unless it has one, and hands `body` what stands for it in epoll's events. A source
    /// that the system then refuses loses a place that it got just now: the table would keep it for ever.
    private func place(_ source: EventSource, _ body: (UInt64) -> Int32) throws(SystemError) {
        let isNew = source.slot < 0
        if isNew {
            if let free = freeSlots.popLast() {
                source.slot = free
            } else {
                source.slot = Int32(slots.count)
                slots.append(Slot())
            }
            slots[Int(source.slot)].source = source
        }
        let generation = UInt64(slots[Int(source.slot)].generation)
        guard body(UInt64(UInt32(bitPattern: source.slot)) << 32 | generation << 8) == 0 else {
            let error = SystemError("epoll_ctl")
            if isNew { forget(source) }
            throw error
        }
    }

    private func run() {
        thread.withLock { $0 = pthread_self() }
        Self.blockBrokenPipeSignal()
        if isYielding { Self.yieldToOthers() }
        let events = UnsafeMutablePointer<UInt32>.allocate(capacity: Self.batch)
        let data = UnsafeMutablePointer<UInt64>.allocate(capacity: Self.batch)
        defer {
            events.deallocate()
            data.deallocate()
        }
        while !isStopped {
            let count = clinux_epoll_wait(epoll, events, data, Int32(Self.batch), timeout())
            now = clock()
            for index in 0..<max(0, Int(count)) { dispatch(Readiness(rawValue: events[index]), data[index]) }
            while let timer = timers.popDue(at: now) { timer.fire() }
            if !againList.isEmpty { runAgainList() }
            if !bulkList.isEmpty { runBulkList() }
            if !lastList.isEmpty { runLastList() }
            // What sockets brought in this turn leaves together.
            datagramRoom?.flush()
        }
        letGo()
    }

    /// A third of the usual share. On Linux a nice value belongs to a thread (setpriority(2), "C library/kernel
    /// differences").
    private static func yieldToOthers() {
        errno = 0
        let nice = getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)
        if errno == 0 { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, min(19, nice + 5)) }
    }

    /// splice(2) has no MSG_NOSIGNAL: to a connection that broke it would end the process. The signal goes to the
    /// thread that wrote, so it is held off here, whatever the rest of the program does with it.
    private static func blockBrokenPipeSignal() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    /// What is registered or scheduled refers to the loop, and the loop to it: without this, a stopped loop and all
    /// its descriptors would stay for ever.
    private func letGo() {
        let jobs = inbox.withLock { inbox in
            inbox.isClosed = true
            defer { inbox.jobs = [] }
            return inbox.jobs
        }
        _ = jobs
        for slot in slots { slot.source?.slot = -1 }
        slots = []
        freeSlots = []
        againList = []
        bulkList = TurnList()
        lastList = TurnList()
        timers = TimerHeap()
    }

    private func timeout() -> Int32 {
        if !againList.isEmpty || !bulkList.isEmpty || !lastList.isEmpty { return 0 }
        guard let deadline = timers.next else { return -1 }
        // Whoever owns the time wakes the loop when it has gone on.
        guard manual == nil else { return deadline <= clock() ? 0 : -1 }
        // What is due much later is reckoned from the turn's beginning, which saves a look at the clock in each turn.
        let rough = deadline - now
        let span = (rough > Self.farSpan ? rough : deadline - clock()).nanoseconds
        return Int32(min((span + 999_999) / 1_000_000, 60_000))
    }

    private func dispatch(_ readiness: Readiness, _ data: UInt64) {
        if data == .max { return runInbox() }
        let index = Int(data >> 32)
        guard index < slots.count, slots[index].generation == UInt32(data >> 8 & 0xff_ffff),
            let source = slots[index].source
        else { return }
        source.ready(readiness, tag: UInt8(truncatingIfNeeded: data))
    }

    private func runInbox() {
        var count: UInt64 = 0
        _ = read(wake, &count, 8)
        let jobs = inbox.withLock { inbox in
            inbox.isSignalled = false
            defer { inbox.jobs = [] }
            return inbox.jobs
        }
        for job in jobs { job() }
    }

    private func runAgainList() {
        let listed = againList
        againList.removeAll(keepingCapacity: true)
        for source in listed {
            source.isListedAgain = false
            if source.slot >= 0 { source.runAgain() }
        }
    }

    private func runBulkList() {
        let deadline = clock() + Self.bulkSpan
        var count = bulkList.count
        while count > 0, let source = bulkList.next() {
            source.isListedAgain = false
            if source.slot >= 0 { source.runAgain() }
            count -= 1
            guard clock() < deadline else { return }
        }
    }

    private func runLastList() {
        let deadline = clock() + Self.lastSpan
        var count = lastList.count
        while count > 0, let source = lastList.next() {
            source.isListedLast = false
            if source.slot >= 0 { source.runAgain() }
            count -= 1
            guard clock() < deadline else { return }
        }
    }
}

/// Refers to something that may be gone by then: what a job on another thread calls back to does not live for that.
public struct Weak<Value: AnyObject> {
    public weak var value: Value?
    public init(_ value: Value) { self.value = value }
}

/// Carries a value that belongs to a loop through other threads; only on the loop can it be opened.
public struct LoopBound<Value>: @unchecked Sendable {
    // Unchecked, because `value` is handed out on the loop's thread alone, and the check is made at run time.
    private let loop: EventLoop
    private let wrapped: Value

    public init(_ value: Value, on loop: EventLoop) {
        self.loop = loop
        wrapped = value
    }

    public var value: Value {
        loop.preconditionInLoop()
        return wrapped
    }
}
