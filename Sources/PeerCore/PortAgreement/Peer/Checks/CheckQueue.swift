/// Checks of one relay's public ports: as many at once as `CheckPace` allows, the others in the order in which they
/// were asked for. No I/O, no clock.
public struct CheckQueue<Check: Sendable>: Sendable {
    private var pace = CheckPace()
    private var underWay = 0
    private var waiting: [Check] = []

    public init() {}

    private var hasRoom: Bool { underWay < pace.limit }

    /// Whether a check may be made now; otherwise `next` gives it back in its turn.
    public mutating func admits(_ check: Check) -> Bool {
        if !hasRoom { waiting.append(check) }
        return hasRoom
    }

    public mutating func began() { underWay += 1 }

    public mutating func ended() { underWay -= 1 }

    /// It came through.
    public mutating func passed() { pace.answered() }

    /// Nothing answered.
    public mutating func failed() { pace.failed() }

    /// The one whose turn it is now, if there is room.
    public mutating func next() -> Check? { hasRoom && !waiting.isEmpty ? waiting.removeFirst() : nil }

    /// Those that wait were of a session that is gone.
    public mutating func sessionLost() { waiting = [] }
}
