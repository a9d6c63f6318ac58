import GRDB

/// The tables, as steps that are each taken once. A step that was released is never changed: a new one is added.
enum IPTableSchema {
    static func bringUpToDate(_ queue: DatabaseQueue, path: String) throws {
        try refuseNewer(queue, path: path)
        try migrator.migrate(queue)
    }

    static func checkIsCurrent(_ queue: DatabaseQueue, path: String) throws {
        try refuseNewer(queue, path: path)
        guard try queue.read(migrator.hasCompletedMigrations) else {
            throw StorageError(
                .missing, path: path, detail: "it was made by an older p2prc",
                advice: "start a node with this home once: it brings the table up to date")
        }
    }

    private static func refuseNewer(_ queue: DatabaseQueue, path: String) throws {
        guard try queue.read(migrator.hasBeenSuperseded) else { return }
        throw StorageError(.newer, path: path, detail: "it was made by a newer p2prc")
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 first tables") { try $0.execute(sql: firstTables) }
        migrator.registerMigration("2 tokens") { try $0.execute(sql: tokens) }
        migrator.registerMigration("3 accounts and filters") { try $0.execute(sql: accountsAndFilters) }
        migrator.registerMigration("4 retired keys") { try $0.execute(sql: retiredKeys) }
        migrator.registerMigration("5 mesh") { try $0.execute(sql: mesh) }
        migrator.registerMigration("6 process starts") { try $0.execute(sql: processStarts) }
        migrator.registerMigration("7 told mappings") { try $0.execute(sql: toldMappings) }
        migrator.registerMigration("mapping names") { try $0.execute(sql: mappingNames) }
        migrator.registerMigration("on demand") { try $0.execute(sql: onDemand) }
        migrator.registerMigration("accounts of retired keys") { try $0.execute(sql: retiredKeyAccounts) }
        migrator.registerMigration("proxy protocol") { try $0.execute(sql: proxyProtocol) }
        return migrator
    }

    /// Times: Unix milliseconds, but `expires` (seconds, as in the lease). `rtt_us`: microseconds. `protocols`: 1 TCP,
    /// 2 UDP, 3 both. The checks keep out what the types that are read back could not express.
    private static let firstTables = """
        CREATE TABLE node (
            key TEXT NOT NULL PRIMARY KEY CHECK (length(key) = 64 AND key NOT GLOB '*[^0-9a-f]*'),
            name TEXT NOT NULL,
            address TEXT NOT NULL,
            role TEXT NOT NULL CHECK (role IN ('relay', 'peer')),
            first_seen INTEGER NOT NULL,
            last_seen INTEGER NOT NULL
        );
        CREATE TABLE latency_sample (
            id INTEGER PRIMARY KEY,
            node TEXT NOT NULL CHECK (length(node) = 64 AND node NOT GLOB '*[^0-9a-f]*'),
            at INTEGER NOT NULL,
            rtt_us INTEGER NOT NULL CHECK (rtt_us >= 0)
        );
        CREATE INDEX latency_sample_of_node ON latency_sample (node, at);
        CREATE INDEX latency_sample_by_age ON latency_sample (at);
        CREATE TABLE lease (
            key TEXT NOT NULL CHECK (length(key) = 64 AND key NOT GLOB '*[^0-9a-f]*'),
            mapping TEXT NOT NULL CHECK (length(mapping) = 16 AND mapping NOT GLOB '*[^0-9a-f]*'),
            first_port INTEGER NOT NULL CHECK (first_port BETWEEN 1 AND 65535),
            last_port INTEGER NOT NULL CHECK (last_port BETWEEN first_port AND 65535),
            protocols INTEGER NOT NULL CHECK (protocols BETWEEN 1 AND 3),
            peer_name TEXT NOT NULL,
            target TEXT NOT NULL,
            expires INTEGER NOT NULL,
            PRIMARY KEY (key, mapping)
        );
        CREATE TABLE mapping_wish (
            id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND id NOT GLOB '*[^0-9a-f]*'),
            target_kind TEXT NOT NULL CHECK (target_kind IN ('server-port', 'service')),
            host TEXT CHECK ((host IS NULL) = (target_kind = 'server-port')),
            port INTEGER CHECK ((port IS NULL) = (target_kind = 'server-port') AND port BETWEEN 0 AND 65535),
            protocols INTEGER NOT NULL CHECK (protocols BETWEEN 1 AND 3),
            wish_kind TEXT NOT NULL CHECK (wish_kind IN ('any', 'exactly', 'preferably')),
            first_port INTEGER CHECK ((first_port IS NULL) = (wish_kind = 'any') AND first_port BETWEEN 1 AND 65535),
            count INTEGER NOT NULL CHECK (count BETWEEN 1 AND 65535)
        );
        CREATE TABLE agreed_port (
            mapping TEXT NOT NULL CHECK (length(mapping) = 16 AND mapping NOT GLOB '*[^0-9a-f]*'),
            relay TEXT NOT NULL,
            first_port INTEGER NOT NULL CHECK (first_port BETWEEN 1 AND 65535),
            count INTEGER NOT NULL CHECK (count BETWEEN 1 AND 65535),
            PRIMARY KEY (mapping, relay)
        );
        CREATE TABLE joined_relay (
            address TEXT NOT NULL PRIMARY KEY,
            added INTEGER NOT NULL
        );
        """

    /// Times: Unix seconds, as in the tokens. `scope`: the token's claim, JSON. `node`: the only node key that may use
    /// it, where it was issued for one. What is revoked or bound need not have been issued here: the key may have been
    /// used elsewhere, or the table was put aside.
    private static let tokens = """
        CREATE TABLE issued_token (
            jti TEXT NOT NULL PRIMARY KEY CHECK (length(jti) BETWEEN 1 AND 64),
            name TEXT NOT NULL,
            kid TEXT NOT NULL,
            scope TEXT NOT NULL,
            node TEXT CHECK (length(node) = 64 AND node NOT GLOB '*[^0-9a-f]*'),
            issued INTEGER NOT NULL,
            expires INTEGER NOT NULL
        );
        CREATE TABLE revoked_token (
            jti TEXT NOT NULL PRIMARY KEY CHECK (length(jti) BETWEEN 1 AND 64),
            revoked INTEGER NOT NULL,
            expires INTEGER NOT NULL
        );
        CREATE TABLE token_binding (
            jti TEXT NOT NULL PRIMARY KEY CHECK (length(jti) BETWEEN 1 AND 64),
            node TEXT NOT NULL CHECK (length(node) = 64 AND node NOT GLOB '*[^0-9a-f]*'),
            bound INTEGER NOT NULL,
            expires INTEGER NOT NULL
        );
        """

    /// `learnt`: Unix milliseconds.
    private static let retiredKeys = """
        CREATE TABLE retired_key (
            former TEXT NOT NULL PRIMARY KEY CHECK (length(former) = 64 AND former NOT GLOB '*[^0-9a-f]*'),
            next TEXT NOT NULL CHECK (length(next) = 64 AND next NOT GLOB '*[^0-9a-f]*'),
            learnt INTEGER NOT NULL
        );
        """

    /// `account`: kind and name of the membership, nothing where it is not known. `allow`, `deny`: networks with a
    /// blank between them.
    private static let accountsAndFilters = """
        ALTER TABLE lease ADD COLUMN account TEXT;
        ALTER TABLE mapping_wish ADD COLUMN allow TEXT NOT NULL DEFAULT '';
        ALTER TABLE mapping_wish ADD COLUMN deny TEXT NOT NULL DEFAULT '';
        """

    /// `began`: of the last process (`ProcessStart`); 0 before the first.
    private static let processStarts = "ALTER TABLE own_record ADD COLUMN began INTEGER NOT NULL DEFAULT 0"

    /// `tell`: the name in the node's record; nothing where it says nothing of the mapping.
    private static let toldMappings = "ALTER TABLE mapping_wish ADD COLUMN tell TEXT NOT NULL DEFAULT ''"

    /// `name`: what the user calls it; nothing where it has no name.
    private static let mappingNames = "ALTER TABLE mapping_wish ADD COLUMN name TEXT NOT NULL DEFAULT ''"

    /// `account`: as of a lease. `possessions`: 0 for a key that had nothing but a session.
    private static let retiredKeyAccounts = """
        ALTER TABLE retired_key ADD COLUMN account TEXT;
        ALTER TABLE retired_key ADD COLUMN possessions INTEGER NOT NULL DEFAULT 1 CHECK (possessions IN (0, 1));
        """

    /// `on_demand`: 1 where the target is dialled for visitors alone.
    private static let onDemand =
        "ALTER TABLE mapping_wish ADD COLUMN on_demand INTEGER NOT NULL DEFAULT 0 CHECK (on_demand IN (0, 1))"

    /// `proxy_protocol`: the version whose header the target gets; 0 for none.
    private static let proxyProtocol = """
        ALTER TABLE mapping_wish
            ADD COLUMN proxy_protocol INTEGER NOT NULL DEFAULT 0 CHECK (proxy_protocol IN (0, 1, 2));
        """
}
