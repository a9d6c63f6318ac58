import PeerWire
import Testing

@Suite("Frames of datagrams")
struct DatagramFrameTests {
    private typealias Frame = DatagramFrame

    private static let visitor = DatagramAddress(HostAddress("192.0.2.7")!, port: 53)
    private static let opening = Frame.Opening(
        mapping: MappingID(value: 0x0123_4567_89ab_cdef), portOffset: 3, visitor: visitor)

    /// What is read, for comparison: a frame refers to bytes that others own.
    private static func text(_ frame: borrowing Frame) -> String {
        switch frame {
        case .payload(let flow, let bytes): "payload \(flow) \(Array(bytes))"
        case .opening(let flow, let opening, let bytes):
            "opening \(flow) \(opening.mapping) \(opening.portOffset) \(opening.visitor) \(Array(bytes))"
        case .announcement(let flow, let opening):
            "announcement \(flow) \(opening.mapping) \(opening.portOffset) \(opening.visitor)"
        case .piece(let flow, let piece, let bytes):
            "piece \(flow) \(piece.datagram) \(piece.index)/\(piece.count) \(Array(bytes))"
        case .known(let flow): "known \(flow)"
        case .unknown(let flow): "unknown \(flow)"
        case .over(let flow): "over \(flow)"
        case .probe(let probe): "probe \(probe.number) \(probe.prefersStream) \(probe.largest)"
        case .answer(let answer): "answer \(answer.number) \(answer.source)"
        }
    }

    private static func read(_ bytes: [UInt8]) -> String? {
        var bytes = bytes
        return bytes.withUnsafeMutableBytes { bytes in
            guard let frame = Frame(reading: bytes) else { return nil }
            return text(frame)
        }
    }

    private static func written(_ count: Int, _ payload: [UInt8] = [], _ body: (UnsafeMutableRawPointer) -> Void)
        -> [UInt8]
    {
        var bytes = [UInt8](repeating: 0xff, count: count)
        bytes.withUnsafeMutableBytes { body($0.baseAddress!) }
        return bytes + payload
    }

    private static let examples: [(bytes: [UInt8], text: String)] = [
        (written(Frame.payloadOverhead, [1, 2]) { Frame.writePayload(7, to: $0) }, "payload 7 [1, 2]"),
        (written(Frame.payloadOverhead) { Frame.writePayload(.max, to: $0) }, "payload \(UInt64.max) []"),
        (
            written(Frame.openingOverhead, [9]) { Frame.write(.opening, 7, opening, to: $0) },
            "opening 7 0123456789abcdef 3 192.0.2.7:53 [9]"
        ),
        (
            written(Frame.pieceOverhead, [5]) {
                Frame.writePiece(7, .init(datagram: 258, index: 2, count: 3), to: $0)
            }, "piece 7 258 2/3 [5]"
        ),
        (written(Frame.noticeByteCount) { Frame.writeNotice(.known, 7, to: $0) }, "known 7"),
        (written(Frame.noticeByteCount) { Frame.writeNotice(.unknown, 7, to: $0) }, "unknown 7"),
        (written(Frame.noticeByteCount) { Frame.writeNotice(.over, 7, to: $0) }, "over 7"),
        (
            written(40) { Frame.write(.init(number: 5, prefersStream: true, largest: 1_472), to: $0, count: 40) },
            "probe 5 true 1472"
        ),
        (written(40) { Frame.write(.init(number: 5, source: visitor), to: $0, count: 40) }, "answer 5 192.0.2.7:53"),
        (
            written(Frame.openingOverhead) { Frame.write(.announcement, 7, opening, to: $0) },
            "announcement 7 0123456789abcdef 3 192.0.2.7:53"
        ),
    ]

    @Test("say the same when they are read again")
    func again() {
        for example in Self.examples { #expect(Self.read(example.bytes) == example.text) }
    }

    @Test("are as the protocol has them")
    func bytes() {
        #expect(
            Self.examples[2].bytes
                == [2, 0, 0, 0, 0, 0, 0, 0, 7, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 3]
                + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7, 0, 53, 9])
        #expect(Self.examples[3].bytes == [3, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 0x23, 5])
    }

    @Test("that are cut short, or of a kind or a piece that there is not, are none")
    func malformed() {
        let least = [9, 9, 37, 13, 9, 9, 9, 23, 23, 37]
        for (example, least) in zip(Self.examples, least) {
            for count in 0..<least { #expect(Self.read(Array(example.bytes.prefix(count))) == nil) }
            #expect(Self.read(Array(example.bytes.prefix(max(least, 1)))) != nil)
        }
        for kind in [0, 10, 128, 255] as [UInt8] {
            #expect(Self.read([kind] + [UInt8](repeating: 0, count: 60)) == nil)
        }
        for place in [0x00, 0x01, 0x11, 0x04, 0x22, 0x33, 0xf3] as [UInt8] {
            #expect(Self.read([3, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, place, 5]) == nil, "\(place)")
        }
        #expect(Self.read(Self.examples[4].bytes + [0]) == nil)
    }

    @Test("stand behind a header that names the channel and the number")
    func header() {
        let header = DatagramHeader(
            channel: 0x0102_0304, number: DatagramNumber(epoch: 0x0506, count: 0x0708_090a_0b0c))
        var bytes = Self.written(DatagramHeader.byteCount) { header.write(to: $0) }
        #expect(bytes == Array(1...12))
        #expect(bytes.withUnsafeBytes { DatagramHeader(reading: $0) } == nil)
        bytes += [UInt8](repeating: 0, count: 16)
        #expect(bytes.withUnsafeBytes { DatagramHeader(reading: $0) } == header)
        #expect(header.number.epoch == 0x0506 && header.number.count == 0x0708_090a_0b0c)
    }
}

@Suite("The keys of datagrams")
struct DatagramSecretTests {
    @Test("are others in each direction, epoch and kind of protection, and the same at both ends")
    func distinct() throws {
        let bytes = (0..<32).map { UInt8($0) }
        let ends = try (0..<2).map { _ in try #require(SessionSecrets(export: { _ in bytes })).datagramSecret }
        var keys: Set<DatagramSecret.Key> = []
        for direction in DatagramSecret.Direction.allCases {
            for protection in DatagramSecret.Protection.allCases {
                for epoch in [0, 1, .max] as [UInt16] {
                    let key = ends[0].key(direction, protection, epoch: epoch)
                    #expect(key == ends[1].key(direction, protection, epoch: epoch))
                    #expect(keys.insert(key).inserted)
                }
            }
        }
    }
}

@Suite("An address of a datagram")
struct DatagramAddressTests {
    @Test("is written and compared in one way, IPv4 in its mapped form or not")
    func forms() {
        let plain = DatagramAddress(HostAddress("192.0.2.1")!, port: 53)
        #expect(plain == DatagramAddress(HostAddress("::ffff:192.0.2.1")!, port: 53))
        #expect("\(plain)" == "192.0.2.1:53" && plain.isIPv4)
        let other = DatagramAddress(HostAddress("2001:db8::1")!, port: 53)
        #expect("\(other)" == "[2001:db8::1]:53" && !other.isIPv4)
        #expect(other.host == HostAddress("2001:db8::1")!)
        #expect(MemoryLayout<DatagramAddress>.stride == 24)
    }
}
