import Foundation
import PeerCore
import PeerStorage
import PeerWire
import Synchronization
import TestSupport
import Testing

/// Rows that a hand has spoiled, past the table's own checks.
@Suite(.enabled(if: Ran.isInstalled("sqlite3", "--version"), "needs the command sqlite3"))
struct DamagedRowsTests {
    /// What was told of damage.
    final class Told: Sendable {
        private let kept = Mutex<[TableDamage]>([])
        var all: [TableDamage] { kept.withLock { $0 } }
        func add(_ damage: TableDamage) { kept.withLock { $0.append(damage) } }
    }

    /// One table, with one sound row, spoiled ones, and how many come back.
    struct Case: CustomTestStringConvertible, Sendable {
        let table: String
        /// Values of rows that are added beside it.
        let spoiled: [String]
        let fill: @Sendable (IPTable) async throws -> Void
        let count: @Sendable (IPTable) async throws -> Int
        var testDescription: String { table }
    }

    static let key = NodeKey.number(1)
    static let hex = String(repeating: "0b", count: 32)
    static let badHex = String(repeating: "z", count: 64)
    static let blob = "x'\(hex)'"
    static let mapping = MappingID(value: 7)
    static let token = IssuedToken(
        id: "good", name: "n", key: "k", scope: "{}", node: nil, issued: .someday, expires: .someday + 60)

    static let cases: [Case] = [
        Case(
            table: "node", spoiled: ["'\(badHex)','n','a:1','relay',1,1", "'\(hex)','n','a:1','king',1,1"],
            fill: {
                try await $0.save(
                    KnownNode(
                        key: key, name: "n", address: "a:1", role: .relay, firstSeen: .someday, lastSeen: .someday))
            }, count: { try await $0.nodes().count }),
        Case(
            table: "latency_sample", spoiled: ["8, '\(hex)', 9900000000000, 'long'", "9, '\(badHex)', 1, 1"],
            fill: { try await $0.record(LatencySample(node: key, at: .someday, roundTrip: .milliseconds(1))) },
            count: { try await $0.samples(since: UnixTime(milliseconds: 0)).count }),
        Case(
            table: "lease",
            spoiled: [
                "'\(badHex)', '0000000000000001', 1, 1, 1, 'p', 't', 1, NULL",
                "'\(hex)', '0000000000000001', 9, 8, 1, 'p', 't', 1, NULL",
                "'\(hex)', '0000000000000002', 8, 8, 9, 'p', 't', 1, NULL",
                "'\(hex)', '0000000000000003', 8, 8, 1, 'p', 't', 'soon', NULL",
                "'\(hex)', '0000000000000004', 8, 8, 1, x'ff', 't', 1, NULL",
                "'\(hex)', '0000000000000005', 8, 8, 1, 'p', 't', 1, 'nobody'",
            ],
            fill: {
                var lease = Lease(
                    key: key, mapping: mapping, ports: PortRange(first: 7, count: 1)!, protocols: .tcp,
                    peerName: "p", target: "t", expires: .someday)
                lease.account = .token(id: "t")
                try await $0.save(lease)
            }, count: { try await $0.leases().count }),
        Case(
            table: "mapping_wish",
            spoiled: [
                "'x', 'server-port', NULL, NULL, 1, 'any', NULL, 1, '', '', '', '', 0, 0",
                "'0000000000000001', 'moon', NULL, NULL, 1, 'any', NULL, 1, '', '', '', '', 0, 0",
                "'0000000000000002', 'service', 'h', 70000, 1, 'any', NULL, 1, '', '', '', '', 0, 0",
                "'0000000000000003', 'server-port', NULL, NULL, 1, 'exactly', 65535, 2, '', '', '', '', 0, 0",
                "'0000000000000004', 'server-port', NULL, NULL, 1, 'any', NULL, 1, '10.0.0.0/99', '', '', '', 0, 0",
                "'0000000000000005', 'server-port', NULL, NULL, 1, 'any', NULL, 1, '', '', hex(zeroblob(99)), '', 0, 0",
                "'0000000000000006', 'server-port', NULL, NULL, 1, 'any', NULL, 1, '', '', '', '', 0, 3",
                "'0000000000000008', 'server-port', NULL, NULL, 2, 'any', NULL, 1, '', '', '', '', 0, 1",
            ],
            fill: {
                try await $0.save(
                    MappingWish(id: mapping, target: .serverPort, protocols: .tcp, ports: .any(count: 1)))
            }, count: { try await $0.wishes().count }),
        Case(
            table: "agreed_port", spoiled: ["'0000000000000001', 'r:1', 0, 1", "'z', 'r:1', 1, 1"],
            fill: {
                try await $0.save(
                    AgreedPorts(mapping: mapping, relay: "a:1", ports: PortRange(first: 7, count: 1)!))
            }, count: { try await $0.agreedPorts().count }),
        Case(
            table: "joined_relay", spoiled: ["x'00', 1", "'b:1', 'yesterday'"],
            fill: { try await $0.save(JoinedRelay(address: "a:1", added: .someday)) },
            count: { try await $0.joinedRelays().count }),
        Case(
            table: "seed", spoiled: ["'b:1', 'rumour', '', 1, NULL", "'c:1', 'user', '', 1, 'never'"],
            fill: { try await $0.save(Seed(address: "a:1", source: .user, added: .someday)) },
            count: { try await $0.seeds().count }),
        Case(
            table: "record", spoiled: ["x'0b', x'00', 1, 1", "'key', x'00', 1, 1"],
            fill: {
                let identity = NodeIdentity(seed: [UInt8](repeating: 3, count: 32))!
                let record = NodeRecord(
                    key: identity.key, issue: 5, process: .init(began: 1, instance: 1),
                    issued: WallTime.someday.seconds, lifetime: 600)
                try await $0.apply([.stored(try SignedRecord(record, by: identity))], at: .someday)
            }, count: { try await $0.records(at: .someday).records.count }),
        Case(
            table: "met_address", spoiled: ["x'0b', 'b:1', 1, 1", "\(blob), 'b:1', 1, 'now'"],
            fill: {
                try await $0.save([
                    MetAddress(node: key, address: "a:1", firstSeen: .someday, lastSeen: .someday)
                ])
            }, count: { try await $0.metAddresses().count }),
        Case(
            table: "probe_sample", spoiled: ["x'0b', 9900000000000, 0, 1, 1", "'node', 9900000000000, 0, 1, 1"],
            fill: {
                try await $0.record([
                    NodeSample(node: key, at: .someday, roundTrip: .milliseconds(1))
                ])
            }, count: { try await $0.probes(since: UnixTime(milliseconds: 0)).count }),
        Case(
            table: "probe_span", spoiled: ["x'0b', 9900000000000, 1, 0, 1", "\(blob), 1, 'many', 0, 1"],
            fill: {
                try await $0.record([
                    NodeSample(node: key, at: .someday, roundTrip: .milliseconds(1))
                ])
            }, count: { try await $0.spans(since: UnixTime(milliseconds: 0)).count }),
        Case(
            table: "bandwidth_sample", spoiled: ["x'0b', 1, 1, 1", "\(blob), 1, -5, 1"],
            fill: { try await $0.record(BandwidthSample(node: key, at: .someday, down: 5, up: 5)) },
            count: { try await $0.latestBandwidths().count }),
        Case(
            table: "issued_token", spoiled: ["'b', 'n', 'k', '{}', 'z', 1, 1", "'c', 'n', 'k', '{}', NULL, 'now', 1"],
            fill: { try await $0.save(token) }, count: { try await $0.tokens().count }),
        Case(
            table: "retired_key", spoiled: ["'\(badHex)', '\(hex)', 1, NULL, 1", "'\(hex)', '\(badHex)', 1, NULL, 1"],
            fill: {
                let change = Retirement(former: key, next: .number(2), account: .token(id: "t"), hadPossessions: true)
                try await $0.save(RetiredKey(change, learnt: .someday))
            },
            count: { try await $0.retiredKeys().count }),
    ]

    let folder = TestFolder()
    let told = Told()
    var path: String { folder.file("ip_table.sqlite") }

    func spoil(_ sql: String) throws {
        #expect(try Ran(["sqlite3", path, "PRAGMA ignore_check_constraints = 1; \(sql)"]).status == 0, "\(sql)")
    }

    @Test(arguments: cases) func `spoiled rows are dropped, counted and told once, and everything else stays`(
        _ row: Case
    ) async throws {
        let home = try folder.home()
        let first = try IPTable.open(in: home, now: .someday).table
        for other in Self.cases where other.table != "probe_span" { try await other.fill(first) }
        try await first.close()
        for values in row.spoiled { try spoil("INSERT INTO \(row.table) VALUES (\(values))") }

        // A start puts nothing aside for it.
        let (table, warnings) = try IPTable.open(in: home, now: .someday) { [told] in told.add($0) }
        #expect(warnings == [])
        #expect(try await row.count(table) == 1)
        #expect(await table.damagedRows == [row.table: row.spoiled.count])
        #expect(told.all.count == 1)
        let text = try #require(told.all.first).description
        #expect(text.contains("'\(row.table)'") && text.contains("dropped") && !text.contains("\n"), "\(text)")
        // They are gone; one that comes later is dropped as well, and counted.
        #expect(try await row.count(table) == 1)
        #expect(await table.damagedRows == [row.table: row.spoiled.count])
        try spoil("INSERT INTO \(row.table) VALUES (\(row.spoiled[0]))")
        #expect(try await row.count(table) == 1)
        #expect(await table.damagedRows == [row.table: row.spoiled.count + 1])
        #expect(told.all.count == 1)
        for other in Self.cases where other.table != row.table {
            #expect(try await other.count(table) == 1, "\(other)")
        }
    }

    @Test func `the latest sample that can be read counts, where the last one is spoiled`() async throws {
        let table = try IPTable.open(in: try folder.home(), now: .someday).table
        let sample = LatencySample(node: Self.key, at: .someday, roundTrip: .milliseconds(3))
        try await table.record(sample)
        try spoil("INSERT INTO latency_sample (node, at, rtt_us) VALUES ('\(Self.key)', 9900000000000, 'long')")
        #expect(try await table.latestLatencies() == [Self.key: sample])
    }

    @Test func `a table that is only looked at is left as it is, and what is spoiled is left out`() async throws {
        let home = try folder.home()
        let table = try IPTable.open(in: home, now: .someday).table
        try await table.save(Seed(address: "a:1", source: .user, added: .someday))
        try spoil("INSERT INTO seed VALUES ('b:1', 'rumour', '', 1, NULL)")
        let seen = try IPTable.inspect(try Home.inspect(at: folder.path)) { [told] in told.add($0) }
        #expect(try await seen.seeds().map(\.address) == ["a:1"])
        #expect(told.all.map(\.isDropped) == [false])
        #expect(try Ran(["sqlite3", path, "SELECT count(*) FROM seed"]).output.hasPrefix("2"))
    }

    @Test func `what this node says of itself is written anew, where it is spoiled and where it is gone`() async throws
    {
        let home = try folder.home()
        for harm in [
            "UPDATE own_record SET issue = 'x', note = x'ff', began = 'y', bytes = 'z'", "DELETE FROM own_record",
        ] {
            let first = try IPTable.open(in: home, now: .someday).table
            try await first.save(lastIssue: 7)
            try await first.close()
            try spoil(harm)
            let table = try IPTable.open(in: home, now: .someday).table
            #expect(try await table.lastIssue() == 0)
            #expect(try await table.ownNote() == "")
            #expect(try await table.lastStart() == 0)
            #expect(try await table.ownRecord() == nil)
            try await table.save(lastIssue: 9)
            try await table.save(ownNote: "here")
            try await table.save(start: 5)
            #expect(try await table.lastIssue() == 9)
            #expect(try await table.ownNote() == "here")
            #expect(try await table.lastStart() == 5)
            try await table.close()
        }
    }

    @Test func `a key that was handed over stays so, where whose change it was is spoiled`() async throws {
        let home = try folder.home()
        let table = try IPTable.open(in: home, now: .someday).table
        let change = Retirement(former: Self.key, next: .number(2), account: .token(id: "t"), hadPossessions: false)
        try await table.save(RetiredKey(change, learnt: .someday))
        try spoil("UPDATE retired_key SET account = 'nobody', possessions = 'some'")
        let unknown = Retirement(former: Self.key, next: .number(2), account: nil, hadPossessions: true)
        #expect(try await table.retiredKeys() == [RetiredKey(unknown, learnt: .someday)])
        #expect(await table.damagedRows == [:])
    }

    @Test func `a token whose binding is spoiled opens nothing, and one that is revoked stays so`() async throws {
        let table = try IPTable.open(in: try folder.home(), now: .someday).table
        try await table.save(Self.token)
        _ = try await table.bindToken("good", to: Self.key, at: .someday, expires: .someday + 60)
        try spoil("UPDATE token_binding SET node = 'z'")
        let error = await #expect(throws: StorageError.self) {
            try await table.bindToken("good", to: Self.key, at: .someday, expires: .someday + 60)
        }
        #expect(error?.description.contains("p2prc token revoke") == true)
        #expect(try await table.bindToken("other", to: Self.key, at: .someday, expires: .someday + 60) == Self.key)
        try await table.revokeToken("good", at: .someday, expires: .someday + 60)
        try spoil("UPDATE revoked_token SET revoked = 'once'")
        let standing = try #require(try await table.tokens().first)
        #expect(standing.revoked != nil && standing.boundTo == nil)
        #expect(try await table.isTokenRevoked("good"))
    }
}
