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
    func keep(_ bytes: some Collection<UInt8>, _ flow: inout Flow, andHeld held: Int = 0) {
        flow.spill = Array(bytes)
        flow.spillStart = 0
        flow.counted = Int32(flow.spill.count + held)
        loop.buffered += Int(flow.counted)
    }

    func spliceIn(_ flow: inout Flow, _ isLeftToRight: Bool) -> Int? {
        if flow.pipe == nil { flow.pipe = loop.pipes.take() }
        guard let pipe = flow.pipe else {
            flow.fullReads = 0
            return copy(&flow, isLeftToRight)
        }
        let most = loop.hasMoreBulk ? Self.sharedChunk : Self.spliceChunk
        switch source(isLeftToRight, { $0.splice(into: pipe.writeEnd, upTo: most) }) {
        case .bytes(let count):
            flow.inPipe = Int32(count)
            flow.bytes += UInt64(count)
            if count < Self.smallSplice { flow.fullReads = 0 }
            return count
        // At urgent bytes splice(2) stops, and says the same as at an empty socket or, after the other side's end,
        // as at the end. A read tells them apart.
        case .wouldBlock, .end: return copy(&flow, isLeftToRight)
        case .failed: return nil
        }
    }

    func flush(_ flow: inout Flow, _ isLeftToRight: Bool) -> Bool {
        if flow.inPipe > 0, let pipe = flow.pipe {
            let count = Int(flow.inPipe)
            switch sink(isLeftToRight, { $0.splice(outOf: pipe.readEnd, count: count) }) {
            case .bytes(let moved):
                flow.inPipe -= Int32(moved)
                flow.room = 0
            case .wouldBlock:
                flow.isWritable = false
                flow.room = 0
            case .end, .failed: return false
            }
            return true
        }
        let start = Int(flow.spillStart)
        let outcome = flow.spill.withUnsafeBytes { spill in
            sink(isLeftToRight, { $0.write(UnsafeRawBufferPointer(rebasing: spill[start...])) })
        }
        switch outcome {
        case .bytes(let written):
            flow.spillStart += Int32(written)
            if flow.spillStart == flow.spill.count { dropSpill(&flow) }
        case .wouldBlock: flow.isWritable = false
        case .end, .failed: return false
        }
        return true
    }

    func dropSpill(_ flow: inout Flow) {
        loop.buffered -= Int(flow.counted)
        flow.counted = 0
        flow.spill = []
        flow.spillStart = 0
    }

    func dropPipe(_ flow: inout Flow) {
        guard let pipe = flow.pipe else { return }
        loop.pipes.giveBack(pipe, isEmpty: flow.inPipe == 0)
        flow.pipe = nil
    }
}
