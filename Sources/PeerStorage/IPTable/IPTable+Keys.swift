import GRDB
public import PeerWire

/// A node key that was handed over to another one.
public struct RetiredKey: Hashable, Sendable {
    public var former: NodeKey
    public var next: NodeKey
    public var learnt: UnixTime

    public init(former: NodeKey, next: NodeKey, learnt: UnixTime) {
        self.former = former
        self.next = next
        self.learnt = learnt
    }
}

extension IPTable {
    /// Rows; the oldest go where there are more, some at once, for finding them means looking at all.
    public static let retiredKeyLimit = 16_384
    private static let retiredKeySlack = 256

    /// Writes down that a key was handed over. The first word counts.
    public func save(_ key: RetiredKey) throws(StorageError) {
        try write { database in
            try database.execute(
                sql: "INSERT OR IGNORE INTO retired_key (former, next, learnt) VALUES (?, ?, ?)",
                arguments: [key.former.description, key.next.description, key.learnt.milliseconds])
            try database.execute(
                sql: """
                    DELETE FROM retired_key WHERE rowid IN
                        (SELECT rowid FROM retired_key ORDER BY learnt, rowid LIMIT
                            (SELECT CASE WHEN COUNT(*) > ? THEN COUNT(*) - ? ELSE 0 END FROM retired_key))
                    """,
                arguments: [Self.retiredKeyLimit, Self.retiredKeyLimit - Self.retiredKeySlack])
        }
    }

    /// All of them, the oldest first.
    public func retiredKeys() throws(StorageError) -> [RetiredKey] {
        try rows(of: "retired_key", "SELECT rowid, * FROM retired_key ORDER BY learnt, rowid") { row in
            RetiredKey(
                former: try row.nodeKey("former"), next: try row.nodeKey("next"), learnt: try row.time("learnt"))
        }
    }
}
