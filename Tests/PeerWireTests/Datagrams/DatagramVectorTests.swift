import PeerWire
import Testing

/// `json/vectors/datagrams.json`, as in `VectorTests`: keys, headers and frames. What becomes of them when they are
/// sealed is in `sealed_datagrams.json`.
@Suite struct DatagramVectorTests {
    private typealias Frame = DatagramFrame

    private static let file = "datagrams.json"
    private static let secret = [UInt8].counting(from: 1)
    private static let made = keys + headers + frames + streamed

    // MARK: Keys

    private struct KeyName {
        let direction: DatagramSecret.Direction
        let protection: DatagramSecret.Protection
        let epoch: UInt16
    }

    private static let keyNames: [KeyName] = DatagramSecret.Direction.allCases.flatMap { direction in
        DatagramSecret.Protection.allCases.flatMap { protection in
            [0, 1, UInt16.max].map { KeyName(direction: direction, protection: protection, epoch: $0) }
        }
    }

    private static let keys = keyNames.map { name in
        let direction = name.direction == .toRelay ? "to-relay" : "to-peer"
        return Vector(
            name: "key-\(name.protection)-\(direction)-\(name.epoch)", hex: Hex.encode(material(name)),
            fields: [
                "secret": Hex.encode(secret), "direction": "\(name.direction) (\(name.direction.rawValue))",
                "protection": "\(name.protection) (\(name.protection.rawValue))", "epoch": "\(name.epoch)",
            ])
    }

    /// The key, then the static IV.
    private static func material(_ name: KeyName) -> [UInt8] {
        guard let secrets = SessionSecrets(export: { $0 == "EXPORTER-p2prc-datagram" ? secret : .counting(from: 99) })
        else { return [] }
        let key = secrets.datagramSecret.key(name.direction, name.protection, epoch: name.epoch)
        let head = withUnsafeBytes(of: key.nonceHead.bigEndian) { Array($0) }
        return key.bytes + head + withUnsafeBytes(of: key.nonceTail.bigEndian) { Array($0) }
    }

    // MARK: Headers

    private static let headerSamples = [
        ("header", DatagramHeader(channel: 0xa1b2_c3d1, number: DatagramNumber(epoch: 0, count: 0))),
        (
            "header-later",
            DatagramHeader(channel: 7, number: DatagramNumber(epoch: 0x0102, count: 0x0304_0506_0708))
        ),
    ]

    private static let headers = headerSamples.map { name, header in
        Vector(
            name: name, hex: Hex.encode(written(DatagramHeader.byteCount) { header.write(to: $0) }),
            fields: [
                "channel": "\(header.channel)", "epoch": "\(header.number.epoch)", "count": "\(header.number.count)",
            ])
    }

    // MARK: Frames

    private static let flow: Frame.Flow = 0x0000_0500_0001_0002
    private static let opening = Frame.Opening(
        mapping: Samples.mapping, portOffset: 3, visitor: DatagramAddress(HostAddress("192.0.2.7")!, port: 53))
    private static let openingIPv6 = Frame.Opening(
        mapping: Samples.mapping, portOffset: 0, visitor: DatagramAddress(HostAddress("2001:db8::7")!, port: 443))
    private static let text = Array("hello".utf8)

    private static let frameSamples: [(name: String, bytes: [UInt8])] =
        [
            ("payload", written(Frame.payloadOverhead, text) { Frame.writePayload(flow, to: $0) }),
            ("payload-empty", written(Frame.payloadOverhead) { Frame.writePayload(flow, to: $0) }),
            ("opening", written(Frame.openingOverhead, text) { Frame.write(.opening, flow, opening, to: $0) }),
            (
                "opening-ipv6",
                written(Frame.openingOverhead, text) { Frame.write(.opening, flow, openingIPv6, to: $0) }
            ),
            ("announcement", written(Frame.openingOverhead) { Frame.write(.announcement, flow, opening, to: $0) }),
        ]
        + [text.prefix(2), text.dropFirst(2).prefix(2), text.suffix(1)].enumerated().map { index, part in
            let piece = Frame.Piece(datagram: 258, index: UInt8(index), count: 3)
            return (
                "piece-\(index + 1)-of-3",
                written(Frame.pieceOverhead, Array(part)) { Frame.writePiece(flow, piece, to: $0) }
            )
        }
        + [
            ("known", written(Frame.noticeByteCount) { Frame.writeNotice(.known, flow, to: $0) }),
            ("unknown", written(Frame.noticeByteCount) { Frame.writeNotice(.unknown, flow, to: $0) }),
            ("over", written(Frame.noticeByteCount) { Frame.writeNotice(.over, flow, to: $0) }),
            ("probe", probe(.init(number: 1, prefersStream: false, largest: 1_200), 64)),
            ("probe-stream", probe(.init(number: 70_000, prefersStream: true, largest: 65_507), Frame.probeByteCount)),
            ("answer", written(64) { Frame.write(.init(number: 1, source: opening.visitor), to: $0, count: 64) }),
            (
                "answer-ipv6",
                written(Frame.probeByteCount) {
                    Frame.write(.init(number: 1, source: openingIPv6.visitor), to: $0, count: Frame.probeByteCount)
                }
            ),
        ]

    private static let frames = frameSamples.map {
        Vector(name: $0.name, hex: Hex.encode($0.bytes), fields: described($0.bytes) ?? [:])
    }

    private static func probe(_ probe: Frame.Probe, _ count: Int) -> [UInt8] {
        written(count) { Frame.write(probe, to: $0, count: count) }
    }

    private static func written(
        _ count: Int, _ payload: [UInt8] = [], _ body: (UnsafeMutableRawPointer) -> Void
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xff, count: count)
        bytes.withUnsafeMutableBytes { if let base = $0.baseAddress { body(base) } }
        return bytes + payload
    }

    /// What a reader makes of a frame; `nil`: nothing.
    private static func described(_ bytes: [UInt8]) -> [String: String]? {
        var bytes = bytes
        return bytes.withUnsafeMutableBytes { bytes in
            guard let frame = Frame(reading: bytes) else { return nil }
            return fields(frame)
        }
    }

    private static func fields(_ frame: borrowing Frame) -> [String: String] {
        switch frame {
        case .payload(let flow, let bytes): ["type": "payload", "flow": "\(flow)", "bytes": Hex.encode(bytes)]
        case .opening(let flow, let opening, let bytes):
            ["type": "opening", "flow": "\(flow)", "bytes": Hex.encode(bytes)].merging(fields(opening)) { $1 }
        case .announcement(let flow, let opening):
            ["type": "announcement", "flow": "\(flow)"].merging(fields(opening)) { $1 }
        case .piece(let flow, let piece, let bytes):
            [
                "type": "piece", "flow": "\(flow)", "datagram": "\(piece.datagram)", "index": "\(piece.index)",
                "count": "\(piece.count)", "bytes": Hex.encode(bytes),
            ]
        case .known(let flow): ["type": "known", "flow": "\(flow)"]
        case .unknown(let flow): ["type": "unknown", "flow": "\(flow)"]
        case .over(let flow): ["type": "over", "flow": "\(flow)"]
        case .probe(let probe):
            [
                "type": "probe", "number": "\(probe.number)", "prefersStream": "\(probe.prefersStream)",
                "largest": "\(probe.largest)",
            ]
        case .answer(let answer):
            ["type": "answer", "number": "\(answer.number)", "source": "\(answer.source)"]
        }
    }

    private static func fields(_ opening: Frame.Opening) -> [String: String] {
        [
            "mapping": "\(opening.mapping)", "portOffset": "\(opening.portOffset)", "visitor": "\(opening.visitor)",
        ]
    }

    // MARK: On a stream

    private static let streamedSamples: [(name: String, frames: [[UInt8]])] = [
        ("streamed-beginning", [[]]),
        ("streamed", frameSamples.filter { ["opening", "known"].contains($0.name) }.map(\.bytes)),
    ]

    private static let streamed = streamedSamples.map { sample in
        Vector(
            name: sample.name,
            hex: Hex.encode(
                sample.frames.flatMap { frame in
                    written(StreamedFrame.headerByteCount, frame) { StreamedFrame.writeHeader(frame.count, to: $0) }
                }),
            fields: ["frames": sample.frames.map { Hex.encode($0) }.joined(separator: " ")])
    }

    // MARK: Tests

    @Test(.enabled(if: VectorTests.isPrinting)) func `rows that are not committed yet are printed`() throws {
        let known = Set(((try? Vector.committed(Self.file)) ?? []).map(\.name))
        print("=== json/vectors/\(Self.file)")
        print(try Vector.document(Self.made.filter { !known.contains($0.name) }))
    }

    @Test func `what is written is what the committed rows have, in their order`() throws {
        #expect(try Vector.committed(Self.file) == Self.made)
    }

    @Test func `committed headers are understood`() throws {
        for (name, expected) in Self.headerSamples {
            let (_, bytes) = try VectorTests.row(name, in: Self.file)
            let datagram = bytes + [UInt8](repeating: 0, count: DatagramHeader.tagByteCount)
            datagram.withUnsafeBytes { #expect(DatagramHeader(reading: $0) == expected) }
        }
    }

    @Test(arguments: frameSamples.map(\.name)) func `a committed frame is understood`(name: String) throws {
        let (vector, bytes) = try VectorTests.row(name, in: Self.file)
        #expect(Self.described(bytes) == vector.fields)
    }

    @Test func `committed frames of a stream are found, and nothing before they are whole`() throws {
        for sample in Self.streamedSamples {
            var (_, bytes) = try VectorTests.row(sample.name, in: Self.file)
            let last = bytes.count - 1
            bytes.withUnsafeMutableBytes { all in
                var found: [[UInt8]] = []
                var start = 0
                while let frame = StreamedFrame.first(in: UnsafeMutableRawBufferPointer(rebasing: all[start...])) {
                    found.append(Array(frame))
                    start += StreamedFrame.headerByteCount + frame.count
                }
                #expect(found == sample.frames && start == all.count)
                if found.count == 1 {
                    #expect(StreamedFrame.first(in: UnsafeMutableRawBufferPointer(rebasing: all[..<last])) == nil)
                }
            }
        }
    }
}
