import PeerWire
import Testing

/// `json/vectors/mesh.json`, as in `VectorTests`.
@Suite struct MeshVectorTests {
    static let file = "mesh.json"
    static let made: [Vector] =
        [
            Vector(name: "record", hex: Hex.encode(Samples.signedRecord.bytes), fields: described(Samples.record)),
            Vector(
                name: "record-plain", hex: Hex.encode(Samples.signedPlainRecord.bytes),
                fields: described(Samples.plainRecord)),
            Vector(name: "digest", hex: Hex.encode(Samples.digest.bytes), fields: described(Samples.digest)),
            Vector(
                name: "difference", hex: Hex.encode(Samples.difference.bytes), fields: described(Samples.difference)),
            Vector(
                name: "dial-back-request", hex: Hex.encode(Samples.dialBackRequest.bytes),
                fields: ["nonce": Hex.encode(Samples.nonce), "port": "8088"]),
        ]
        + Samples.dialBackAnswers.map {
            Vector(name: $0.name, hex: Hex.encode($0.answer.bytes), fields: described($0.answer))
        }
        + [
            Vector(
                name: "record-noted", hex: Hex.encode(Samples.signedNotedRecord.bytes),
                fields: described(Samples.notedRecord)),
            Vector(
                name: "vouch", hex: Hex.encode(Samples.vouch.bytes),
                fields: [
                    "witness": "\(Samples.statement.witness)", "time": "\(Samples.statement.time)",
                    "address": "\(Samples.statement.address)",
                ]),
        ]

    @Test(.enabled(if: VectorTests.isPrinting)) func `rows that are not committed yet are printed`() throws {
        let known = Set(((try? Vector.committed(Self.file)) ?? []).map(\.name))
        print("=== json/vectors/\(Self.file)")
        print(try Vector.document(Self.made.filter { !known.contains($0.name) }))
    }

    @Test func `every committed row has its sample and every sample its row`() throws {
        #expect(try Vector.committed(Self.file).map(\.name) == Self.made.map(\.name))
        #expect(try Vector.committed(Self.file).map(\.fields) == Self.made.map(\.fields))
    }

    // What is signed is not compared with what is signed now: a library may add randomness to its signatures.
    @Test(arguments: [
        ("record", Samples.record), ("record-plain", Samples.plainRecord), ("record-noted", Samples.notedRecord),
    ])
    func `a committed record is understood, genuine, and passed on as it is`(
        name: String, expected: NodeRecord
    ) throws {
        let (_, bytes) = try VectorTests.row(name, in: Self.file)
        let record = try SignedRecord(bytes)
        #expect(described(record.record) == described(expected))
        #expect(record.isGenuine)
        #expect(record.bytes == bytes)
        for witness in record.record.witnesses { #expect(witness.isGenuine(of: record.key)) }
    }

    @Test func `a committed digest is understood and written the same`() throws {
        let (_, bytes) = try VectorTests.row("digest", in: Self.file)
        #expect(try GossipDigest(bytes) == Samples.digest)
        #expect(Samples.digest.bytes == bytes)
    }

    @Test func `a committed difference is understood and written the same`() throws {
        let (vector, bytes) = try VectorTests.row("difference", in: Self.file)
        let difference = try GossipDifference(bytes)
        #expect(described(difference) == vector.fields)
        #expect(difference.bytes == bytes)
        #expect(difference.byteCount == bytes.count)
        for record in difference.records { #expect(record.isGenuine) }
    }

    @Test func `records of a difference beyond the room for them are left out unread`() throws {
        let (_, bytes) = try VectorTests.row("difference", in: Self.file)
        let difference = try GossipDifference(bytes)
        let record = try #require(difference.records.first)
        let size = record.bytes.count + 2
        var broken = GossipDifference(
            time: difference.time, room: 0, wants: difference.wants, records: [record, record]
        ).bytes
        #expect(try GossipDifference(broken).records.count == 2)
        // The version of the last record.
        broken[broken.count - record.bytes.count] = 0xff
        #expect(throws: WireError.self) { try GossipDifference(broken) }
        #expect(throws: WireError.self) { try GossipDifference(broken, recordBytes: size * 2) }
        for (room, records) in [(size, [record]), (size * 2 - 1, [record]), (size - 1, []), (0, [])] {
            let read = try GossipDifference(broken, recordBytes: room)
            #expect(read.records == records && read.wants == difference.wants)
        }
        // It is as long as it says all the same.
        #expect(throws: WireError.self) { try GossipDifference(Array(broken.dropLast()), recordBytes: size) }
        #expect(throws: WireError.self) { try GossipDifference(broken + [0], recordBytes: size) }
    }

    @Test func `a committed vouch is understood and written the same, and nothing shorter or longer is one`() throws {
        let (_, bytes) = try VectorTests.row("vouch", in: Self.file)
        let vouch = try #require(Vouch(bytes))
        #expect(vouch.bytes == bytes)
        #expect(vouch.statement.isGenuine(of: Samples.relay.key))
        for count in 0..<bytes.count { #expect(Vouch(Array(bytes.prefix(count))) == nil) }
        #expect(Vouch(bytes + [0]) == nil)
        #expect(Vouch.answer(counts: true) == [11, 1] && Vouch.answer(counts: false) == [11, 0])
    }

    @Test func `a committed dial-back is understood and written the same`() throws {
        let (_, request) = try VectorTests.row("dial-back-request", in: Self.file)
        #expect(DialBackRequest(request) == Samples.dialBackRequest)
        #expect(Samples.dialBackRequest.bytes == request)
        for (name, _) in Samples.dialBackAnswers {
            let (vector, bytes) = try VectorTests.row(name, in: Self.file)
            let answer = try #require(DialBackAnswer(bytes))
            #expect(described(answer) == vector.fields)
            #expect(answer.bytes == bytes)
            if let statement = answer.statement { #expect(statement.isGenuine(of: Samples.relay.key)) }
        }
    }
}
