internal import PeerWire

/// A turn of a forwarder: each direction reads and writes until its source is empty, its sink full, or its share of the
/// turn used up.
extension Forwarder {
    /// A read takes so much of a turn however little it brings: small records cost as much as large ones.
    private static let leastTurn = 65_536
    /// The same of what is passed on at an end.
    private static let leastRest = 4_096

    func pump() {
        assert(!isLentOut, "a forwarder was called from within its own turn")
        guard !isConnecting, left != nil else { return }
        var isHungry = false
        isLentOut = true
        let isWhole =
            pumpOne(&leftToRight, isLeftToRight: true, &isHungry)
            && pumpOne(&rightToLeft, isLeftToRight: false, &isHungry)
        isLentOut = false
        guard isWhole else { return broken() }
        if leftToRight.isDone, rightToLeft.isDone { return finish(.clean) }
        if isHungry { loop.againWithBulk(self) }
    }

    /// `false` when a side broke.
    private func pumpOne(_ direction: inout Direction, isLeftToRight: Bool, _ isHungry: inout Bool) -> Bool {
        var budget = EventLoop.turn
        while !direction.isDone {
            if direction.inPipe > 0 || direction.spillStart < direction.spill.count {
                guard direction.isWritable else { return true }
                guard flush(&direction, isLeftToRight) else { return false }
                continue
            }
            if direction.sawEnd {
                if direction.isFramed, isToChannel(isLeftToRight) {
                    if !hasSaidLast(isLeftToRight) {
                        sayLastWord(&direction)
                        continue
                    }
                } else if !sinkShutdown(isLeftToRight) {
                    direction.isWritable = false
                    return true
                }
                dropPipe(&direction)
                direction.isDone = true
                isOneWayDone = true
                return true
            }
            guard direction.isReadable, !direction.isHeldBack else {
                if direction.inPipe == 0 { dropPipe(&direction) }
                return true
            }
            guard budget > 0 else {
                isHungry = true
                return true
            }
            let isBulk = direction.fullReads >= 2 && isSpliceable && allowance == nil
            let moved =
                direction.isFramed
                ? carryFrames(&direction, isLeftToRight, isBulk)
                : isBulk ? spliceIn(&direction, isLeftToRight) : copy(&direction, isLeftToRight)
            guard let moved else { return false }
            budget -= max(moved, Self.leastTurn)
        }
        return true
    }

    /// Bytes read, or `nil` when a side broke.
    func copy(_ direction: inout Direction, _ isLeftToRight: Bool) -> Int? {
        guard let room = allowed(&direction, isLeftToRight) else { return 0 }
        let buffer = UnsafeMutableRawBufferPointer(start: loop.buffer.baseAddress, count: room)
        let outcome = source(isLeftToRight, { $0.read(into: buffer) })
        if let allowance { giveBack(buffer.count, outcome, to: allowance, isLeftToRight) }
        guard let count = took(outcome, of: buffer.count, &direction, isLeftToRight) else { return nil }
        guard count > 0 else { return 0 }
        direction.bytes += UInt64(count)
        return pass(UnsafeRawBufferPointer(rebasing: buffer[..<count]), &direction, isLeftToRight) ? count : nil
    }

    /// Notes what a read says of the source. How many bytes it brought; `nil` when the source broke.
    @inline(__always)
    func took(_ outcome: Stream.Outcome, of room: Int, _ direction: inout Direction, _ isLeftToRight: Bool) -> Int? {
        switch outcome {
        case .wouldBlock:
            direction.isReadable = false
            return 0
        case .end:
            direction.sawEnd = true
            return 0
        case .failed: return nil
        case .bytes(let count):
            if count < room {
                // Saves the call that would say so.
                if !direction.distrustsShortReads, isSourceDrained(isLeftToRight) { direction.isReadable = false }
                direction.fullReads = 0
            } else if room >= ChannelFrame.maximumPayload {
                direction.fullReads = min(direction.fullReads + 1, 2)
            }
            return count
        }
    }

    /// Writes bytes of the loop's buffer, and keeps what the sink does not take. `false` when it broke.
    @inline(__always)
    func pass(_ bytes: UnsafeRawBufferPointer, _ direction: inout Direction, _ isLeftToRight: Bool) -> Bool {
        var written = 0
        if direction.isWritable {
            switch sink(isLeftToRight, { $0.write(bytes) }) {
            case .bytes(let some): written = some
            case .wouldBlock: break
            case .end, .failed: return false
            }
        }
        direction.room &-= Int32(truncatingIfNeeded: written)
        if written < bytes.count {
            direction.isWritable = false
            direction.room = 0
            keep(bytes[written...], &direction, andHeld: (left?.held ?? 0) + (right?.held ?? 0))
        }
        return true
    }

    func passRestOn(_ direction: inout Direction, isLeftToRight: Bool) {
        guard direction.inPipe == 0, direction.spill.isEmpty, !direction.sawEnd else { return }
        var budget = EventLoop.turn
        while budget > 0, direction.spill.isEmpty, !direction.sawEnd, !hasSaidLast(isLeftToRight),
            let moved = direction.isFramed
                ? carryFrames(&direction, isLeftToRight, false) : copy(&direction, isLeftToRight), moved > 0
        {
            budget -= max(moved, Self.leastRest)
        }
    }
}
