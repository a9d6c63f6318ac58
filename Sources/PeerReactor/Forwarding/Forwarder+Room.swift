internal import PeerCore

/// How much a forwarder reads ahead of its sink (docs/performance.md, "A visitor who stops reading").
///
/// What is read and not taken waits in this process, so no more is read than the sink has room for. The system says how
/// much that is; what it said lasts until little of it is left, so a direction that moves little or fast asks seldom.
extension Forwarder {
    /// With less known room than this the sink is asked again.
    private static let scarceRoom: Int32 = 16_384
    /// As much as the loop's buffer holds.
    private static let mostRead: Int32 = 65_536
    /// Read at the least, however full the sink is. Its refusal is what makes the system tell when it takes more.
    private static let leastRead = 2_048

    /// Bytes to read next, at most one buffer.
    @inline(__always)
    func readable(_ direction: inout Direction, _ isLeftToRight: Bool) -> Int {
        if direction.room < Self.scarceRoom { askForRoom(&direction, isLeftToRight) }
        return Int(min(direction.room, Self.mostRead))
    }

    private func askForRoom(_ direction: inout Direction, _ isLeftToRight: Bool) {
        let free = freeAtSink(isLeftToRight)
        // Records and frames make a little more of it.
        direction.room = Int32(clamping: max(Self.leastRead, free - free >> 6))
    }

    /// How much may be read now; `nil`: nothing, until a timer says so.
    @inline(__always)
    func allowed(_ direction: inout Direction, _ isLeftToRight: Bool) -> Int? {
        let room = readable(&direction, isLeftToRight)
        guard let allowance else { return room }
        return allowed(upTo: room, by: allowance, &direction, isLeftToRight)
    }

    private func allowed(
        upTo most: Int, by allowance: any ByteAllowance, _ direction: inout Direction, _ isLeftToRight: Bool
    ) -> Int? {
        let room = allowance.take(upTo: most, isLeftToRight, at: loop.now)
        guard room == 0 else { return room }
        direction.isHeldBack = true
        let wait = max(allowance.ready(isLeftToRight), loop.now) - loop.now
        loop.schedule(after: wait) { [weak self] in
            if isLeftToRight { self?.leftToRight.isHeldBack = false } else { self?.rightToLeft.isHeldBack = false }
            self?.pump()
        }
        return nil
    }

    func giveBack(
        _ taken: Int, _ outcome: Stream.Outcome, to allowance: any ByteAllowance, _ isLeftToRight: Bool
    ) {
        var used = 0
        if case .bytes(let count) = outcome { used = count }
        assert(used <= taken, "more was read than was allowed")
        if used < taken { allowance.putBack(taken - used, isLeftToRight) }
    }
}
