import Glibc
internal import PeerWire

/// The part of a forwarder that has a data channel with frames at one end (docs/protocol.md, "Data channels").
///
/// The end of a visitor's direction is a frame instead of a FIN, so the connection outlives him. So it does when he was
/// reset, as long as that can be said and heard at once (`ChannelRecovery`); else the channel is reset too. Bulk over
/// plaintext says `raw`, and is from there on what it is without frames; that channel is not used again.
extension Forwarder {
    struct Channel {
        /// At the peer the channel is on the left, at the relay on the right.
        let isLeft: Bool
        var reader = ChannelFrameReader()
        /// Read off the channel, not walked over yet. At the end, what came behind the visitor.
        var input: [UInt8]
        /// No other visitor comes on it: one direction was given over to bytes without frames, or there was a breach.
        var isSpent = false
        var saidReady = false

        /// The peer says when it is through with a visitor; the relay waits for that before it announces the next.
        var owesReady: Bool { isLeft && !isSpent && !saidReady }
    }

    /// - Parameter stream: the channel, where each end has said its last word on the visitor.
    func part(with stream: consuming Stream?, _ channel: Channel) {
        guard let stream = consume stream, !channel.owesReady || stream.sendAtOnce(ChannelFrame.ready) else {
            return partedWithChannel(nil, [])
        }
        partedWithChannel(stream, channel.input)
    }

    func isToChannel(_ isLeftToRight: Bool) -> Bool { channel?.isLeft == !isLeftToRight }

    /// This direction has ended; with the other one before it, so has the visitor.
    func sayLastWord(_ flow: inout Flow) {
        flow.hasLastWord = true
        guard isOneWayDone, channel?.owesReady == true else { return keep(ChannelFrame.end, &flow) }
        channel?.saidReady = true
        keep(ChannelFrame.end + ChannelFrame.ready, &flow)
    }

    /// Bytes read, or `nil` when a side broke.
    func carryFrames(_ flow: inout Flow, _ isLeftToRight: Bool, _ isBulk: Bool) -> Int? {
        guard isToChannel(isLeftToRight) else { return unframe(&flow, isLeftToRight) }
        guard isBulk else { return frame(&flow, isLeftToRight) }
        flow.isFramed = false
        channel?.isSpent = true
        keep(ChannelFrame.raw, &flow)
        return 0
    }

    /// Reads behind a few free bytes and writes the header in front: no copy, and one call each.
    private func frame(_ flow: inout Flow, _ isLeftToRight: Bool) -> Int? {
        let header = ChannelFrame.headerByteCount
        guard let taken = allowed(&flow, isLeftToRight) else { return 0 }
        let room = min(ChannelFrame.maximumPayload, taken)
        let buffer = UnsafeMutableRawBufferPointer(rebasing: loop.buffer[header..<(header + room)])
        let outcome = source(isLeftToRight, { $0.read(into: buffer) })
        if let allowance { giveBack(taken, outcome, to: allowance, isLeftToRight) }
        guard let count = took(outcome, of: room, &flow, isLeftToRight) else { return nil }
        guard count > 0 else { return 0 }
        flow.bytes += UInt64(count)
        ChannelFrame.write(.bytes, count: count, into: loop.buffer)
        let frame = UnsafeRawBufferPointer(rebasing: loop.buffer[..<(header + count)])
        return pass(frame, &flow, isLeftToRight) ? count : nil
    }

    /// Reads frames and passes their payloads on in one piece.
    private func unframe(_ flow: inout Flow, _ isLeftToRight: Bool) -> Int? {
        var count = takeInput()
        let isFromInput = count > 0
        if count == 0 {
            guard let some = readFrames(&flow, isLeftToRight) else { return nil }
            guard some > 0 else {
                // A connection that just ends was cut in the middle of a visitor.
                return flow.sawEnd ? breach(&flow) : 0
            }
            count = some
        }
        assert(allowance == nil || !isFromInput, "bytes read before were not taken out of the allowance")
        let (payload, last, walked) = walk(loop.buffer, count)
        flow.bytes += UInt64(payload.count)
        if let allowance, count > payload.count { allowance.putBack(count - payload.count, isLeftToRight) }
        var isPassed = true
        if !payload.isEmpty {
            isPassed = pass(UnsafeRawBufferPointer(rebasing: loop.buffer[payload]), &flow, isLeftToRight)
        }
        switch last {
        case .nothing: break
        case .raw where isSpliceable:
            flow.isFramed = false
            channel?.isSpent = true
        case .end, .broken:
            flow.sawEnd = true
            channel?.input = Array(loop.buffer[walked..<count])
            if case .broken = last { return nil }
        case .bytes, .ready, .alive, .raw, .breach: return breach(&flow)
        }
        return isPassed ? count : nil
    }

    private func breach(_ flow: inout Flow) -> Int? {
        flow.sawEnd = false
        channel?.isSpent = true
        return nil
    }

    /// Puts what was read before into the loop's buffer; says how much that is.
    private func takeInput() -> Int {
        guard let input = channel?.input, !input.isEmpty else { return 0 }
        let count = min(input.count, loop.buffer.count)
        channel?.input = Array(input.dropFirst(count))
        loop.buffer.copyBytes(from: input.prefix(count))
        return count
    }

    private func readFrames(_ flow: inout Flow, _ isLeftToRight: Bool) -> Int? {
        guard let room = allowed(&flow, isLeftToRight) else { return 0 }
        let buffer = UnsafeMutableRawBufferPointer(rebasing: loop.buffer[..<room])
        let outcome = source(isLeftToRight, { $0.read(into: buffer) })
        if let allowance { giveBack(buffer.count, outcome, to: allowance, isLeftToRight) }
        return took(outcome, of: buffer.count, &flow, isLeftToRight)
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
