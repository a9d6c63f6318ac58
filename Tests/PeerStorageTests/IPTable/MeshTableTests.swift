import Foundation
import PeerCore
import PeerStorage
import PeerWire
import TestSupport
import Testing

@Suite struct MeshTableTests {
    let folder: TestFolder
    let home: Home
    let table: IPTable

    init() throws {
        folder = TestFolder()
        home = try folder.home()
        table = try IPTable.open(in: home, now: .someday).table
    }

    // MARK: Starts

    @Test func `when the last process began is there after a restart, or nothing if it cannot be read`() async throws {
        #expect(try await table.lastStart() == 0)
        try await table.save(start: 1_800_000_000_123_456_789)
        try await table.save(start: 5)
        try await table.save(start: 1_900_000_000_123_456_789)
        try await table.close()
        let again = try IPTable.open(in: home, now: .someday).table
        #expect(try await again.lastStart() == 1_900_000_000_123_456_789)
        let spoil = "UPDATE own_record SET began = 'noon'"
        #expect(try Ran(["sqlite3", home.paths.ipTable, spoil]).status == 0)
        #expect(try await again.lastStart() == 0)
    }

    // MARK: Seeds

    func seed(_ address: String, _ source: Seed.Source = .user, at milliseconds: Int64 = 0) -> Seed {
        Seed(address: address, source: source, name: "", added: .someday + milliseconds)
    }

    @Test func `seeds come back, those of the user in front, then by age`() async throws {
        let seeds = [
            seed("p.example:1", .p2prc), seed("i.example:1", .imported, at: 2), seed("u.example:2", at: 9),
            seed("r.example:1", .root), seed("u.example:1", at: 1),
        ]
        #expect(try await table.save(seeds).added == 5)
        #expect(
            try await table.seeds().map(\.address)
                == ["u.example:1", "u.example:2", "r.example:1", "i.example:1", "p.example:1"])
        #expect(try await table.seeds().last == seeds[0])
    }

    @Test func `what the user says of a seed goes before what others say, and its past stays`() async throws {
        try await table.save(seed("a:1", .p2prc))
        try await table.seedAnswered("a:1", at: .someday + 5)
        try await table.seedAnswered("a:1", at: .someday + 3)
        #expect(try await table.save(seed("a:1", .imported, at: 7)).known == 1)
        #expect(try await table.seeds().map(\.source) == [.imported])
        try await table.save(seed("a:1", .user, at: 8))
        try await table.save(seed("a:1", .p2prc, at: 9))
        var expected = seed("a:1", .user)
        expected.lastAnswered = .someday + 5
        #expect(try await table.seeds() == [expected])
    }

    @Test func `a root takes the place of all other seeds`() async throws {
        try await table.save([seed("a:1"), seed("b:1", .imported)])
        try await table.replaceSeeds(with: seed("r:1", .root))
        #expect(try await table.seeds() == [seed("r:1", .root)])
    }

    @Test func `what others tell fills neither the table nor the places of the user`() async throws {
        let told = try await table.save((0..<500).map { seed("198.51.100.1:\($0 + 1)", .p2prc) })
        #expect(told.added == IPTable.p2prcSeedLimit)
        #expect(told.refused == 500 - IPTable.p2prcSeedLimit)
        let imported = try await table.save((0..<2_000).map { seed("203.0.113.1:\($0 + 1)", .imported) })
        #expect(imported.added == IPTable.seedLimit - IPTable.p2prcSeedLimit)
        #expect(try await table.save(seed("a:1")).refused == 1)
    }

    // MARK: Records

    static func signed(_ number: Int, issue: UInt64 = 1, lifetime: UInt32 = 3_600) throws -> SignedRecord {
        let identity = identity(number)
        let address = NodeAddress(host: HostAddress("192.0.2.\(number % 250 + 1)")!, port: 8_088)!
        return try SignedRecord(
            NodeRecord(
                key: identity.key, issue: issue, process: .init(began: 1, instance: UInt64(number)),
                issued: WallTime.someday.seconds, lifetime: lifetime,
                content: .init(roles: .relay, name: "node \(number)", software: "p2prc/0.1.0", addresses: [address])),
            by: identity)
    }

    static func identity(_ number: Int) -> NodeIdentity {
        let seed = (0..<32).map { UInt8(truncatingIfNeeded: number >> ($0 % 4 * 8)) ^ UInt8($0) }
        return NodeIdentity(seed: seed)!
    }

    @Test func `what a round changed comes back, the newest of each key`() async throws {
        let (one, two, three) = (try Self.signed(1), try Self.signed(2), try Self.signed(3))
        let newer = try Self.signed(2, issue: 9)
        try await table.apply([.stored(one), .stored(two), .stored(three)], at: .someday)
        try await table.apply([.stored(newer), .removed(one.key)], at: .someday + 7)
        let found = try await table.records(at: .someday)
        #expect(found.damaged == [])
        #expect(Set(found.records.map(\.record)) == [newer, three])
        let kept = try #require(found.records.first { $0.record == newer })
        #expect(kept == KeptRecord(newer, firstReceived: .someday, received: .someday + 7))
    }

    @Test func `expired records are left out`() async throws {
        let record = try Self.signed(1, lifetime: 60)
        try await table.apply([.stored(record)], at: .someday)
        #expect(try await table.records(at: .someday + 59).records.count == 1)
        #expect(try await table.records(at: .someday + 60).records == [])
    }

    @Test func `a record that was changed on the disk is dropped, and its row with it`() async throws {
        let (sound, other) = (try Self.signed(1), try Self.signed(2))
        try await table.apply([.stored(sound), .stored(other)], at: .someday)
        try await table.apply([.stored(try forged(3)), .stored(try forged(4))], at: .someday)
        let found = try await table.records(at: .someday)
        #expect(Set(found.records.map(\.record)) == [sound, other])
        #expect(Set(found.damaged) == [Self.identity(3).key, Self.identity(4).key])
        #expect(found.damage?.contains("signed") == true)
        #expect(try await table.records(at: .someday).damaged == [], "they are gone")
    }

    /// A record with one bit of its name changed.
    func forged(_ number: Int) throws -> SignedRecord {
        var bytes = try Self.signed(number).bytes
        let place = try #require(bytes.indices.first { Array(bytes[$0...].prefix(4)) == Array("node".utf8) })
        bytes[place] ^= 1
        return try SignedRecord(bytes)
    }

    @Test func `no more records are kept than the mesh has places`() async throws {
        // Unsigned ones: they are not judged when they are written.
        func record(_ number: Int) throws -> SignedRecord {
            let key = NodeKey(bytes: (0..<32).map { UInt8(truncatingIfNeeded: number >> ($0 % 3 * 8)) })!
            let record = NodeRecord(
                key: key, issue: 1, process: .init(began: 1, instance: 1), issued: WallTime.someday.seconds,
                lifetime: 60)
            return try SignedRecord(record) { _ in [UInt8](repeating: 7, count: 64) }
        }
        let over = 20
        try await table.apply((0..<over).map { .stored(try! record($0)) }, at: .someday)
        let rest = try (over..<(IPTable.recordLimit + over)).map { Gossip.Change.stored(try record($0)) }
        try await table.apply(rest, at: .someday + 1)
        let kept = try await table.unjudgedRecords(at: .someday).records
        #expect(kept.count == IPTable.recordLimit)
        #expect(kept.allSatisfy { $0.received == .someday + 1 }, "those that came first have gone")
    }

    @Test func `the last issue never goes back, and the note stays as it was written`() async throws {
        #expect(try await table.lastIssue() == 0)
        try await table.save(lastIssue: 1_900_000_000_123)
        try await table.save(lastIssue: 5)
        #expect(try await table.lastIssue() == 1_900_000_000_123)
        try await table.save(lastIssue: .max)
        #expect(try await table.lastIssue() == .max)
        #expect(try await table.ownRecord() == nil)
        let record = try Self.signed(1, issue: 7)
        try await table.save(own: record)
        #expect(try await table.ownRecord() == record)
        #expect(try await table.lastIssue() == .max)
        #expect(try await table.ownNote() == "")
        try await table.save(ownNote: "'; DROP TABLE seed; -- ü")
        #expect(try await table.ownNote() == "'; DROP TABLE seed; -- ü")
    }

    // MARK: Measurements

    func probe(_ node: UInt8, at milliseconds: Int64, _ microseconds: UInt64?, setUp: UInt64? = nil) -> NodeSample {
        NodeSample(
            node: .number(node), at: .someday + milliseconds, setUp: setUp.map { .microseconds($0) },
            roundTrip: microseconds.map { .microseconds($0) })
    }

    @Test func `probes of one moment are all kept, lost ones too`() async throws {
        let samples = [
            probe(1, at: 5, 300, setUp: 900), probe(1, at: 5, nil), probe(1, at: 5, 310), probe(2, at: 1, 7),
        ]
        try await table.record(samples)
        #expect(try await table.probes(since: .someday) == samples)
        #expect(try await table.probes(of: .number(2), since: .someday) == [samples[3]])
        #expect(try await table.probes(of: .number(1), since: .someday + 6) == [])
    }

    @Test func `five minutes of probes become one row of the picture`() async throws {
        let length = IPTable.spanLength
        try await table.record([probe(1, at: 0, nil), probe(1, at: 1, 300), probe(1, at: 2, 250)])
        try await table.record([probe(1, at: length, nil)])
        // Spans begin at multiples of five minutes; someday is 100 s into one.
        let start = UnixTime.someday + -100_000
        #expect(
            try await table.spans(of: .number(1), since: start) == [
                NodeSpan(node: .number(1), start: start, answers: 2, lost: 1, best: .microseconds(250)),
                NodeSpan(node: .number(1), start: start + length, answers: 0, lost: 1, best: nil),
            ])
    }

    @Test func `no node keeps more probes than the limit, and the newest stay`() async throws {
        let limit = IPTable.probesPerNode
        // Forty of one moment, so that age alone does not decide.
        try await table.record((0..<limit).map { probe(1, at: Int64($0), 1) } + [probe(2, at: 0, 1)])
        try await table.record((0..<40).map { _ in probe(1, at: 1_000, 2) })
        let kept = try await table.probes(of: .number(1), since: .someday)
        #expect(kept.count == limit)
        #expect(kept.first?.at == .someday + 40)
        #expect(try await table.probes(of: .number(2), since: .someday).count == 1)
    }

    @Test func `probes and spans of more than a day ago go by and by`() async throws {
        try await table.record([probe(1, at: 0, 1)])
        let late = IPTable.probeLifetime + IPTable.spanLength
        for number in 0..<4 {
            try await table.record((0..<300).map { probe(2, at: late + Int64(number * 300 + $0), 1) })
        }
        #expect(try await table.probes(of: .number(1), since: .someday) == [])
        #expect(try await table.spans(of: .number(1), since: .someday) == [])
    }

    @Test func `the latest bandwidth is known for each direction, and few are kept`() async throws {
        for number in 0..<Int64(IPTable.bandwidthsPerNode + 5) {
            try await table.record(
                BandwidthSample(node: .number(1), at: .someday + number, down: UInt64(number), up: nil))
        }
        try await table.record(BandwidthSample(node: .number(1), at: .someday + 1_000, down: nil, up: .max))
        let latest = try #require(try await table.latestBandwidths()[.number(1)])
        #expect(latest.down == UInt64(IPTable.bandwidthsPerNode + 4))
        #expect(latest.up == UInt64(Int64.max))
    }

    @Test func `where a node was met stays with its first and last time`() async throws {
        func met(_ port: Int, first: Int64, last: Int64) -> MetAddress {
            MetAddress(
                node: .number(1), address: "192.0.2.1:\(port)", firstSeen: .someday + first, lastSeen: .someday + last)
        }
        try await table.save([met(1, first: 5, last: 5), met(2, first: 6, last: 6)])
        try await table.save([met(1, first: 9, last: 9)])
        #expect(try await table.metAddresses() == [met(1, first: 5, last: 9), met(2, first: 6, last: 6)])
        try await table.save((10..<30).map { met($0, first: Int64($0), last: Int64($0)) })
        let kept = try await table.metAddresses()
        #expect(kept.count == IPTable.metAddressesPerNode)
        #expect(kept.first?.address == "192.0.2.1:29")
    }

    // MARK: Size

    @Test func `ten thousand nodes are read back in seconds and stay below 50 MiB`() async throws {
        let records = try (0..<10_000).map { try Self.signed($0) }
        for start in stride(from: 0, to: records.count, by: 500) {
            try await table.apply(records[start..<start + 500].map { .stored($0) }, at: .someday)
        }
        for node in 0..<256 {
            try await table.record((0..<512).map { probe(UInt8(node), at: Int64($0) * 20_000, 1_000, setUp: 3_000) })
        }
        let clock = ContinuousClock()
        var count = 0
        let judging = try await clock.measure { count = try await table.records(at: .someday).records.count }
        #expect(count == records.count)
        let listing = try await clock.measure { count = try await table.unjudgedRecords(at: .someday).records.count }
        #expect(count == records.count)
        let bytes = folder.names.filter { $0.hasPrefix("ip_table") }.reduce(0) { sum, name in
            sum + ((try? FileManager.default.attributesOfItem(atPath: folder.file(name))[.size]) as? Int ?? 0)
        }
        #expect(bytes < 50 << 20, "\(bytes) bytes")
        // Built without optimisation, on a machine with other work: what people wait for is held by ProcessTests. A
        // sanitizer takes what time it likes.
        let isSanitized = ProcessInfo.processInfo.environment["P2PRC_SANITIZER"] != nil
        #expect(isSanitized || judging < .seconds(30) && listing < .seconds(10))
    }
}

extension WallTime {
    fileprivate static func + (time: WallTime, seconds: Int) -> WallTime {
        WallTime(seconds: time.seconds + Int64(seconds))
    }
}
