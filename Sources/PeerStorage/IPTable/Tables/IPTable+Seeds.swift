import GRDB

/// An address to begin with, of a node that has not said yet who it is: dialled, never ranked, never told to others.
public struct Seed: Hashable, Sendable {
    /// Who brought it.
    public enum Source: String, Hashable, Sendable, CaseIterable {
        /// `--as`.
        case user
        /// `--arn`.
        case root
        /// `import ip-table`: the user brought the file, and others wrote what is in it.
        case imported = "import"
        /// A P2PRC node told the adapter.
        case p2prc

        /// Whether it is the user's own word. Others' is dialled only where `DialPolicy` allows it.
        public var isUsers: Bool {
            switch self {
            case .user, .root: true
            case .imported, .p2prc: false
            }
        }
    }

    /// Characters of a name; a longer one is cut.
    public static let maximumName = 64

    /// host:port, IPv6 in brackets.
    public var address: String
    public var source: Source
    /// What the source calls it; empty where it says nothing.
    public var name: String
    public var added: UnixTime
    /// When it last answered us; `nil`: not yet.
    public var lastAnswered: UnixTime?

    public init(
        address: String, source: Source, name: String = "", added: UnixTime, lastAnswered: UnixTime? = nil
    ) {
        self.address = address
        self.source = source
        self.name = String(name.prefix(Self.maximumName))
        self.added = added
        self.lastAnswered = lastAnswered
    }
}

extension IPTable {
    /// Seeds, at most.
    public static let seedLimit = 1_024
    /// Of these, what P2PRC nodes may fill: anybody can tell the adapter something.
    public static let p2prcSeedLimit = 128

    /// What became of seeds that were saved.
    public struct SeedCount: Hashable, Sendable {
        public var added = 0
        /// They were there already. What the user says takes the place of what others said.
        public var known = 0
        /// There was no room.
        public var refused = 0

        public init() {}
    }

    @discardableResult
    public func save(_ seed: Seed) throws(StorageError) -> SeedCount { try save([seed]) }

    /// Adds seeds in one transaction. One that is there keeps when it was added and when it last answered.
    @discardableResult
    public func save(_ seeds: [Seed]) throws(StorageError) -> SeedCount {
        try write { database in
            var count = SeedCount()
            var room = try Self.seedLimit - Self.seedCount(database)
            var p2prcRoom = try Self.p2prcSeedLimit - Self.seedCount(database, .p2prc)
            for seed in seeds {
                if try Self.takeOver(seed, in: database) {
                    count.known += 1
                } else if room <= 0 || seed.source == .p2prc && p2prcRoom <= 0 {
                    count.refused += 1
                } else {
                    try Self.insert(seed, in: database)
                    count.added += 1
                    room -= 1
                    if seed.source == .p2prc { p2prcRoom -= 1 }
                }
            }
            return count
        }
    }

    /// `--arn`: this is the one to begin with, in place of all others.
    public func replaceSeeds(with root: Seed) throws(StorageError) {
        try write { database in
            try database.execute(sql: "DELETE FROM seed")
            try Self.insert(root, in: database)
        }
    }

    /// A seed answered us.
    public func seedAnswered(_ address: String, at moment: UnixTime) throws(StorageError) {
        try write { database in
            try database.execute(
                sql: "UPDATE seed SET last_answered = max(coalesce(last_answered, ?1), ?1) WHERE address = ?2",
                arguments: [moment.milliseconds, address])
        }
    }

    /// All of them, those that the user named in front, then roots, imports and those of P2PRC; in each the oldest
    /// first.
    public func seeds() throws(StorageError) -> [Seed] {
        try rows(
            of: "seed",
            """
            SELECT rowid, * FROM seed ORDER BY
                CASE source WHEN 'user' THEN 0 WHEN 'root' THEN 1 WHEN 'import' THEN 2 ELSE 3 END, added, rowid
            """
        ) { row in
            Seed(
                address: try row.text("address"),
                source: try row.value(Seed.Source(rawValue: try row.text("source")), "source"),
                name: try row.text("name"), added: try row.time("added"),
                lastAnswered: try row.optionalTime("last_answered"))
        }
    }

    // MARK: -

    private static func seedCount(_ database: Database, _ source: Seed.Source? = nil) throws -> Int {
        try Int.fetchOne(
            database, sql: "SELECT count(*) FROM seed WHERE ?1 IS NULL OR source = ?1", arguments: [source?.rawValue])
            ?? 0
    }

    /// `false` when it is not there yet.
    private static func takeOver(_ seed: Seed, in database: Database) throws -> Bool {
        guard
            let former = try String.fetchOne(
                database, sql: "SELECT source FROM seed WHERE address = ?", arguments: [seed.address])
        else { return false }
        if seed.source.isUsers || former == Seed.Source.p2prc.rawValue, former != seed.source.rawValue {
            try database.execute(
                sql: "UPDATE seed SET source = ?, name = ? WHERE address = ?",
                arguments: [seed.source.rawValue, seed.name, seed.address])
        }
        return true
    }

    private static func insert(_ seed: Seed, in database: Database) throws {
        try database.execute(
            sql: "INSERT INTO seed (address, source, name, added, last_answered) VALUES (?, ?, ?, ?, ?)",
            arguments: [
                seed.address, seed.source.rawValue, seed.name, seed.added.milliseconds,
                seed.lastAnswered?.milliseconds,
            ])
    }
}
