/// What a forwarder has read and its sink not taken: it waits in a pipe, or in a spill, and nothing is read meanwhile.
extension Forwarder {
    private static let spliceChunk = 1 << 20
    /// The same where others move bulk, too: small pieces wait for one such piece (docs/performance.md, "Beside bulk").
    private static let sharedChunk = 1 << 19
    /// Splices smaller than this are cheaper copied.
    private static let smallSplice = 8_192

    /// Nothing waits yet.
    ///
    /// - Parameter held: bytes that the streams hold beside.
    func keep(_ bytes: some Collection<UInt8>, _ direction: inout Direction, andHeld held: Int = 0) {
        direction.spill = Array(bytes)
        direction.spillStart = 0
        direction.counted = Int32(direction.spill.count + held)
        loop.buffered += Int(direction.counted)
    }

    func spliceIn(_ direction: inout Direction, _ isLeftToRight: Bool) -> Int? {
        if direction.pipe == nil { direction.pipe = loop.pipes.take() }
        guard let pipe = direction.pipe else {
            direction.fullReads = 0
            return copy(&direction, isLeftToRight)
        }
        let most = loop.hasMoreBulk ? Self.sharedChunk : Self.spliceChunk
        switch source(isLeftToRight, { $0.splice(into: pipe.writeEnd, upTo: most) }) {
        case .bytes(let count):
            direction.inPipe = Int32(count)
            direction.bytes += UInt64(count)
            if count < Self.smallSplice { direction.fullReads = 0 }
            return count
        // At urgent bytes splice(2) stops, and says the same as at an empty socket or, after the other side's end,
        // as at the end. A read tells them apart.
        case .wouldBlock, .end: return copy(&direction, isLeftToRight)
        case .failed: return nil
        }
    }

    func flush(_ direction: inout Direction, _ isLeftToRight: Bool) -> Bool {
        if direction.inPipe > 0, let pipe = direction.pipe {
            let count = Int(direction.inPipe)
            switch sink(isLeftToRight, { $0.splice(outOf: pipe.readEnd, count: count) }) {
            case .bytes(let moved):
                direction.inPipe -= Int32(moved)
                direction.room = 0
            case .wouldBlock:
                direction.isWritable = false
                direction.room = 0
            case .end, .failed: return false
            }
            return true
        }
        let start = Int(direction.spillStart)
        let outcome = direction.spill.withUnsafeBytes { spill in
            sink(isLeftToRight, { $0.write(UnsafeRawBufferPointer(rebasing: spill[start...])) })
        }
        switch outcome {
        case .bytes(let written):
            direction.spillStart += Int32(written)
            if direction.spillStart == direction.spill.count { dropSpill(&direction) }
        case .wouldBlock: direction.isWritable = false
        case .end, .failed: return false
        }
        return true
    }

    func dropSpill(_ direction: inout Direction) {
        loop.buffered -= Int(direction.counted)
        direction.counted = 0
        direction.spill = []
        direction.spillStart = 0
    }

    func dropPipe(_ direction: inout Direction) {
        guard let pipe = direction.pipe else { return }
        loop.pipes.giveBack(pipe, isEmpty: direction.inPipe == 0)
        direction.pipe = nil
    }
}
