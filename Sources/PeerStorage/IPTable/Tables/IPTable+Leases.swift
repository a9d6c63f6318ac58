import GRDB
public import PeerCore
public import PeerWire

extension IPTable {
    /// Adds a lease, or replaces the one of the same key and mapping.
    public func save(_ lease: Lease) throws(StorageError) {
        try write { try Self.insert(lease, in: $0) }
    }

    /// Makes these all the leases there are, in one transaction.
    public func replaceLeases(with leases: [Lease]) throws(StorageError) {
        try write { database in
            try database.execute(sql: "DELETE FROM lease")
            for lease in leases { try Self.insert(lease, in: database) }
        }
    }

    public func removeLease(of key: NodeKey, mapping: MappingID) throws(StorageError) {
        try write { database in
            try database.execute(
                sql: "DELETE FROM lease WHERE key = ? AND mapping = ?",
                arguments: [key.description, mapping.description])
        }
    }

    /// All leases, expired ones too (who decides about that knows the time), in the order of their ports.
    public func leases() throws(StorageError) -> [Lease] {
        try rows(
            of: "lease", "SELECT rowid, * FROM lease ORDER BY first_port, key, mapping", Self.lease)
    }

    private static func insert(_ lease: Lease, in database: Database) throws {
        try database.execute(
            sql: """
                INSERT OR REPLACE INTO lease
                    (key, mapping, first_port, last_port, protocols, peer_name, target, expires, account)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                lease.key.description, lease.mapping.description, Int(lease.ports.first), Int(lease.ports.last),
                Int(lease.protocols.rawValue), lease.peerName, lease.target, lease.expires.seconds,
                lease.account?.description,
            ])
    }

    private static func lease(_ row: Row) throws -> Lease {
        let ports = PortRange(first: try row.number("first_port"), last: try row.number("last_port"))
        let account = try row.optionalText("account")
        var lease = Lease(
            key: try row.nodeKey("key"), mapping: try row.mapping("mapping"),
            ports: try row.value(ports, "last_port"), protocols: try row.protocols("protocols"),
            peerName: try row.text("peer_name"), target: try row.text("target"),
            expires: WallTime(seconds: try row.integer("expires")))
        lease.account = try account.map { try row.value(Grant.Membership($0), "account") }
        return lease
    }
}
