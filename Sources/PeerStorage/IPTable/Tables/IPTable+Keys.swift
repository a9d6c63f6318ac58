import GRDB
public import PeerCore
public import PeerWire

/// A node key that was handed over to another one.
public struct RetiredKey: Hashable, Sendable {
    public var retirement: Retirement
    public var learnt: UnixTime

    public init(_ retirement: Retirement, learnt: UnixTime) {
        self.retirement = retirement
        self.learnt = learnt
    }
}

/// What becomes of the row of a former key.
public enum RetiredKeyChange: Hashable, Sendable {
    case save(RetiredKey)
    case remove
}

extension IPTable {
    public func save(_ key: RetiredKey) throws(StorageError) { try apply([key.retirement.former: .save(key)]) }

    /// Writes down which keys were handed over and which are forgotten, all in one transaction. Which ones there are is
    /// the caller's decision: nothing here depends on how many.
    public func apply(_ changes: [NodeKey: RetiredKeyChange]) throws(StorageError) {
        guard !changes.isEmpty else { return }
        try write { database in
            let removal = try database.cachedStatement(sql: "DELETE FROM retired_key WHERE former = ?")
            let insertion = try database.cachedStatement(
                sql: """
                    INSERT OR REPLACE INTO retired_key (former, next, learnt, account, possessions)
                    VALUES (?, ?, ?, ?, ?)
                    """)
            for (former, change) in changes {
                switch change {
                case .remove: try removal.execute(arguments: [former.description])
                case .save(let key):
                    try insertion.execute(arguments: [
                        former.description, key.retirement.next.description, key.learnt.milliseconds,
                        key.retirement.account?.description, key.retirement.hadPossessions ? 1 : 0,
                    ])
                }
            }
        }
    }

    /// All of them, the oldest first.
    public func retiredKeys() throws(StorageError) -> [RetiredKey] {
        try rows(of: "retired_key", "SELECT rowid, * FROM retired_key ORDER BY learnt, rowid") { row in
            // A key that was handed over stays so, whatever has become of the rest of its row.
            let account = (try? row.optionalText("account")).flatMap { $0 }.flatMap { Grant.Membership($0) }
            let retirement = Retirement(
                former: try row.nodeKey("former"), next: try row.nodeKey("next"), account: account,
                hadPossessions: (try? row.integer("possessions")) != 0)
            return RetiredKey(retirement, learnt: try row.time("learnt"))
        }
    }

    /// Keys that a token is bound to, or was made for. A row that cannot be read says nothing of any.
    public func tokenHolders() throws(StorageError) -> [NodeKey] {
        try read { database in
            let sql = """
                SELECT node FROM token_binding UNION SELECT node FROM issued_token WHERE node IS NOT NULL ORDER BY node
                """
            return try Row.fetchAll(database, sql: sql).compactMap { try? $0.nodeKey("node") }
        }
    }
}
