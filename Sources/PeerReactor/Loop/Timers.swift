internal import PeerCore

/// A deadline on a loop. Belongs to that loop.
public final class LoopTimer {
    let deadline: Instant
    private var body: (() -> Void)?

    init(deadline: Instant, body: @escaping () -> Void) {
        self.deadline = deadline
        self.body = body
    }

    /// It will not fire; what it holds is let go at once.
    public func cancel() { body = nil }

    var isCancelled: Bool { body == nil }

    func fire() {
        let body = self.body
        self.body = nil
        body?()
    }
}

/// Timers by deadline: a binary heap. Cancelled ones leave when they reach the top, or when they are the majority.
struct TimerHeap {
    private var timers: [LoopTimer] = []

    var next: Instant? { timers.first?.deadline }
    var count: Int { timers.count }

    mutating func insert(_ timer: LoopTimer) {
        if timers.count > 64, timers.count == timers.capacity { dropCancelled() }
        timers.append(timer)
        var child = timers.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard timers[child].deadline < timers[parent].deadline else { break }
            timers.swapAt(child, parent)
            child = parent
        }
    }

    mutating func popDue(at now: Instant) -> LoopTimer? {
        while let first = timers.first, first.isCancelled || first.deadline <= now {
            removeFirst()
            if !first.isCancelled { return first }
        }
        return nil
    }

    private mutating func removeFirst() {
        let last = timers.removeLast()
        guard !timers.isEmpty else { return }
        timers[0] = last
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < timers.count else { break }
            if child + 1 < timers.count, timers[child + 1].deadline < timers[child].deadline { child += 1 }
            guard timers[child].deadline < timers[parent].deadline else { break }
            timers.swapAt(child, parent)
            parent = child
        }
    }

    private mutating func dropCancelled() {
        let kept = timers.filter { !$0.isCancelled }
        guard kept.count <= timers.count / 2 else { return }
        // A sorted array is a heap.
        timers = kept.sorted { $0.deadline < $1.deadline }
    }
}
