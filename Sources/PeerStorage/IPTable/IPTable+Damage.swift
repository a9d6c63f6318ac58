import GRDB

/// Rows of one table that hold what this program never writes: a hand was there, or the disk is failing.
public struct TableDamage: Hashable, Sendable, CustomStringConvertible {
    public let table: String
    /// Found at once; later ones of the same table are counted and not told.
    public let rows: Int
    /// About the first of them.
    public let reason: String
    /// `false`: the table was opened to be looked at, and whoever runs with it drops them.
    public let isDropped: Bool

    public var description: String {
        let what = rows == 1 ? "a row of '\(table)' is damaged" : "\(rows) rows of '\(table)' are damaged"
        return "IP table: \(what) (\(reason)) and \(isDropped ? "dropped" : "left out"); everything else is kept"
    }
}

extension IPTable {
    /// Reads rows each by itself: one that cannot be understood is dropped, and costs no other.
    ///
    /// - Parameter place: the columns that say which row it is, in the table and in what `sql` asks for.
    func rows<Value>(
        of table: String, by place: [String] = ["rowid"], _ sql: String, arguments: StatementArguments = [],
        _ make: (Row) throws -> Value
    ) throws(StorageError) -> [Value] {
        var damaged: [[DatabaseValue]] = []
        var reason = ""
        let values = try read { database in
            var values: [Value] = []
            let rows = try Row.fetchCursor(database, sql: sql, arguments: arguments)
            while let row = try rows.next() {
                do { values.append(try make(row)) } catch {
                    if damaged.isEmpty { reason = Self.reason(error) }
                    damaged.append(place.map { row[$0] ?? .null })
                }
            }
            return values
        }
        drop(damaged, from: table, by: place, reason)
        return values
    }

    /// Counts damaged rows, tells of the first of each table, and takes them out of it.
    func drop(_ rows: [[DatabaseValue]], from table: String, by place: [String], _ reason: String) {
        guard !rows.isEmpty else { return }
        note(TableDamage(table: table, rows: rows.count, reason: reason, isDropped: isHeld))
        guard isHeld else { return }
        let condition = place.map { "\($0) IS ?" }.joined(separator: " AND ")
        // Where the disk does not let them go, they are passed over each time.
        try? write { database in
            let statement = try database.cachedStatement(sql: "DELETE FROM \(table) WHERE \(condition)")
            for row in rows { try statement.execute(arguments: StatementArguments(row)) }
        }
    }

    static func reason(_ error: any Error) -> String { (error as? DatabaseError)?.message ?? "\(error)" }
}
