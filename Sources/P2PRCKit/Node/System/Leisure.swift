internal import PeerCore
internal import PeerReactor

/// Something that is done after changes, and may take long: after each time the loop has nine times as long for others.
struct Leisure {
    private static let share: UInt64 = 9
    private var next = Instant.zero

    var isDue: Bool { SystemClock.now >= next }

    mutating func done(since start: Instant) {
        let end = SystemClock.now
        next = end + (end - start) * Self.share
    }
}
