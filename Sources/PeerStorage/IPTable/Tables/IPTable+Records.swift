import FoundationEssentials
import GRDB
public import PeerCore
public import PeerWire

/// A signed record and when it came.
public struct KeptRecord: Hashable, Sendable {
    public var record: SignedRecord
    /// The first record of this key, since it was last forgotten.
    public var firstReceived: UnixTime
    public var received: UnixTime

    public init(_ record: SignedRecord, firstReceived: UnixTime, received: UnixTime) {
        self.record = record
        self.firstReceived = firstReceived
        self.received = received
    }
}

/// What was read of the records, and what was wrong with the rest.
public struct KeptRecords: Hashable, Sendable {
    public var records: [KeptRecord] = []
    /// Rows that hold no record, or one that its node has not signed; left out.
    public var damaged: [NodeKey] = []
    /// About the first of them.
    public var damage: String?
    /// Rows whose key is none.
    var strays: [DatabaseValue] = []

    public init() {}
}

extension IPTable {
    /// Records, at most: as many as the mesh keeps in memory. Those received longest ago go where there are more.
    public static let recordLimit = 16_384

    /// Writes down what a round of gossip changed, in one transaction.
    public func apply(_ changes: [Gossip.Change], at moment: UnixTime) throws(StorageError) {
        guard !changes.isEmpty else { return }
        try write { database in
            let insert = try database.cachedStatement(
                sql: """
                    INSERT INTO record (key, bytes, first_received, received) VALUES (?1, ?2, ?3, ?3)
                    ON CONFLICT (key) DO UPDATE SET bytes = excluded.bytes, received = excluded.received
                    """)
            let remove = try database.cachedStatement(sql: "DELETE FROM record WHERE key = ?")
            for change in changes {
                switch change {
                case .stored(let record):
                    try insert.execute(arguments: [
                        Data(record.key.bytes), Data(record.bytes), moment.milliseconds,
                    ])
                case .removed(let key): try remove.execute(arguments: [Data(key.bytes)])
                }
            }
            try database.execute(
                sql: """
                    DELETE FROM record WHERE key IN (
                        SELECT key FROM record ORDER BY received LIMIT max(0, (SELECT count(*) FROM record) - ?))
                    """,
                arguments: [Self.recordLimit])
        }
    }

    /// The records that have not expired, each judged anew: what is on a disk may have been changed there. Damaged ones
    /// are taken out of the table.
    ///
    /// - Parameter moment: expired ones are left out, unjudged; they go with the first round of gossip.
    public func records(at moment: WallTime) throws(StorageError) -> KeptRecords {
        let found = try judged(at: moment) { $0.isGenuine }
        guard !found.damaged.isEmpty else { return found }
        try write { database in
            for key in found.damaged {
                try database.execute(sql: "DELETE FROM record WHERE key = ?", arguments: [Data(key.bytes)])
            }
        }
        return found
    }

    /// The same for listings, at once and without judging signatures: who could change the file, in a home that only
    /// its user may enter, could as well change what a listing says. Nothing that is dialled or ranked comes from here.
    public func unjudgedRecords(at moment: WallTime) throws(StorageError) -> KeptRecords {
        try judged(at: moment) { _ in true }
    }

    private func judged(
        at moment: WallTime, _ isGenuine: (SignedRecord) -> Bool
    ) throws(StorageError) -> KeptRecords {
        let found = try read { try Self.records(in: $0, at: moment, isGenuine: isGenuine) }
        drop(found.strays.map { [$0] }, from: "record", by: ["rowid"], "column key holds something unexpected")
        return found
    }

    private static func records(
        in database: Database, at moment: WallTime, isGenuine: (SignedRecord) -> Bool
    ) throws -> KeptRecords {
        var found = KeptRecords()
        let rows = try Row.fetchCursor(
            database, sql: "SELECT rowid, key, bytes, first_received, received FROM record ORDER BY key")
        while let row = try rows.next() {
            guard let key = try? row.rawKey("key") else {
                found.strays.append(row["rowid"] ?? .null)
                continue
            }
            do throws(WireError) {
                let record = try SignedRecord(try Self.bytes(row))
                guard record.expires > moment.seconds else { continue }
                guard record.key == key, isGenuine(record) else {
                    throw WireError(.malformedField, "\(record) is not what its node has signed")
                }
                found.records.append(
                    KeptRecord(
                        record, firstReceived: UnixTime(milliseconds: (try? row.integer("first_received")) ?? 0),
                        received: UnixTime(milliseconds: (try? row.integer("received")) ?? 0)))
            } catch {
                found.damaged.append(key)
                if found.damage == nil { found.damage = "\(error)" }
            }
        }
        return found
    }

    private static func bytes(_ row: Row) throws(WireError) -> [UInt8] {
        guard let bytes = try? row.bytes("bytes") else { throw WireError(.malformedFrame, "a record that is no bytes") }
        return bytes
    }
}

// MARK: - The node's own

extension IPTable {
    /// Of the last record that this node issued, whatever its key was then; 0 before the first.
    public func lastIssue() throws(StorageError) -> UInt64 {
        // One that lost its number finds its record at others, and goes above that.
        UInt64(bitPattern: try ownValue("issue") { try $0.integer("issue") } ?? 0)
    }

    /// A column of the one row about this node; `nil` where it holds something else, or the row is gone. That stays as
    /// it is until it is written anew.
    func ownValue<Value>(_ column: String, _ read: (Row) throws -> Value) throws(StorageError) -> Value? {
        let found = try self.read { database in
            try Row.fetchOne(database, sql: "SELECT \(column) FROM own_record").map { row in Result { try read(row) } }
        }
        switch found {
        case .success(let value): return value
        case .failure(let error):
            note(TableDamage(table: "own_record", rows: 1, reason: Self.reason(error), isDropped: false))
            return nil
        case nil: return nil
        }
    }

    /// Before the record goes out (`RecordAuthor`), so that no later one has a lower number; also what listings say of
    /// this node.
    public func save(own record: SignedRecord) throws(StorageError) {
        try save(lastIssue: record.issue)
        try write { database in
            try database.execute(sql: "UPDATE own_record SET bytes = ?", arguments: [Data(record.bytes)])
        }
    }

    /// The last one that this node issued; `nil` before the first, or when it cannot be read.
    public func ownRecord() throws(StorageError) -> SignedRecord? {
        try read { database in
            let sql = "SELECT bytes FROM own_record WHERE bytes IS NOT NULL"
            guard let row = try Row.fetchOne(database, sql: sql) else { return nil }
            return try? SignedRecord(try Self.bytes(row))
        }
    }

    /// A lower number than before changes nothing.
    public func save(lastIssue issue: UInt64) throws(StorageError) {
        let former = try lastIssue()
        guard issue > former else { return }
        try write { database in
            try database.execute(sql: "UPDATE own_record SET issue = ?", arguments: [Int64(bitPattern: issue)])
        }
    }

    /// What the user says of this node (`--amd`).
    public func ownNote() throws(StorageError) -> String {
        try ownValue("note") { try $0.text("note") } ?? ""
    }

    public func save(ownNote note: String) throws(StorageError) {
        try write { try $0.execute(sql: "UPDATE own_record SET note = ?", arguments: [note]) }
    }
}
