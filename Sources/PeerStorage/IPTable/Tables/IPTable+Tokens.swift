import GRDB
public import PeerCore
public import PeerWire

/// A token that this relay has issued, without the token itself: who holds that can use it.
public struct IssuedToken: Hashable, Sendable {
    /// Its jti.
    public var id: String
    public var name: String
    /// The kid of the key that signed it.
    public var key: String
    /// The claim `scope`, JSON.
    public var scope: String
    /// The only node key that may use it, where it was issued for one.
    public var node: NodeKey?
    public var issued: WallTime
    public var expires: WallTime

    public init(
        id: String, name: String, key: String, scope: String, node: NodeKey?, issued: WallTime, expires: WallTime
    ) {
        self.id = id
        self.name = name
        self.key = key
        self.scope = scope
        self.node = node
        self.issued = issued
        self.expires = expires
    }
}

/// What has become of an issued token.
public struct TokenStanding: Hashable, Sendable {
    public var token: IssuedToken
    public var revoked: WallTime?
    /// The node key that used it first.
    public var boundTo: NodeKey?
}

extension IPTable {
    /// The most rows of each of the three tables.
    public static let tokenLimit = 10_000
    /// Rows are kept for so many seconds after their token's end (400 days): a clock that is a year ahead for a while
    /// must not make the table forget what was revoked.
    public static let tokenMemory: Int64 = 400 * 86_400

    /// Fails with `.full` when as many tokens are remembered as may be.
    public func save(_ token: IssuedToken) throws(StorageError) {
        try write { database in
            try self.makeRoom("issued_token", token.issued, in: database)
            try database.execute(
                sql: """
                    INSERT INTO issued_token (jti, name, kid, scope, node, issued, expires) VALUES (?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    token.id, token.name, token.key, token.scope, token.node?.description, token.issued.seconds,
                    token.expires.seconds,
                ])
        }
    }

    /// All that are remembered, the newest first.
    public func tokens() throws(StorageError) -> [TokenStanding] {
        try rows(
            of: "issued_token",
            """
            SELECT issued_token.rowid, issued_token.*, revoked_token.revoked, token_binding.node AS bound_node
            FROM issued_token LEFT JOIN revoked_token USING (jti) LEFT JOIN token_binding USING (jti)
            ORDER BY issued_token.issued DESC, issued_token.rowid DESC
            """, Self.standing)
    }

    /// From now on the token opens nothing. One that is revoked already keeps its time.
    ///
    /// - Parameter expires: the token's own end; the row may go some time after it.
    public func revokeToken(_ id: String, at now: WallTime, expires: WallTime) throws(StorageError) {
        try write { database in
            try self.makeRoom("revoked_token", now, in: database)
            try database.execute(
                sql: "INSERT OR IGNORE INTO revoked_token (jti, revoked, expires) VALUES (?, ?, ?)",
                arguments: [id, now.seconds, expires.seconds])
        }
    }

    public func isTokenRevoked(_ id: String) throws(StorageError) -> Bool {
        try read { database in
            try Row.fetchOne(database, sql: "SELECT 1 FROM revoked_token WHERE jti = ?", arguments: [id]) != nil
        }
    }

    /// The node key that a token is bound to: the one that came first, for ever, or the one that it was handed over to.
    /// Asking and binding are one transaction.
    ///
    /// - Parameter formerly: keys that are known to have become `node`.
    public func bindToken(
        _ id: String, to node: NodeKey, formerly: [NodeKey] = [], at now: WallTime, expires: WallTime
    ) throws(StorageError) -> NodeKey {
        try write { database in
            let known = "SELECT node FROM token_binding WHERE jti = ?"
            if let row = try Row.fetchOne(database, sql: known, arguments: [id]) {
                // Not dropped: whoever came next would be taken for the one that came first.
                guard let bound = try? row.nodeKey("node") else {
                    throw StorageError(
                        .damaged, path: self.path, detail: "which node token \(id) is bound to cannot be read",
                        advice: "revoke it and issue another one (p2prc token revoke)")
                }
                guard formerly.contains(bound) else { return bound }
                try database.execute(
                    sql: "UPDATE token_binding SET node = ? WHERE jti = ?", arguments: [node.description, id])
                return node
            }
            try self.makeRoom("token_binding", now, in: database)
            try database.execute(
                sql: "INSERT OR IGNORE INTO token_binding (jti, node, bound, expires) VALUES (?, ?, ?, ?)",
                arguments: [id, node.description, now.seconds, expires.seconds])
            guard let row = try Row.fetchOne(database, sql: known, arguments: [id]) else {
                throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "a binding that was written is not there")
            }
            return try row.nodeKey("node")
        }
    }

    /// Forgets what ended so long ago that it cannot matter any more.
    ///
    /// - Returns: how many rows went.
    @discardableResult
    public func sweepTokens(at now: WallTime) throws(StorageError) -> Int {
        try write { database in
            var count = 0
            for table in ["issued_token", "revoked_token", "token_binding"] {
                try database.execute(
                    sql: "DELETE FROM \(table) WHERE expires < ?",
                    arguments: [now.seconds.subtractingReportingOverflow(Self.tokenMemory).partialValue])
                count += database.changesCount
            }
            return count
        }
    }

    /// Where a table is full, the rows of tokens that are over go, whatever their age; what was revoked is over too,
    /// and stays known as such.
    private nonisolated func makeRoom(_ table: String, _ now: WallTime, in database: Database) throws {
        func count() throws -> Int { try Int.fetchOne(database, sql: "SELECT count(*) FROM \(table)") ?? 0 }
        guard try count() >= Self.tokenLimit else { return }
        try database.execute(sql: "DELETE FROM \(table) WHERE expires <= ?", arguments: [now.seconds])
        if table != "revoked_token" {
            try database.execute(sql: "DELETE FROM \(table) WHERE jti IN (SELECT jti FROM revoked_token)")
        }
        guard try count() >= Self.tokenLimit else { return }
        throw StorageError(
            .full, path: path, detail: "it holds \(Self.tokenLimit) tokens that are not over (\(table))",
            advice: "revoke what nobody needs (p2prc token revoke), and give shorter --expires")
    }

    private static func standing(_ row: Row) throws -> TokenStanding {
        TokenStanding(
            token: IssuedToken(
                id: try row.text("jti"), name: try row.text("name"), key: try row.text("kid"),
                scope: try row.text("scope"), node: try row.optional("node") { try row.nodeKey($0) },
                issued: WallTime(seconds: try row.integer("issued")),
                expires: WallTime(seconds: try row.integer("expires"))),
            // It is revoked whenever that was. And what another table holds is no damage of this row.
            revoked: try row.optional("revoked") { WallTime(seconds: (try? row.integer($0)) ?? 0) },
            boundTo: try? row.optional("bound_node") { try row.nodeKey($0) })
    }
}

extension Row {
    /// `nil` for a column that holds nothing.
    func optional<Value>(_ column: String, _ read: (String) throws -> Value) throws -> Value? {
        guard let value: DatabaseValue = self[column], !value.isNull else { return nil }
        return try read(column)
    }
}
