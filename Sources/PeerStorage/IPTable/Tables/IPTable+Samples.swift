import GRDB
public import PeerCore
public import PeerWire

/// One measured round trip to a node.
public struct LatencySample: Hashable, Sendable {
    public var node: NodeKey
    public var at: UnixTime
    /// Kept to the microsecond.
    public var roundTrip: Instant.Span

    public init(node: NodeKey, at: UnixTime, roundTrip: Instant.Span) {
        self.node = node
        self.at = at
        self.roundTrip = roundTrip
    }
}

extension IPTable {
    /// The most samples kept of one node; the newest stay. At one every ten seconds that is well over an hour.
    public static let samplesPerNode = 512
    /// Samples older than this, counted from the newest one that comes in, are dropped. Milliseconds: a day.
    public static let sampleLifetime: Int64 = 24 * 60 * 60 * 1_000
    /// After how many samples those that are too old are looked for.
    static let samplesBetweenPrunes = 64

    public func record(_ sample: LatencySample) throws(StorageError) { try record([sample]) }

    /// Adds measurements in one transaction, and drops of what was there whatever is over the limits.
    public func record(_ samples: [LatencySample]) throws(StorageError) {
        guard let newest = samples.map(\.at).max() else { return }
        let isTimeToPrune = samplesSincePrune + samples.count >= Self.samplesBetweenPrunes
        try write { database in
            for sample in samples {
                try database.execute(
                    sql: "INSERT INTO latency_sample (node, at, rtt_us) VALUES (?, ?, ?)",
                    arguments: [
                        sample.node.description, sample.at.milliseconds,
                        Int64(clamping: sample.roundTrip.nanoseconds / 1_000),
                    ])
            }
            for node in Set(samples.map(\.node)) { try Self.keepNewest(of: node, in: database) }
            if isTimeToPrune { try Self.dropSamples(before: newest.milliseconds - Self.sampleLifetime, in: database) }
        }
        samplesSincePrune = isTimeToPrune ? 0 : samplesSincePrune + samples.count
    }

    /// The newest sample of each node that has one.
    public func latestLatencies() throws(StorageError) -> [NodeKey: LatencySample] {
        let known = damagedRows["latency_sample"]
        // With one max(), SQLite takes the other columns from the row that has the maximum.
        let sql = "SELECT id, node, max(at) AS at, rtt_us FROM latency_sample GROUP BY node"
        var samples = try rows(of: "latency_sample", by: ["id"], sql, Self.sample)
        // Those before what was dropped.
        if damagedRows["latency_sample"] != known {
            samples = try rows(of: "latency_sample", by: ["id"], sql, Self.sample)
        }
        return Dictionary(samples.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// All samples from a moment on, the oldest first.
    public func samples(since start: UnixTime) throws(StorageError) -> [LatencySample] {
        try rows(
            of: "latency_sample", by: ["id"],
            "SELECT id, node, at, rtt_us FROM latency_sample WHERE at >= ? ORDER BY at, id",
            arguments: [start.milliseconds], Self.sample)
    }

    /// Drops all samples from before a moment.
    ///
    /// - Returns: how many that were.
    @discardableResult
    public func prune(before moment: UnixTime) throws(StorageError) -> Int {
        try write { database in
            try Self.dropSamples(before: moment.milliseconds, in: database)
            return database.changesCount
        }
    }

    private static func dropSamples(before milliseconds: Int64, in database: Database) throws {
        try database.execute(sql: "DELETE FROM latency_sample WHERE at < ?", arguments: [milliseconds])
    }

    private static func keepNewest(of node: NodeKey, in database: Database) throws {
        try database.execute(
            sql: """
                DELETE FROM latency_sample WHERE id IN (
                    SELECT id FROM latency_sample WHERE node = ? ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?)
                """,
            arguments: [node.description, samplesPerNode])
    }

    private static func sample(_ row: Row) throws -> LatencySample {
        let microseconds: UInt64 = try row.number("rtt_us")
        return LatencySample(
            node: try row.nodeKey("node"), at: try row.time("at"),
            roundTrip: Instant.Span(nanoseconds: microseconds.multipliedReportingOverflow(by: 1_000).partialValue))
    }
}
