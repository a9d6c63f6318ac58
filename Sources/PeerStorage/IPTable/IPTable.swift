import GRDB
import Glibc
public import PeerCore

/// What a node knows of the others and has promised them, in one SQLite file; the only owner of that file.
///
/// Every method is one transaction and is on its way to the disk when it returns: a process that dies at once, however
/// it dies, loses nothing. A power cut can lose the last transactions (WAL with `synchronous = NORMAL`), never the
/// file's wholeness. Time always comes in as an argument.
public actor IPTable {
    private nonisolated let executor: DiskExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public nonisolated let path: String
    /// `nil` once closed: the library itself lets a closed connection be used, and SQLite ends the process then.
    private var queue: DatabaseQueue?
    /// Keeps the home's lock for as long as there may be writes; `nil` for a table that is only looked at.
    private let home: Home?
    /// Counts up to the next look for samples that are too old.
    var samplesSincePrune = 0
    /// The same for probes.
    var probesSincePrune = 0
    /// Damaged rows that were found since it was opened, by table.
    public private(set) var damagedRows: [String: Int] = [:]
    private let onDamage: @Sendable (TableDamage) -> Void

    private init(
        queue: DatabaseQueue, path: String, home: Home?, onDamage: @escaping @Sendable (TableDamage) -> Void
    ) {
        self.onDamage = onDamage
        self.executor = DiskExecutor(label: "p2prc.ip-table")
        self.queue = queue
        self.path = path
        self.home = home
    }

    /// Opens the table of a home and brings it up to this version. A file that is no sound database is put aside, with
    /// a warning, and a fresh one is begun.
    ///
    /// Fails with `.full`, `.denied`, `.busy` or `.failed` as the disk does, and with `.newer` for the table of a newer
    /// p2prc: none of these puts anything aside.
    ///
    /// - Parameter onDamage: told of damaged rows, once for each table; they are dropped, wherever they turn up.
    public static func open(
        in home: Home, now: WallTime, onDamage: @escaping @Sendable (TableDamage) -> Void = { _ in }
    ) throws(StorageError) -> (table: IPTable, warnings: [StorageWarning]) {
        try home.requireHeld()
        let path = home.paths.ipTable
        var warnings: [StorageWarning] = []
        if let damage = try damage(at: path) {
            let aside = try Disk.moveAside(path, companions: companions, at: now)
            warnings.append(StorageWarning(path: path, movedTo: aside, reason: damage))
        }
        Disk.makePrivate(path, companions: companions)
        let queue = try translating(path) {
            let queue = try DatabaseQueue(path: path, configuration: configuration(readonly: false))
            try IPTableSchema.bringUpToDate(queue, path: path)
            // Whoever took it out left nowhere to keep what this node says of itself. Nothing is written where it is.
            if try queue.read({ try Int.fetchOne($0, sql: "SELECT count(*) FROM own_record") }) == 0 {
                try queue.write { try $0.execute(sql: "INSERT INTO own_record (id, issue, note) VALUES (1, 0, '')") }
            }
            return queue
        }
        return (IPTable(queue: queue, path: path, home: home, onDamage: onDamage), warnings)
    }

    /// Opens a table to look at it, also while a node is running with it; nothing is repaired. Methods that write fail.
    ///
    /// Fails with `.missing` when there is none, with `.damaged` when it is not sound.
    public static func inspect(
        _ paths: HomePaths, onDamage: @escaping @Sendable (TableDamage) -> Void = { _ in }
    ) throws(StorageError) -> IPTable {
        let path = paths.ipTable
        guard try Disk.kind(of: path) != nil else {
            throw StorageError(.missing, path: path, detail: "there is no IP table yet")
        }
        if let damage = try damage(at: path) { throw StorageError(.damaged, path: path, detail: damage) }
        let queue = try translating(path) {
            let queue = try DatabaseQueue(path: path, configuration: configuration(readonly: true))
            try IPTableSchema.checkIsCurrent(queue, path: path)
            return queue
        }
        return IPTable(queue: queue, path: path, home: nil, onDamage: onDamage)
    }

    /// Ends the work with the file; methods that are called afterwards fail. Without it nothing is lost either.
    public func close() throws(StorageError) {
        guard let queue else { return }
        self.queue = nil
        try Self.translating(path) { try queue.close() }
    }

    // MARK: - For the files beside this one

    func read<Value>(_ body: (Database) throws -> Value) throws(StorageError) -> Value {
        let queue = try opened()
        return try Self.translating(path) { try queue.read(body) }
    }

    func write<Value>(_ body: (Database) throws -> Value) throws(StorageError) -> Value {
        guard let home else { throw StorageError(.notHeld, path: path, detail: "it was opened to be looked at only") }
        try home.requireHeld()
        let queue = try opened()
        return try Self.translating(path) { try queue.write(body) }
    }

    /// Whether it may be written.
    var isHeld: Bool { home != nil }

    func note(_ damage: TableDamage) {
        let isFirst =
            damagedRows.updateValue(
                damagedRows[damage.table, default: 0] + damage.rows, forKey: damage.table) == nil
        if isFirst { onDamage(damage) }
    }

    private func opened() throws(StorageError) -> DatabaseQueue {
        guard let queue else { throw StorageError(.notHeld, path: path, detail: "this table was closed") }
        return queue
    }

    // MARK: - Opening

    private static let companions = ["-wal", "-shm", "-journal"]

    /// Every error of the library leaves as one of ours.
    private static func translating<Value>(_ path: String, _ body: () throws -> Value) throws(StorageError) -> Value {
        do {
            return try body()
        } catch {
            throw StorageError(error, path: path)
        }
    }

    private static func configuration(readonly: Bool) -> Configuration {
        var configuration = Configuration()
        configuration.label = "IPTable"
        configuration.readonly = readonly
        // Seconds. Readers never wait in WAL; only a person's own writing tool can make us wait.
        configuration.busyMode = .timeout(5)
        // Sets synchronous = NORMAL too.
        if !readonly { configuration.journalMode = .wal }
        return configuration
    }

    /// What is wrong with the file; `nil` for a sound database or no file at all.
    private static func damage(at path: String) throws(StorageError) -> String? {
        guard let kind = try Disk.kind(of: path) else { return nil }
        if kind == S_IFDIR { return "a folder has its name" }
        if Disk.size(of: path) == 0 {
            // An empty file is an empty database, unless a journal proves that there was more.
            return Disk.size(of: path + "-wal") > 0 ? "it is empty, but its journal is not" : nil
        }
        do {
            return try translating(path) {
                // Opened for writing, because only a writer may play back the journal of a process that died.
                var configuration = Configuration()
                configuration.busyMode = .timeout(5)
                let queue = try DatabaseQueue(path: path, configuration: configuration)
                let verdict = try queue.inDatabase { database in
                    // A value that no row may have is that row's damage, not the file's (`rows(of:)`).
                    try database.execute(sql: "PRAGMA ignore_check_constraints = ON")
                    return try String.fetchOne(database, sql: "PRAGMA quick_check(1)")
                }
                try queue.close()
                return verdict == "ok" ? nil : Self.oneLine(verdict ?? "its check gave no answer")
            }
        } catch  where error.kind == .damaged {
            return error.detail
        }
    }

    /// The check answers in several lines, where people expect one.
    private static func oneLine(_ text: String) -> String { text.split(separator: "\n").joined(separator: " ") }
}
