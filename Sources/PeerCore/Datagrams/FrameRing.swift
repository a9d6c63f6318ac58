/// Which frames wait for a stream, and where each has its place in a ring of bytes that somebody else holds. Whoever
/// waits for an answer in a game or a call has no use for what is a second old, so the oldest give way: to newer ones
/// when there is no room, and to nobody when they have waited too long. No I/O, no clock, no bytes.
///
/// Each frame lies in one piece. All room is taken when the ring is made.
public struct FrameRing: Sendable {
    public struct Limits: Hashable, Sendable {
        /// Of a line of 2 Mbit/s it is what a second carries; of a slower one the age decides.
        public var bytes = 256 * 1_024
        /// Many small ones are as old as a few large ones.
        public var frames = 1_024
        /// Nothing that waited longer is handed out.
        public var age = Instant.Span.seconds(1)

        public init() {}
    }

    private struct Entry {
        var start: Int
        var count: Int
        var came: Instant
        var end: Int { start + count }
    }

    public let limits: Limits
    /// The frames that wait: `count` from `first` on, around the end.
    private var entries: [Entry]
    private var first = 0
    public private(set) var count = 0
    /// Frames that gave way.
    public private(set) var dropped: UInt64 = 0

    public init(_ limits: Limits = Limits()) {
        self.limits = limits
        entries = Array(repeating: Entry(start: 0, count: 0, came: .zero), count: max(1, limits.frames))
    }

    public var isEmpty: Bool { count == 0 }

    /// A frame comes; others may give way to it.
    ///
    /// - Parameter length: in bytes, 1 or more.
    /// - Returns: where its bytes go; `nil`: it is longer than the ring.
    public mutating func push(_ length: Int, at now: Instant) -> Int? {
        guard length > 0, length <= limits.bytes else { return nil }
        expire(at: now)
        if count == entries.count { drop() }
        var place = room(for: length)
        while place == nil {
            drop()
            place = room(for: length)
        }
        guard let place else { return nil }
        entries[index(count)] = Entry(start: place, count: length, came: now)
        count += 1
        return place
    }

    /// The oldest frame is taken out, with those that came next, lie right behind it and fit in.
    ///
    /// - Parameter length: in bytes; the first one may be longer.
    /// - Returns: where they are; until the next `push` nothing is written there.
    public mutating func take(upTo length: Int, at now: Instant) -> Range<Int>? {
        expire(at: now)
        guard count > 0 else { return nil }
        let start = entries[first].start
        var end = start
        repeat {
            end = entries[first].end
            removeFirst()
        } while count > 0 && entries[first].start == end && entries[first].end - start <= length
        return start..<end
    }

    /// Where so many bytes may go; `nil` while there is no such place.
    private func room(for length: Int) -> Int? {
        guard count > 0 else { return 0 }
        let start = entries[first].start
        let last = entries[index(count - 1)]
        if last.start < start { return last.end + length <= start ? last.end : nil }
        if last.end + length <= limits.bytes { return last.end }
        return length <= start ? 0 : nil
    }

    private func index(_ place: Int) -> Int {
        let index = first + place
        return index < entries.count ? index : index - entries.count
    }

    private mutating func expire(at now: Instant) {
        while count > 0, now - entries[first].came > limits.age { drop() }
    }

    private mutating func drop() {
        removeFirst()
        dropped += 1
    }

    private mutating func removeFirst() {
        first = index(1)
        count -= 1
    }
}
