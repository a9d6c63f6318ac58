internal import PeerCore
internal import PeerReactor

/// What the frames of one session may take of the control loop before others have their turn: 32 of them, or 1 ms.
struct FrameTurn {
    private static let frames = 32
    private static let span = Instant.Span.milliseconds(1)

    private var left = Self.frames
    private let deadline = SystemClock.now + Self.span

    /// Whether there is time for one more; for the first one always.
    mutating func hasRoom() -> Bool {
        defer { left -= 1 }
        return left == Self.frames || left > 0 && SystemClock.now < deadline
    }
}
