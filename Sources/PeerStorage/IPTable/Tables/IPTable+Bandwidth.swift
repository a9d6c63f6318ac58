import FoundationEssentials
import GRDB
public import PeerWire

/// What a transfer to measure by came to. Bytes a second; `nil`: not measured.
public struct BandwidthSample: Hashable, Sendable {
    public var node: NodeKey
    public var at: UnixTime
    public var down: UInt64?
    public var up: UInt64?

    public init(node: NodeKey, at: UnixTime, down: UInt64?, up: UInt64?) {
        self.node = node
        self.at = at
        self.down = down
        self.up = up
    }
}

/// Where a node was met: dialled there, and it proved its key.
public struct MetAddress: Hashable, Sendable {
    public var node: NodeKey
    /// host:port, IPv6 in brackets.
    public var address: String
    public var firstSeen: UnixTime
    public var lastSeen: UnixTime

    public init(node: NodeKey, address: String, firstSeen: UnixTime, lastSeen: UnixTime) {
        self.node = node
        self.address = address
        self.firstSeen = firstSeen
        self.lastSeen = lastSeen
    }
}

extension IPTable {
    /// Bandwidths of a node, and of all: the newest so many.
    public static let bandwidthsPerNode = 32
    public static let bandwidthLimit = 16_384
    /// Addresses of a node, and of all: those met last.
    public static let metAddressesPerNode = 8
    public static let metAddressLimit = 16_384

    public func record(_ sample: BandwidthSample) throws(StorageError) {
        try write { database in
            let node = Data(sample.node.bytes)
            try database.execute(
                sql: "INSERT OR REPLACE INTO bandwidth_sample (node, at, down, up) VALUES (?, ?, ?, ?)",
                arguments: [
                    node, sample.at.milliseconds, sample.down.map { Int64(clamping: $0) },
                    sample.up.map { Int64(clamping: $0) },
                ])
            try Self.keepNewest(
                "bandwidth_sample", "at", of: node, Self.bandwidthsPerNode, Self.bandwidthLimit, database)
        }
    }

    /// The newest measurement of each node in each direction.
    public func latestBandwidths() throws(StorageError) -> [NodeKey: BandwidthSample] {
        let sql = "SELECT * FROM bandwidth_sample ORDER BY node, at"
        let samples = try rows(of: "bandwidth_sample", by: ["node", "at"], sql) { row in
            BandwidthSample(
                node: try row.rawKey("node"), at: try row.time("at"), down: try row.optionalNumber("down"),
                up: try row.optionalNumber("up"))
        }
        return Dictionary(samples.map { ($0.node, $0) }) { former, later in
            BandwidthSample(
                node: later.node, at: later.at, down: later.down ?? former.down, up: later.up ?? former.up)
        }
    }

    /// A node was met; the earliest `firstSeen` and the latest `lastSeen` of an address stay.
    public func save(_ met: [MetAddress]) throws(StorageError) {
        guard !met.isEmpty else { return }
        try write { database in
            for met in met {
                let node = Data(met.node.bytes)
                try database.cachedStatement(
                    sql: """
                        INSERT INTO met_address (node, address, first_seen, last_seen) VALUES (?, ?, ?, ?)
                        ON CONFLICT (node, address) DO UPDATE SET
                            first_seen = min(first_seen, excluded.first_seen),
                            last_seen = max(last_seen, excluded.last_seen)
                        """
                ).execute(arguments: [node, met.address, met.firstSeen.milliseconds, met.lastSeen.milliseconds])
                try Self.keepNewest(
                    "met_address", "last_seen", of: node, Self.metAddressesPerNode, Self.metAddressLimit, database)
            }
        }
    }

    /// All of them, of each node the one met last in front.
    public func metAddresses() throws(StorageError) -> [MetAddress] {
        let sql = "SELECT * FROM met_address ORDER BY node, last_seen DESC, address"
        return try rows(of: "met_address", by: ["node", "address"], sql) { row in
            MetAddress(
                node: try row.rawKey("node"), address: try row.text("address"), firstSeen: try row.time("first_seen"),
                lastSeen: try row.time("last_seen"))
        }
    }

    private static func keepNewest(
        _ table: String, _ time: String, of node: Data, _ limit: Int, _ limitOfAll: Int, _ database: Database
    ) throws {
        let key = table == "met_address" ? "address" : "at"
        try database.cachedStatement(
            sql: """
                DELETE FROM \(table) WHERE node = ?1 AND \(key) IN (
                    SELECT \(key) FROM \(table) WHERE node = ?1 ORDER BY \(time) DESC, \(key) LIMIT -1 OFFSET ?2)
                """
        ).execute(arguments: [node, limit])
        let count = try database.cachedStatement(sql: "SELECT count(*) FROM \(table)")
        guard let all = try Int.fetchOne(count), all > limitOfAll else { return }
        // In blocks, for each look at all of them takes its time.
        try database.execute(
            sql: """
                DELETE FROM \(table) WHERE \(time) <= (SELECT \(time) FROM \(table) ORDER BY \(time) LIMIT 1 OFFSET ?)
                """,
            arguments: [limitOfAll / 8])
    }
}
