import PeerCore

/// What is due, earliest first; what is due at one time in the order it was added.
package struct EventQueue {
    private struct Entry {
        var instant: Instant
        var order: UInt64
        var body: () -> Void

        static func < (left: Entry, right: Entry) -> Bool {
            left.instant == right.instant ? left.order < right.order : left.instant < right.instant
        }
    }

    private var heap: [Entry] = []
    private var added: UInt64 = 0

    package init() {}

    package mutating func add(_ instant: Instant, _ body: @escaping () -> Void) {
        added += 1
        heap.append(Entry(instant: instant, order: added, body: body))
        var child = heap.count - 1
        while child > 0, heap[child] < heap[(child - 1) / 2] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    package mutating func next(until end: Instant) -> (Instant, () -> Void)? {
        guard let first = heap.first, first.instant <= end else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            if least == parent { break }
            heap.swapAt(parent, least)
            parent = least
        }
        return (first.instant, first.body)
    }
}
