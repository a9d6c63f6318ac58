import PeerWire
import Testing

@Suite struct FrameTests {
    static let all = Samples.messages.map(\.message.frame)
    static let joined = all.flatMap(\.bytes)

    @Test func `a frame is a type, a zero, a length and a payload`() {
        #expect(Frame(type: 0x21, payload: [7, 8, 9]).bytes == [0x21, 0, 0, 3, 7, 8, 9])
        #expect(Frame(type: 1, payload: .counting(from: 0, 0x1234)).bytes.prefix(4) == [1, 0, 0x12, 0x34])
        #expect(PeerMessage.ping(258).bytes == [0x10, 0, 0, 11, 1, 0, 8, 0, 0, 0, 0, 0, 0, 1, 2])
    }

    @Test(arguments: [1, 2, 3, 4, 5, 7, 64, 1_000, 1_000_000]) func `frames are found in chunks of any size`(
        size: Int
    ) throws {
        #expect(try frames(of: Self.joined, chunks: size) == Self.all)
    }

    @Test func `a frame is not there before its last byte`() throws {
        for frame in Self.all + [Frame(type: 9, payload: [])] {
            var decoder = FrameDecoder()
            for byte in frame.bytes.dropLast() {
                decoder.append([byte])
                #expect(try decoder.next() == nil)
            }
            decoder.append([frame.bytes.last!])
            #expect(try decoder.next() == frame)
            #expect(try decoder.next() == nil)
            #expect(decoder.bufferedByteCount == 0)
        }
    }

    @Test func `the longest payload passes and one byte more is refused before it arrives`() throws {
        let longest = Frame(type: 0x7f, payload: [UInt8](repeating: 1, count: Frame.maximumPayload))
        #expect(try frames(of: longest.bytes + longest.bytes, chunks: 4_096) == [longest, longest])
        var decoder = FrameDecoder()
        decoder.append([0x7f, 0, 0x40, 0x01])
        #expect(throws: WireError(.frameTooLong, "")) { try decoder.next() }
        #expect(throws: WireError(.frameTooLong, "")) { try decoder.next() }
    }

    @Test func `a second byte that is not zero is refused`() {
        for byte in UInt8(1) ... .max {
            var decoder = FrameDecoder()
            decoder.append([0x10, byte, 0, 0])
            #expect(throws: WireError(.malformedFrame, "")) { try decoder.next() }
        }
    }

    @Test func `frames before a bad one still come out`() throws {
        var decoder = FrameDecoder()
        decoder.append(PeerMessage.ping(1).bytes + [0x10, 9, 0, 0])
        #expect(try decoder.next() == PeerMessage.ping(1).frame)
        #expect(throws: WireError.self) { try decoder.next() }
    }

    @Test func `what was taken does not pile up`() throws {
        var decoder = FrameDecoder()
        let frame = Frame(type: 1, payload: [UInt8](repeating: 2, count: 1_000))
        for _ in 0..<500 {
            decoder.append(frame.bytes)
            #expect(try decoder.next() == frame)
            #expect(decoder.bufferedByteCount == 0)
        }
        decoder.append(frame.bytes.dropLast())
        #expect(try decoder.next() == nil)
        #expect(decoder.bufferedByteCount == frame.bytes.count - 1)
    }
}
