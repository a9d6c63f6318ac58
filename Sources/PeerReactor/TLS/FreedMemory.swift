internal import CLinux
internal import PeerCore
internal import Synchronization

/// Gives the memory of closed TLS connections back to the system: each leaves some 15 KiB in small pieces, which the
/// allocator would keep for good (malloc_trim(3)).
public final class FreedMemory {
    private static let interval = Instant.Span.seconds(2)
    /// Fewer closed connections are not worth the walk through the heap.
    private static let worthwhile = 256
    private static let closed = Atomic<Int>(0)

    private let loop: EventLoop

    public init(on loop: EventLoop) { self.loop = loop }

    /// Looks again and again, for as long as the loop runs.
    public func start() {
        loop.schedule(after: Self.interval) { [self] in
            if Self.closed.load(ordering: .relaxed) >= Self.worthwhile {
                Self.closed.store(0, ordering: .relaxed)
                // Off the loop: it takes milliseconds where the heap is large.
                try? SystemThread.detach { clinux_trim_heap() }
            }
            start()
        }
    }

    static func noteClosed() { closed.wrappingAdd(1, ordering: .relaxed) }
}
