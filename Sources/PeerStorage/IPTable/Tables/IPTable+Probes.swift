import FoundationEssentials
import GRDB
public import PeerCore
public import PeerWire

/// One probe of a node, over the way that data would take (`ProbeSample`, with a time that outlives the process).
public struct NodeSample: Hashable, Sendable {
    public var node: NodeKey
    public var at: UnixTime
    /// Until the connection stood, TLS included; `nil` on a connection that was there already. To the microsecond.
    public var setUp: Instant.Span?
    /// `nil`: it was lost. To the microsecond.
    public var roundTrip: Instant.Span?

    public init(node: NodeKey, at: UnixTime, setUp: Instant.Span? = nil, roundTrip: Instant.Span?) {
        self.node = node
        self.at = at
        self.setUp = setUp
        self.roundTrip = roundTrip
    }
}

/// What the probes of a node came to within five minutes: for a picture of the last hours, when the samples themselves
/// are long gone.
public struct NodeSpan: Hashable, Sendable {
    public var node: NodeKey
    /// A multiple of `IPTable.spanLength`.
    public var start: UnixTime
    public var answers: Int
    public var lost: Int
    /// `nil` without an answer.
    public var best: Instant.Span?

    public init(node: NodeKey, start: UnixTime, answers: Int, lost: Int, best: Instant.Span?) {
        self.node = node
        self.start = start
        self.answers = answers
        self.lost = lost
        self.best = best
    }
}

extension IPTable {
    /// Probes of a node: the newest so many.
    public static let probesPerNode = 512
    /// Probes of all nodes together, and spans likewise; the oldest go.
    public static let probeLimit = 131_072
    /// Probes and spans older than this, counted from the newest one that comes in, go by and by. Milliseconds: a day.
    public static let probeLifetime: Int64 = 24 * 60 * 60 * 1_000
    /// Milliseconds: five minutes.
    public static let spanLength: Int64 = 5 * 60 * 1_000
    /// After how many probes those that are too old or too many are looked for, for it takes a look at all of them.
    static let probesBetweenPrunes = 1_024

    /// Adds what a round of probes measured, in one transaction.
    public func record(_ samples: [NodeSample]) throws(StorageError) {
        guard let newest = samples.map(\.at).max() else { return }
        let isTimeToPrune = probesSincePrune + samples.count >= Self.probesBetweenPrunes
        try write { database in
            for sample in samples { try Self.insert(sample, in: database) }
            for node in Set(samples.map(\.node)) { try Self.keepNewestProbes(of: node, in: database) }
            if isTimeToPrune {
                try Self.prune("probe_sample", "at", newest, in: database)
                try Self.prune("probe_span", "start", newest, in: database)
            }
        }
        probesSincePrune = isTimeToPrune ? 0 : probesSincePrune + samples.count
    }

    /// Probes from a moment on, of one node or of all, in the order of nodes and times.
    public func probes(of node: NodeKey? = nil, since start: UnixTime) throws(StorageError) -> [NodeSample] {
        var damaged: [[DatabaseValue]] = []
        let samples = try read { database in
            let rows = try Row.fetchCursor(
                database,
                sql: """
                    SELECT node, CAST(at AS INTEGER), CAST(setup_us AS INTEGER), CAST(rtt_us AS INTEGER)
                    FROM probe_sample
                        WHERE (?1 IS NULL OR node = ?1) AND at >= ?2 ORDER BY node, at, number
                    """,
                arguments: [node.map { Data($0.bytes) }, start.milliseconds])
            var samples: [NodeSample] = []
            var last: NodeKey?
            // A hundred thousand rows: by their places, where the casts leave no doubt about types, and a key only when
            // it is another than before.
            while let row = try rows.next() {
                let isSame = try row.withUnsafeData(atIndex: 0) { data in
                    last.map { data?.elementsEqual($0.bytes) == true } ?? false
                }
                guard let node = isSame ? last : try? row.rawKey("node") else {
                    damaged.append([row["node"] ?? .null])
                    continue
                }
                last = node
                samples.append(
                    NodeSample(
                        node: node, at: UnixTime(milliseconds: row[1] ?? 0), setUp: Self.span(row[2]),
                        roundTrip: Self.span(row[3])))
            }
            return samples
        }
        drop(damaged, from: "probe_sample", by: ["node"], "column node holds something unexpected")
        return samples
    }

    /// Spans from a moment on, of one node or of all, in the order of nodes and times.
    public func spans(of node: NodeKey? = nil, since start: UnixTime) throws(StorageError) -> [NodeSpan] {
        try rows(
            of: "probe_span", by: ["node", "start"],
            "SELECT * FROM probe_span WHERE (?1 IS NULL OR node = ?1) AND start >= ?2 ORDER BY node, start",
            arguments: [node.map { Data($0.bytes) }, start.milliseconds]
        ) { row in
            NodeSpan(
                node: try row.rawKey("node"), start: try row.time("start"), answers: try row.number("answers"),
                lost: try row.number("lost"), best: try row.optionalSpan("best_us"))
        }
    }

    // MARK: -

    private static func span(_ microseconds: Int64?) -> Instant.Span? {
        microseconds.map { .microseconds(UInt64(clamping: min($0, Int64.max / 1_000))) }
    }

    private static func insert(_ sample: NodeSample, in database: Database) throws {
        let node = Data(sample.node.bytes)
        let roundTrip = sample.roundTrip.map(microseconds)
        try database.cachedStatement(
            sql: """
                INSERT INTO probe_sample (node, at, number, setup_us, rtt_us) VALUES (?1, ?2,
                    (SELECT coalesce(max(number) + 1, 0) FROM probe_sample WHERE node = ?1 AND at = ?2), ?3, ?4)
                """
        ).execute(arguments: [node, sample.at.milliseconds, sample.setUp.map(microseconds), roundTrip])
        let start = sample.at.milliseconds - (sample.at.milliseconds % spanLength + spanLength) % spanLength
        try database.cachedStatement(
            sql: """
                INSERT INTO probe_span (node, start, answers, lost, best_us)
                    VALUES (?1, ?2, ?3 IS NOT NULL, ?3 IS NULL, ?3)
                    ON CONFLICT (node, start) DO UPDATE SET
                        answers = answers + excluded.answers, lost = lost + excluded.lost,
                        best_us = min(coalesce(best_us, excluded.best_us), coalesce(excluded.best_us, best_us))
                """
        ).execute(arguments: [node, start, roundTrip])
    }

    static func microseconds(_ span: Instant.Span) -> Int64 { Int64(clamping: span.nanoseconds / 1_000) }

    private static func keepNewestProbes(of node: NodeKey, in database: Database) throws {
        try database.cachedStatement(
            sql: """
                DELETE FROM probe_sample WHERE node = ?1 AND (at, number) <= (
                    SELECT at, number FROM probe_sample WHERE node = ?1 ORDER BY at DESC, number DESC LIMIT 1 OFFSET ?2)
                """
        ).execute(arguments: [Data(node.bytes), probesPerNode])
    }

    /// What is too old, and, where that leaves too many, the oldest of the rest, a little more than it must be.
    private static func prune(_ table: String, _ time: String, _ newest: UnixTime, in database: Database) throws {
        try database.execute(
            sql: "DELETE FROM \(table) WHERE \(time) < ?", arguments: [newest.milliseconds - probeLifetime])
        let count = try Int.fetchOne(database, sql: "SELECT count(*) FROM \(table)") ?? 0
        guard count > probeLimit else { return }
        try database.execute(
            sql: """
                DELETE FROM \(table) WHERE \(time) <= (SELECT \(time) FROM \(table) ORDER BY \(time) LIMIT 1 OFFSET ?)
                """,
            arguments: [count - probeLimit * 7 / 8])
    }
}
