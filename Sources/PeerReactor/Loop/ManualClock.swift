public import PeerCore

/// Time that a test owns: it goes on when the test says so, and the loops that it drives find what is due then.
public final class ManualClock: Sendable {
    private struct State: Sendable {
        var now: Instant
        var wall: WallTime
        /// Of a second, what `wall` has not counted yet.
        var rest = Instant.Span.zero
        var loops: [WeakLoop] = []
    }

    private struct WeakLoop: Sendable {
        weak let loop: EventLoop?
    }

    private let state: Locked<State>

    public init(now: Instant = Instant(nanoseconds: 1_000_000_000), wall: WallTime) {
        state = Locked(State(now: now, wall: wall))
    }

    public var now: Instant { state.withLock(\.now) }
    public var wall: WallTime { state.withLock(\.wall) }

    func drives(_ loop: EventLoop) { state.withLock { $0.loops.append(WeakLoop(loop: loop)) } }

    /// The time goes on, and each loop has a turn. What is due is run after this returned; a job that a loop gets next
    /// (`execute`) comes after it.
    public func advance(by span: Instant.Span) {
        let loops = state.withLock { state in
            state.now = state.now + span
            state.rest = state.rest + span
            let seconds = state.rest.nanoseconds / 1_000_000_000
            state.wall = state.wall + Int64(seconds)
            state.rest = Instant.Span(nanoseconds: state.rest.nanoseconds % 1_000_000_000)
            return state.loops
        }
        for driven in loops { driven.loop?.execute {} }
    }
}
