import PeerWire
import Testing

@Suite struct ChannelFrameTests {
    /// The pieces of some chunks, neighbouring bytes joined.
    private func pieces(_ chunks: [[UInt8]]) -> [String] {
        var found: [String] = []
        var bytes: [UInt8] = []
        var reader = ChannelFrameReader()
        func flush() {
            if !bytes.isEmpty { found.append("\(bytes)") }
            bytes = []
        }
        for chunk in chunks {
            chunk.withUnsafeBytes { buffer in
                var offset = 0
                walk: while true {
                    let piece = reader.next(in: buffer, from: &offset)
                    switch piece {
                    case .nothing: break walk
                    case .bytes(let range): bytes += chunk[range]
                    default:
                        flush()
                        found.append("\(piece)")
                        if piece == .breach { break walk }
                    }
                }
                #expect(offset <= buffer.count)
            }
        }
        flush()
        return found
    }

    static let long = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    static let dialogue =
        ChannelFrame.alive + ChannelFrame.framed(long) + ChannelFrame.framed([1]) + ChannelFrame.framed([2, 3])
        + ChannelFrame.end

    @Test func `frames are the same whole, joined, cut anywhere and byte by byte`() {
        let expected = ["alive", "\(Self.long + [1, 2, 3])", "end"]
        #expect(pieces([Self.dialogue]) == expected)
        #expect(pieces(Self.dialogue.map { [$0] }) == expected)
        let tail = ChannelFrame.framed([9, 8]) + ChannelFrame.raw
        for cut in 0...tail.count {
            #expect(pieces([Array(tail.prefix(cut)), [], Array(tail.dropFirst(cut))]) == ["[9, 8]", "raw"])
        }
    }

    @Test func `nothing is taken out of the buffer, and eight bytes are kept`() {
        #expect(MemoryLayout<ChannelFrameReader>.size == 8)
        let bytes = ChannelFrame.framed([5, 6, 7]) + ChannelFrame.ready
        bytes.withUnsafeBytes { buffer in
            var (reader, offset) = (ChannelFrameReader(), 0)
            #expect(reader.next(in: buffer, from: &offset) == .bytes(4..<7))
            #expect(reader.next(in: buffer, from: &offset) == .ready)
            #expect(offset == bytes.count && reader.isBetweenFrames)
        }
    }

    @Test(
        arguments: [
            [0], [1, 0, 0, 39], [2, 0, 0, 0], [2, 0, 0xff, 0xfd], [2, 1, 0, 0], [3, 0, 0, 1], [4, 0, 1, 0],
            [5, 1, 0, 0],
            [6, 0, 0, 1], [7, 0, 0, 1], [8, 0, 0, 0], [0x16, 3, 1, 0],
        ] as [[UInt8]])
    func `what is no frame of a visitor is a breach, and stays one`(bytes: [UInt8]) {
        #expect(pieces([ChannelFrame.framed([1]) + bytes]) == ["[1]", "breach"])
        #expect(pieces((ChannelFrame.framed([1]) + bytes).map { [$0] }) == ["[1]", "breach"])
        #expect(pieces([bytes, ChannelFrame.end]) == ["breach", "breach"])
    }

    @Test func `a header is written in front of a payload as it is made`() {
        for count in [1, 255, 256, ChannelFrame.maximumPayload] {
            var place = [UInt8](repeating: 0xee, count: 6)
            place.withUnsafeMutableBytes { ChannelFrame.write(.bytes, count: count, into: $0) }
            #expect(place == ChannelFrame.header(.bytes, count: count) + [0xee, 0xee])
        }
        #expect(ChannelFrame.header(.bytes, count: 65_532) == [2, 0, 0xff, 0xfc])
    }

    @Test func `the first bytes of a visitor are found as far as they came`() {
        let bytes = ChannelFrame.framed([1, 2]) + ChannelFrame.framed([3, 4])
        #expect(
            (0...bytes.count).map { ChannelFrame.opening(of: Array(bytes.prefix($0))).payload.count }
                == [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 3, 4])
        for end in [ChannelFrame.end, ChannelFrame.ready, [0]] {
            let opening = ChannelFrame.opening(of: bytes + end + ChannelFrame.framed([5]))
            #expect(opening.payload == [1, 2, 3, 4] && opening.isEnded)
        }
        #expect(!ChannelFrame.opening(of: bytes).isEnded)
    }
}
