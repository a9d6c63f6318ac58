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
    private func pumpOne(_ flow: inout Flow, isLeftToRight: Bool, _ isHungry: inout Bool) -> Bool {
        var budget = EventLoop.turn
        while !flow.isDone {
            if flow.inPipe > 0 || flow.spillStart < flow.spill.count {
                guard flow.isWritable else { return true }
                guard flush(&flow, isLeftToRight) else { return false }
                continue
            }
            if flow.sawEnd {
                if flow.isFramed, isToChannel(isLeftToRight) {
                    if !hasSaidLast(isLeftToRight) {
                        sayLastWord(&flow)
                        continue
                    }
                } else if !sinkShutdown(isLeftToRight) {
                    flow.isWritable = false
                    return true
                }
                dropPipe(&flow)
                flow.isDone = true
                isOneWayDone = true
                return true
            }
            guard flow.isReadable, !flow.isHeldBack else {
                if flow.inPipe == 0 { dropPipe(&flow) }
                return true
            }
            guard budget > 0 else {
                isHungry = true
                return true
            }
            let isBulk = flow.fullReads >= 2 && isSpliceable && allowance == nil
            let moved =
                flow.isFramed
                ? carryFrames(&flow, isLeftToRight, isBulk)
                : isBulk ? spliceIn(&flow, isLeftToRight) : copy(&flow, isLeftToRight)
            guard let moved else { return false }
            budget -= max(moved, Self.leastTurn)
        }
        return true
    }

    /// Bytes read, or `nil` when a side broke.
    func copy(_ flow: inout Flow, _ isLeftToRight: Bool) -> Int? {
        guard let room = allowed(&flow, isLeftToRight) else { return 0 }
        let buffer = UnsafeMutableRawBufferPointer(start: loop.buffer.baseAddress, count: room)
        let outcome = source(isLeftToRight, { $0.read(into: buffer) })
        if let allowance { giveBack(buffer.count, outcome, to: allowance, isLeftToRight) }
        guard let count = took(outcome, of: buffer.count, &flow, isLeftToRight) else { return nil }
        guard count > 0 else { return 0 }
        flow.bytes += UInt64(count)
        return pass(UnsafeRawBufferPointer(rebasing: buffer[..<count]), &flow, isLeftToRight) ? count : nil
    }

    /// Notes what a read says of the source. How many bytes it brought; `nil` when the source broke.
    @inline(__always)
    func took(_ outcome: Stream.Outcome, of room: Int, _ flow: inout Flow, _ isLeftToRight: Bool) -> Int? {
        switch outcome {
        case .wouldBlock:
            flow.isReadable = false
            return 0
        case .end:
            flow.sawEnd = true
            return 0
        case .failed: return nil
        case .bytes(let count):
            if count < room {
                // Saves the call that would say so.
                if !flow.distrustsShortReads, isSourceDrained(isLeftToRight) { flow.isReadable = false }
                flow.fullReads = 0
            } else if room >= ChannelFrame.maximumPayload {
                flow.fullReads = min(flow.fullReads + 1, 2)
            }
            return count
        }
    }

    /// Writes bytes of the loop's buffer, and keeps what the sink does not take. `false` when it broke.
    @inline(__always)
    func pass(_ bytes: UnsafeRawBufferPointer, _ flow: inout Flow, _ isLeftToRight: Bool) -> Bool {
        var written = 0
        if flow.isWritable {
            switch sink(isLeftToRight, { $0.write(bytes) }) {
            case .bytes(let some): written = some
            case .wouldBlock: break
            case .end, .failed: return false
            }
        }
        flow.room &-= Int32(truncatingIfNeeded: written)
        if written < bytes.count {
            flow.isWritable = false
            flow.room = 0
            keep(bytes[written...], &flow, andHeld: (left?.held ?? 0) + (right?.held ?? 0))
        }
        return true
    }

    func passRestOn(_ flow: inout Flow, isLeftToRight: Bool) {
        guard flow.inPipe == 0, flow.spill.isEmpty, !flow.sawEnd else { return }
        var budget = EventLoop.turn
        while budget > 0, flow.spill.isEmpty, !flow.sawEnd, !hasSaidLast(isLeftToRight),
            let moved = flow.isFramed ? carryFrames(&flow, isLeftToRight, false) : copy(&flow, isLeftToRight), moved > 0
        {
            budget -= max(moved, Self.leastRest)
        }
    }
}
