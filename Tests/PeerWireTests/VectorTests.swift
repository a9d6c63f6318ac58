import Foundation
import FuzzParsers
import PeerWire
import Testing

/// `json/vectors` holds bytes that this version sends. Later versions must still understand them: a vector is added,
/// never changed.
///
/// To get the rows for something new: add it to `Samples`, then
/// `P2PRC_VECTORS=print swift test --filter VectorTests` prints those that have no committed row yet.
@Suite struct VectorTests {
    static let isPrinting = ProcessInfo.processInfo.environment["P2PRC_VECTORS"] == "print"

    /// What this version makes of the samples.
    static let messages = Samples.messages.map {
        Vector(name: $0.name, hex: Hex.encode($0.message.bytes), fields: described($0.message))
    }

    static let streams =
        Samples.preambles.map {
            Vector(name: $0.name, hex: Hex.encode($0.preamble.bytes), fields: described($0.preamble))
        } + [
            Vector(
                name: "data-channel-hello", hex: Hex.encode(Samples.dataChannelHello.bytes),
                fields: described(Samples.dataChannelHello))
        ]
        + Samples.visitorStarts.map {
            Vector(name: $0.name, hex: Hex.encode($0.start.bytes), fields: described($0.start))
        } + [
            Vector(
                name: "check-probe", hex: Hex.encode(Samples.probe), fields: ["nonce": Hex.encode(Samples.nonce)]),
            Vector(
                name: "check-answer", hex: Hex.encode(Samples.answer),
                fields: [
                    "nonce": Hex.encode(Samples.nonce), "mapping": "\(Samples.mapping)", "key": "\(Samples.peer.key)",
                    "signature": Hex.encode(Samples.answer.dropFirst(Preamble.byteCount)),
                ]),
        ]
        + Samples.channelFrames.map {
            Vector(name: $0.name, hex: Hex.encode($0.bytes), fields: describedFrames($0.bytes))
        }

    static func row(_ name: String, in file: String) throws -> (vector: Vector, bytes: [UInt8]) {
        let found = try #require(
            try Vector.committed(file).first { $0.name == name }, "\(name) has no vector in \(file)")
        return (found, try #require(Hex.decode(found.hex)))
    }

    @Test(.enabled(if: isPrinting)) func `rows that are not committed yet are printed`() throws {
        for (file, made) in [("messages.json", Self.messages), ("streams.json", Self.streams)] {
            let known = Set(((try? Vector.committed(file)) ?? []).map(\.name))
            print("=== json/vectors/\(file)")
            print(try Vector.document(made.filter { !known.contains($0.name) }))
        }
    }

    @Test func `the handshake of sessions without encryption is read and passed over`() throws {
        let retired = try Vector.committed("retired.json")
        #expect(retired.map(\.name) == ["hello", "challenge", "proof"])
        for vector in retired {
            let bytes = try #require(Hex.decode(vector.hex))
            let frame = try #require(try frames(of: bytes, chunks: bytes.count).first)
            #expect(try EitherMessage(frame) == nil)
        }
    }

    @Test func `every kind of message has a vector`() throws {
        let committed = try Vector.committed("messages.json")
        var kinds: Set<MessageKind> = []
        for vector in committed {
            let bytes = try #require(Hex.decode(vector.hex))
            kinds.insert(MessageKind(try decoded(try #require(try frames(of: bytes, chunks: bytes.count).first))))
        }
        #expect(kinds == Set(MessageKind.allCases))
    }

    @Test func `every committed row has its sample and every sample its row`() throws {
        #expect(try Vector.committed("messages.json").map(\.name) == Samples.messages.map(\.name))
        #expect(try Vector.committed("streams.json").map(\.name) == Self.streams.map(\.name))
    }

    @Test(arguments: Samples.messages.map(\.name)) func `a committed message is understood and written the same`(
        name: String
    ) throws {
        let (vector, bytes) = try Self.row(name, in: "messages.json")
        let expected = try #require(Samples.messages.first { $0.name == name }).message
        let found = try frames(of: bytes, chunks: bytes.count)
        #expect(found.count == 1)
        #expect(try decoded(found[0]) == expected)
        #expect(Hex.encode(expected.bytes) == vector.hex)
        #expect(described(expected) == vector.fields)
    }

    @Test(arguments: Samples.preambles.map(\.name)) func `a committed preamble is understood and written the same`(
        name: String
    ) throws {
        let (vector, bytes) = try Self.row(name, in: "streams.json")
        let expected = try #require(Samples.preambles.first { $0.name == name }).preamble
        #expect(Preamble.read(bytes) == .preamble(expected))
        #expect(expected.bytes == bytes)
        #expect(described(expected) == vector.fields)
    }

    @Test func `the committed hello of a data channel is proven and written the same`() throws {
        let (vector, bytes) = try Self.row("data-channel-hello", in: "streams.json")
        let hello = try #require(DataChannelHello(bytes))
        #expect(hello == Samples.dataChannelHello)
        #expect(hello.isProven(by: Samples.secret))
        #expect(hello.bytes == bytes)
        #expect(described(hello) == vector.fields)
    }

    @Test(arguments: Samples.channelFrames.map(\.name))
    func `committed frames of a visitor are understood and written the same`(name: String) throws {
        let (vector, bytes) = try Self.row(name, in: "streams.json")
        #expect(bytes == Samples.channelFrames.first { $0.name == name }?.bytes)
        #expect(describedFrames(bytes) == vector.fields)
    }

    @Test(arguments: Samples.visitorStarts.map(\.name))
    func `a committed visitor start is understood and written the same`(
        name: String
    ) throws {
        let (vector, bytes) = try Self.row(name, in: "streams.json")
        let start = try #require(VisitorStart(bytes))
        #expect(start == Samples.visitorStarts.first { $0.name == name }?.start)
        #expect(start.bytes == bytes)
        #expect(described(start) == vector.fields)
    }

    @Test func `the committed check is understood and its answer accepted`() throws {
        let (probe, probeBytes) = try Self.row("check-probe", in: "streams.json")
        #expect(ReachabilityCheck.read(probeBytes) == .probe(nonce: Samples.nonce))
        #expect(Hex.encode(Samples.probe) == probe.hex)
        let (_, answer) = try Self.row("check-answer", in: "streams.json")
        // Not compared with what is signed now: an Ed25519 library may add randomness to its signatures.
        #expect(
            ReachabilityCheck.isAnswer(answer, nonce: Samples.nonce, mapping: Samples.mapping, by: Samples.peer.key))
    }
}
