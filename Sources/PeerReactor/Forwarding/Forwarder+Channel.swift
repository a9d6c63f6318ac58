import Glibc
internal import PeerCore
internal import PeerWire

/// The part of a forwarder that has a data channel with frames at one end (docs/protocol.md, "Data channels").
///
/// The end of a visitor's direction is a frame instead of a FIN, so the connection outlives the visitor. So it does
/// when the visitor was reset, as long as that can be said and heard at once (`ChannelRecovery`); else the channel is
/// reset too. Bulk over plaintext says `raw`, and is from there on what it is without frames; that channel is not used
/// again. What may come and be said is the machine's decision, which is asked at the borders of frames only.
extension Forwarder {
    struct Channel {
        var reader = ChannelFrameReader()
        /// Read off the channel, not walked over yet. At the end, what came behind the visitor.
        var input: [UInt8]
        var machine: ChannelMachine
        /// At the listener the channel is on the left, at the announcer on the right.
        let isLeft: Bool

        init(on side: Side, input: [UInt8], allowsRaw: Bool) {
            isLeft = side == .left
            machine = ChannelMachine(isLeft ? .listener : .announcer, .visiting, allowsRaw: allowsRaw)
            self.input = input
        }
    }

    /// - Parameter stream: the channel, where each end has said its last word on the visitor.
    func part(with stream: consuming Stream?, _ channel: Channel) {
        var machine = channel.machine
        guard let stream = consume stream else { return partedWithChannel(nil, []) }
        if let word = machine.part(), !stream.sendAtOnce(word) { return partedWithChannel(nil, []) }
        partedWithChannel(stream, channel.input)
    }

    func isToChannel(_ isLeftToRight: Bool) -> Bool { channel?.isLeft == !isLeftToRight }

    /// Whether this direction goes to the channel, and its last frame is written or waits.
    func hasSaidLast(_ isLeftToRight: Bool) -> Bool {
        guard let channel, channel.isLeft == !isLeftToRight else { return false }
        return channel.machine.hasSaidLast
    }

    /// This direction has ended; with the other one before it, so has the visitor.
    func sayLastWord(_ direction: inout Direction) {
        if let word = channel?.machine.end(isPassedOn: isOneWayDone) { keep(word, &direction) }
    }

    /// Bytes read, or `nil` when a side broke.
    func carryFrames(_ direction: inout Direction, _ isLeftToRight: Bool, _ isBulk: Bool) -> Int? {
        guard isToChannel(isLeftToRight) else { return unframe(&direction, isLeftToRight) }
        guard isBulk else { return frame(&direction, isLeftToRight) }
        direction.isFramed = false
        if let word = channel?.machine.goRaw() { keep(word, &direction) }
        return 0
    }

    /// Reads behind a few free bytes and writes the header in front: no copy, and one call each.
    private func frame(_ direction: inout Direction, _ isLeftToRight: Bool) -> Int? {
        let header = ChannelFrame.headerByteCount
        guard let taken = allowed(&direction, isLeftToRight) else { return 0 }
        let room = min(ChannelFrame.maximumPayload, taken)
        let buffer = UnsafeMutableRawBufferPointer(start: loop.buffer.baseAddress.map { $0 + header }, count: room)
        let outcome = source(isLeftToRight, { $0.read(into: buffer) })
        if let allowance { giveBack(taken, outcome, to: allowance, isLeftToRight) }
        guard let count = took(outcome, of: room, &direction, isLeftToRight) else { return nil }
        guard count > 0 else { return 0 }
        direction.bytes += UInt64(count)
        ChannelFrame.write(.bytes, count: count, into: loop.buffer)
        let frame = UnsafeRawBufferPointer(rebasing: loop.buffer[..<(header + count)])
        return pass(frame, &direction, isLeftToRight) ? count : nil
    }

    /// Reads frames and passes their payloads on in one piece.
    private func unframe(_ direction: inout Direction, _ isLeftToRight: Bool) -> Int? {
        var count = takeInput()
        let isFromInput = count > 0
        if count == 0 {
            guard let some = readFrames(&direction, isLeftToRight) else { return nil }
            guard some > 0 else {
                // A connection that just ends was cut in the middle of a visitor.
                return direction.sawEnd ? breach(&direction) : 0
            }
            count = some
        }
        assert(allowance == nil || !isFromInput, "bytes read before were not taken out of the allowance")
        let (payload, last, walked) = walk(loop.buffer, count)
        direction.bytes += UInt64(payload.count)
        if let allowance, count > payload.count { allowance.putBack(count - payload.count, isLeftToRight) }
        var isPassed = true
        if !payload.isEmpty {
            isPassed = pass(UnsafeRawBufferPointer(rebasing: loop.buffer[payload]), &direction, isLeftToRight)
        }
        if case .nothing = last { return isPassed ? count : nil }
        switch channel?.hear(last) ?? .breach {
        case .goesOn: break
        case .raw: direction.isFramed = false
        case .ended, .broken:
            direction.sawEnd = true
            channel?.input = Array(loop.buffer[walked..<count])
            if case .broken = last { return nil }
        case .ready, .breach: return breach(&direction)
        }
        return isPassed ? count : nil
    }

    private func breach(_ direction: inout Direction) -> Int? {
        direction.sawEnd = false
        channel?.machine.breach()
        return nil
    }

    /// Puts what was read before into the loop's buffer; says how much that is.
    private func takeInput() -> Int {
        // Looked at in place first: nearly always there is none, and to take it out counts references.
        guard channel?.input.isEmpty == false, let input = channel?.input else { return 0 }
        let count = min(input.count, loop.buffer.count)
        channel?.input = Array(input.dropFirst(count))
        loop.buffer.copyBytes(from: input.prefix(count))
        return count
    }

    private func readFrames(_ direction: inout Direction, _ isLeftToRight: Bool) -> Int? {
        guard let room = allowed(&direction, isLeftToRight) else { return 0 }
        let buffer = UnsafeMutableRawBufferPointer(start: loop.buffer.baseAddress, count: room)
        let outcome = source(isLeftToRight, { $0.read(into: buffer) })
        if let allowance { giveBack(buffer.count, outcome, to: allowance, isLeftToRight) }
        return took(outcome, of: buffer.count, &direction, isLeftToRight)
    }

    /// Moves the payloads of the frames in the buffer's first bytes together; a single one stays where it is.
    private func walk(
        _ buffer: UnsafeMutableRawBufferPointer, _ count: Int
    ) -> (payload: Range<Int>, last: ChannelFrameReader.Piece, walked: Int) {
        var reader = channel?.reader ?? ChannelFrameReader()
        defer { channel?.reader = reader }
        let read = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        var payload = 0..<0
        var offset = 0
        func join(_ range: Range<Int>) {
            if payload.isEmpty { return payload = range }
            if let base = buffer.baseAddress {
                memmove(base + payload.upperBound, base + range.lowerBound, range.count)
            }
            payload = payload.lowerBound..<(payload.upperBound + range.count)
        }
        while true {
            let piece = reader.next(in: read, from: &offset)
            switch piece {
            case .bytes(let range): join(range)
            case .raw where isSpliceable:
                if offset < count { join(offset..<count) }
                return (payload, piece, count)
            default: return (payload, piece, offset)
            }
        }
    }
}

extension Forwarder.Channel {
    /// What a piece that was read means here.
    mutating func hear(_ piece: ChannelFrameReader.Piece) -> ChannelMachine.Step {
        switch piece {
        case .bytes: return machine.hear(.bytes)
        case .end: return machine.hear(.end)
        case .broken: return machine.hear(.broken)
        case .ready: return machine.hear(.ready)
        case .alive: return machine.hear(.alive)
        case .raw: return machine.hear(.raw)
        case .nothing: return .goesOn
        case .breach:
            machine.breach()
            return .breach
        }
    }
}
