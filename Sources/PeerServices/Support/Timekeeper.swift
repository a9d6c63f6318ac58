internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// The time that a part of a node goes by: its event loop's, or a simulation's.
protocol Timekeeper: AnyObject {
    func clock() -> Instant
    func wall() -> WallTime
    /// Whether something keeps `wall` in step with a source of time.
    var isSynchronized: Bool { get }
    /// Calls `body` once, unless it is cancelled before.
    func wake(after span: Instant.Span, _ body: @escaping () -> Void) -> any Wake
}

/// A call that is to come.
protocol Wake: AnyObject {
    func cancel()
}

extension LoopTimer: Wake {}

extension EventLoop: Timekeeper {
    var isSynchronized: Bool { SystemClock.isSynchronized }

    func wake(after span: Instant.Span, _ body: @escaping () -> Void) -> any Wake { schedule(after: span, body) }
}
