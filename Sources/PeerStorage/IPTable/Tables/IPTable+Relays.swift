import GRDB
public import PeerWire

/// The ports that a relay last gave to a mapping, so that the peer asks for the same again.
public struct AgreedPorts: Hashable, Sendable {
    public var mapping: MappingID
    /// host:port of the relay, as it was dialled.
    public var relay: String
    public var ports: PortRange

    public init(mapping: MappingID, relay: String, ports: PortRange) {
        self.mapping = mapping
        self.relay = relay
        self.ports = ports
    }
}

/// A relay that the user told this node to use.
public struct JoinedRelay: Hashable, Sendable {
    /// As the user typed it.
    public var address: String
    public var added: UnixTime

    public init(address: String, added: UnixTime) {
        self.address = address
        self.added = added
    }
}

extension IPTable {
    /// Remembers what a relay gave, in place of what it gave before.
    public func save(_ agreed: AgreedPorts) throws(StorageError) {
        try write { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO agreed_port (mapping, relay, first_port, count) VALUES (?, ?, ?, ?)",
                arguments: [
                    agreed.mapping.description, agreed.relay, Int(agreed.ports.first), agreed.ports.count,
                ])
        }
    }

    public func removeAgreedPorts(of mapping: MappingID, relay: String) throws(StorageError) {
        try write { database in
            try database.execute(
                sql: "DELETE FROM agreed_port WHERE mapping = ? AND relay = ?",
                arguments: [mapping.description, relay])
        }
    }

    /// Those that were saved last come last.
    public func agreedPorts() throws(StorageError) -> [AgreedPorts] {
        try rows(of: "agreed_port", "SELECT rowid, * FROM agreed_port ORDER BY rowid") { row in
            AgreedPorts(mapping: try row.mapping("mapping"), relay: try row.text("relay"), ports: try row.ports())
        }
    }

    /// Remembers a relay; one that is known keeps the time at which it was first added.
    public func save(_ relay: JoinedRelay) throws(StorageError) {
        try write { database in
            try database.execute(
                sql: "INSERT OR IGNORE INTO joined_relay (address, added) VALUES (?, ?)",
                arguments: [relay.address, relay.added.milliseconds])
        }
    }

    public func removeJoinedRelay(_ address: String) throws(StorageError) {
        try write { database in
            try database.execute(sql: "DELETE FROM joined_relay WHERE address = ?", arguments: [address])
        }
    }

    /// All of them, the one that was added first in front.
    public func joinedRelays() throws(StorageError) -> [JoinedRelay] {
        try rows(of: "joined_relay", "SELECT rowid, * FROM joined_relay ORDER BY added, rowid") { row in
            JoinedRelay(address: try row.text("address"), added: try row.time("added"))
        }
    }
}
