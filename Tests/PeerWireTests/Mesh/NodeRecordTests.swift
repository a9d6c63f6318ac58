import PeerWire
import Testing

@Suite struct NodeRecordTests {
    @Test func `a record comes back as it was signed`() throws {
        for (record, signed) in [
            (Samples.record, Samples.signedRecord), (Samples.plainRecord, Samples.signedPlainRecord),
            (Samples.notedRecord, Samples.signedNotedRecord),
        ] {
            let read = try SignedRecord(signed.bytes)
            #expect(read.record == record)
            #expect(read.isGenuine)
            #expect(read == signed)
        }
    }

    @Test func `a record with any byte flipped is refused`() {
        let bytes = Samples.signedRecord.bytes
        for index in bytes.indices {
            let flipped = bytes.flipping(bit: UInt8(index % 8), at: index)
            #expect((try? SignedRecord(flipped))?.isGenuine != true, "byte \(index)")
        }
    }

    @Test func `a record that is cut or goes on is refused`() {
        let bytes = Samples.signedRecord.bytes
        for count in 0..<bytes.count {
            #expect((try? SignedRecord(Array(bytes.prefix(count))))?.isGenuine != true, "\(count) bytes")
        }
        #expect((try? SignedRecord(bytes + [0]))?.isGenuine != true)
    }

    @Test func `a signature counts for records and nothing else`() throws {
        // The same bytes, signed without the words that say what is signed.
        let naked = try SignedRecord(Samples.record) {
            Samples.relay.signature(for: Array($0.dropFirst("p2prc/1 node record".utf8.count)))
        }
        #expect(!naked.isGenuine)
        #expect(throws: WireError.self) { try SignedRecord(Samples.record, by: Samples.peer) }
    }

    @Test func `what is over a limit is neither written nor read`() {
        func isRefused(_ change: (inout NodeRecord) -> Void) -> Bool {
            var record = Samples.record
            change(&record)
            return (try? SignedRecord(record, by: Samples.relay)) == nil
        }
        #expect(!isRefused { _ in })
        #expect(!isRefused { $0.name = String(repeating: "n", count: NodeRecord.maximumText) })
        #expect(isRefused { $0.name = String(repeating: "n", count: NodeRecord.maximumText + 1) })
        #expect(isRefused { $0.software = String(repeating: "s", count: 65) })
        #expect(!isRefused { $0.note = String(repeating: "n", count: NodeRecord.maximumNote) })
        #expect(isRefused { $0.note = String(repeating: "n", count: NodeRecord.maximumNote + 1) })
        #expect(isRefused { $0.note = "two\nlines" })
        #expect(isRefused { $0.addresses = Array(repeating: Samples.address, count: 9) })
        #expect(isRefused { $0.mappings = Array(repeating: $0.mappings[0], count: 17) })
        #expect(isRefused { $0.mappings[0].host = String(repeating: "h", count: 65) })
        #expect(isRefused { $0.mappings[0].host = "" })
        #expect(isRefused { $0.witnesses = Array(repeating: Samples.statement, count: 5) })
        #expect(isRefused { $0.lifetime = NodeRecord.longestLifetime + 1 })
        #expect(isRefused { $0.issued = -1 })
        #expect(isRefused { $0.issued = Int64.max })
    }

    @Test func `the fullest record fits`() throws {
        var record = Samples.record
        record.name = String(repeating: "n", count: 64)
        record.software = String(repeating: "s", count: 64)
        record.note = String(repeating: "o", count: NodeRecord.maximumNote)
        record.addresses = Array(repeating: Samples.address6, count: NodeRecord.maximumAddresses)
        record.witnesses = Array(repeating: Samples.statement, count: NodeRecord.maximumWitnesses)
        record.mappings = Array(
            repeating: .init(
                name: String(repeating: "m", count: 16), protocols: [.tcp, .udp],
                host: String(repeating: "h", count: 32), ports: .all), count: NodeRecord.maximumMappings)
        #expect(try SignedRecord(record, by: Samples.relay).record == record)
        record.mappings = Array(
            repeating: .init(
                name: String(repeating: "m", count: 64), protocols: .tcp, host: String(repeating: "h", count: 64),
                ports: .all), count: NodeRecord.maximumMappings)
        #expect(throws: WireError(.frameTooLong, "")) { try SignedRecord(record, by: Samples.relay) }
    }

    @Test func `mappings that fit have room in the fullest record`() throws {
        var record = Samples.record
        record.name = String(repeating: "n", count: 64)
        record.software = String(repeating: "s", count: 64)
        record.note = String(repeating: "o", count: NodeRecord.maximumNote)
        record.addresses = Array(repeating: Samples.address6, count: NodeRecord.maximumAddresses)
        let statement = DialBackStatement(
            subject: Samples.relay.key, time: 1_800_000_100, address: Samples.address6, by: Samples.peer)
        record.witnesses = Array(repeating: statement, count: NodeRecord.maximumWitnesses)
        func mappings(_ name: Int, _ host: Int) -> [NodeRecord.Mapping] {
            Array(
                repeating: .init(
                    name: String(repeating: "m", count: name), protocols: .tcp,
                    host: String(repeating: "h", count: host), ports: .all), count: 30)
        }
        for (name, host, count) in [(64, 64, 6), (1, 1, 16), (17, 32, 16), (18, 32, 15), (0, 64, 12)] {
            record.mappings = NodeRecord.fitting(mappings(name, host))
            #expect(record.mappings.count == count, "\(name) and \(host)")
            #expect(try SignedRecord(record, by: Samples.relay).record == record)
        }
    }

    @Test func `mappings that no record can hold cost the others nothing`() throws {
        func mapping(_ name: String, _ host: String) -> NodeRecord.Mapping {
            .init(name: name, protocols: .tcp, host: host, ports: .all)
        }
        let long = String(repeating: "x", count: 65)
        let all = [
            mapping("a", ""), mapping("b", long), mapping(long, "h"), mapping("two\nlines", "h"), mapping("c", "h\0"),
            mapping("d", "h"),
        ]
        #expect(NodeRecord.fitting(all).map(\.name) == ["d"])
    }

    @Test func `fields of later versions are passed on with the record`() throws {
        // Field 200 in front of the signature, signed by the node.
        let body = Samples.signedRecord.bytes.dropLast(64) + [200, 0, 1, 42]
        let signature = Samples.relay.signature(for: Array("p2prc/1 node record".utf8) + body)
        let record = try SignedRecord(body + signature)
        #expect(record.isGenuine)
        #expect(record.record == Samples.record)
        #expect(Array(record.bytes.dropLast(64).suffix(4)) == [200, 0, 1, 42])
    }

    @Test func `an address has one form`() throws {
        let mapped = NodeAddress(host: HostAddress("::ffff:198.51.100.7")!, port: 8_088)
        #expect(mapped == Samples.address)
        #expect(NodeAddress(host: HostAddress("198.51.100.7")!, port: 0) == nil)
        #expect("\(Samples.address)" == "198.51.100.7:8088")
        #expect("\(Samples.address6)" == "[2001:db8::7]:8088")
    }

    @Test func `a statement is of one witness about one node, one address and one time`() {
        let statement = Samples.statement
        #expect(statement.isGenuine(of: Samples.relay.key))
        #expect(!statement.isGenuine(of: Samples.peer.key))
        var other = statement
        other.address = Samples.address6
        #expect(!other.isGenuine(of: Samples.relay.key))
        other = statement
        other.time += 1
        #expect(!other.isGenuine(of: Samples.relay.key))
        other = statement
        other.witness = Samples.relay.key
        #expect(!other.isGenuine(of: Samples.relay.key))
    }
}

@Suite struct GossipBodyTests {
    @Test func `a digest with a bit flipped is refused or another`() {
        for flip in FlippedTests.flips(of: Samples.digest.bytes) {
            #expect((try? GossipDigest(flip.bytes)) != Samples.digest, "byte \(flip.index), bit \(flip.bit)")
        }
    }

    @Test func `a difference with a bit flipped is refused or another`() {
        for flip in FlippedTests.flips(of: Samples.difference.bytes) {
            #expect((try? GossipDifference(flip.bytes)) != Samples.difference, "byte \(flip.index), bit \(flip.bit)")
        }
    }

    @Test func `a dial-back with a bit flipped is refused or another`() {
        for flip in FlippedTests.flips(of: Samples.dialBackRequest.bytes) {
            #expect(DialBackRequest(flip.bytes) != Samples.dialBackRequest)
        }
        for (_, answer) in Samples.dialBackAnswers {
            for flip in FlippedTests.flips(of: answer.bytes) {
                let read = DialBackAnswer(flip.bytes)
                let isProven = read?.statement?.isGenuine(of: Samples.relay.key) == true
                #expect(read != answer, "byte \(flip.index), bit \(flip.bit)")
                // All but what only the witness's word stands for: the outcome's own bytes and what it saw.
                #expect(!isProven || flip.index < 9, "byte \(flip.index), bit \(flip.bit)")
            }
        }
    }

    @Test func `what is too long, cut, or goes on is refused`() {
        for count in 0..<Samples.difference.bytes.count {
            #expect((try? GossipDifference(Array(Samples.difference.bytes.prefix(count)))) == nil)
        }
        for count in 0..<Samples.digest.bytes.count {
            #expect((try? GossipDigest(Array(Samples.digest.bytes.prefix(count)))) == nil)
        }
        #expect((try? GossipDigest(Samples.digest.bytes + [0])) == nil)
        #expect((try? GossipDifference(Samples.difference.bytes + [0])) == nil)
        let long = [UInt8](repeating: 2, count: GossipDifference.maximumByteCount + 1)
        #expect(throws: WireError(.frameTooLong, "")) { try GossipDifference(long) }
        #expect(throws: WireError(.frameTooLong, "")) { try GossipDigest(long) }
        #expect(GossipDigest(time: 0, records: 0, sums: [1, 2, 3]) == nil)
        #expect(GossipDigest(time: 0, records: 0, sums: []) == nil)
        #expect(GossipDigest(time: 0, records: 0, sums: Array(repeating: 0, count: 2_048)) == nil)
    }

    @Test func `the largest digest has the length that it is said to have`() throws {
        let digest = try #require(GossipDigest(time: 0, records: 9, sums: Array(repeating: 7, count: 1_024)))
        #expect(digest.bytes.count == GossipDigest.maximumByteCount)
        #expect(digest.byteCount == digest.bytes.count)
        #expect(try GossipDigest(digest.bytes) == digest)
    }
}
