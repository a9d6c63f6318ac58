extension IPTableSchema {
    /// Times: Unix milliseconds. `…_us`: microseconds. Keys are their 32 bytes here, for there may be a hundred
    /// thousand rows with one: as digits they would fill half of the file. A sample without `rtt_us` was lost.
    static let mesh = """
        CREATE TABLE seed (
            address TEXT NOT NULL PRIMARY KEY CHECK (length(address) BETWEEN 1 AND 272),
            source TEXT NOT NULL CHECK (source IN ('user', 'root', 'import', 'p2prc')),
            name TEXT NOT NULL CHECK (length(name) <= 256),
            added INTEGER NOT NULL,
            last_answered INTEGER
        );
        CREATE TABLE record (
            key BLOB NOT NULL PRIMARY KEY CHECK (typeof(key) = 'blob' AND length(key) = 32),
            bytes BLOB NOT NULL CHECK (typeof(bytes) = 'blob' AND length(bytes) BETWEEN 1 AND 2048),
            first_received INTEGER NOT NULL,
            received INTEGER NOT NULL
        );
        CREATE TABLE met_address (
            node BLOB NOT NULL CHECK (typeof(node) = 'blob' AND length(node) = 32),
            address TEXT NOT NULL CHECK (length(address) BETWEEN 1 AND 272),
            first_seen INTEGER NOT NULL,
            last_seen INTEGER NOT NULL,
            PRIMARY KEY (node, address)
        ) WITHOUT ROWID;
        CREATE TABLE own_record (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            issue INTEGER NOT NULL,
            bytes BLOB CHECK (bytes IS NULL OR typeof(bytes) = 'blob' AND length(bytes) BETWEEN 1 AND 2048),
            note TEXT NOT NULL
        );
        INSERT INTO own_record (id, issue, note) VALUES (1, 0, '');
        CREATE TABLE probe_sample (
            node BLOB NOT NULL CHECK (typeof(node) = 'blob' AND length(node) = 32),
            at INTEGER NOT NULL,
            number INTEGER NOT NULL,
            setup_us INTEGER CHECK (setup_us >= 0),
            rtt_us INTEGER CHECK (rtt_us >= 0),
            PRIMARY KEY (node, at, number)
        ) WITHOUT ROWID;
        CREATE TABLE probe_span (
            node BLOB NOT NULL CHECK (typeof(node) = 'blob' AND length(node) = 32),
            start INTEGER NOT NULL,
            answers INTEGER NOT NULL CHECK (answers >= 0),
            lost INTEGER NOT NULL CHECK (lost >= 0),
            best_us INTEGER CHECK ((best_us IS NULL) = (answers = 0) AND best_us >= 0),
            PRIMARY KEY (node, start)
        ) WITHOUT ROWID;
        CREATE TABLE bandwidth_sample (
            node BLOB NOT NULL CHECK (typeof(node) = 'blob' AND length(node) = 32),
            at INTEGER NOT NULL,
            down INTEGER CHECK (down >= 0),
            up INTEGER CHECK (up >= 0),
            PRIMARY KEY (node, at)
        ) WITHOUT ROWID;
        """
}
