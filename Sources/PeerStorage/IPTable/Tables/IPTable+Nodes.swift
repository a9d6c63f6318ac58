import GRDB
public import PeerWire

/// A node as this one has met it.
public struct KnownNode: Hashable, Sendable {
    public enum Role: String, Hashable, Sendable { case relay, peer }

    public var key: NodeKey
    /// What it calls itself.
    public var name: String
    /// host:port as it was dialled, IPv6 in brackets.
    public var address: String
    public var role: Role
    public var firstSeen: UnixTime
    public var lastSeen: UnixTime

    public init(
        key: NodeKey, name: String, address: String, role: Role, firstSeen: UnixTime, lastSeen: UnixTime
    ) {
        self.key = key
        self.name = name
        self.address = address
        self.role = role
        self.firstSeen = firstSeen
        self.lastSeen = lastSeen
    }
}

extension IPTable {
    /// Adds a node, or brings up to date what is known of its key; the earliest `firstSeen` and the latest `lastSeen`
    /// stay.
    public func save(_ node: KnownNode) throws(StorageError) {
        try write { database in
            try database.execute(
                sql: """
                    INSERT INTO node (key, name, address, role, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?)
                    ON CONFLICT (key) DO UPDATE SET
                        name = excluded.name, address = excluded.address, role = excluded.role,
                        first_seen = min(first_seen, excluded.first_seen),
                        last_seen = max(last_seen, excluded.last_seen)
                    """,
                arguments: [
                    node.key.description, node.name, node.address, node.role.rawValue, node.firstSeen.milliseconds,
                    node.lastSeen.milliseconds,
                ])
        }
    }

    /// Forgets a node and its samples; nothing happens when it is not known.
    public func removeNode(_ key: NodeKey) throws(StorageError) {
        try write { database in
            try database.execute(sql: "DELETE FROM node WHERE key = ?", arguments: [key.description])
            try database.execute(sql: "DELETE FROM latency_sample WHERE node = ?", arguments: [key.description])
        }
    }

    /// All nodes, the one seen last first.
    public func nodes() throws(StorageError) -> [KnownNode] {
        try rows(of: "node", "SELECT rowid, * FROM node ORDER BY last_seen DESC, key", Self.node)
    }

    public func node(_ key: NodeKey) throws(StorageError) -> KnownNode? {
        try rows(of: "node", "SELECT rowid, * FROM node WHERE key = ?", arguments: [key.description], Self.node).first
    }

    private static func node(_ row: Row) throws -> KnownNode {
        KnownNode(
            key: try row.nodeKey("key"), name: try row.text("name"), address: try row.text("address"),
            role: try row.value(KnownNode.Role(rawValue: try row.text("role")), "role"),
            firstSeen: try row.time("first_seen"), lastSeen: try row.time("last_seen"))
    }
}
