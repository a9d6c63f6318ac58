public import Logging
public import PeerMesh
internal import PeerReactor
public import PeerStorage
public import PeerWire

/// Brings what the loops decide into the IP table, in the order of the calls and off the loops. A failure is logged
/// once until writing works again.
public final class TableWriter: Sendable {
    public let table: IPTable
    private let jobs: AsyncStream<@Sendable (IPTable) async -> Void>.Continuation
    private let worker: Task<Void, Never>
    private let log: Logger

    public init(_ table: IPTable, log: Logger) {
        self.table = table
        self.log = log
        let (stream, continuation) = AsyncStream<@Sendable (IPTable) async -> Void>.makeStream()
        jobs = continuation
        worker = Task { for await job in stream { await job(table) } }
    }

    /// `done` learns whether it was written.
    public func write(
        _ what: String, _ body: @escaping @Sendable (isolated IPTable) throws(StorageError) -> Void,
        done: @escaping @Sendable (Bool) -> Void = { _ in }
    ) {
        jobs.yield { [log] table in
            do throws(StorageError) {
                try await Self.run(body, on: table)
                done(true)
            } catch {
                log.error("\(what) could not be written down: \(error)")
                done(false)
            }
        }
    }

    private static func run(
        _ body: @Sendable (isolated IPTable) throws(StorageError) -> Void, on table: isolated IPTable
    ) throws(StorageError) {
        try body(table)
    }

    /// Returns when all that was handed over is written; nothing more is taken.
    public func finish() async {
        jobs.finish()
        await worker.value
    }
}

extension TableWriter: LeaseStore {
    public func save(_ lease: Lease, _ done: @escaping @Sendable (Bool) -> Void) {
        write("a lease", { table throws(StorageError) in try table.save(lease) }, done: done)
    }

    public func retire(_ former: NodeKey, for next: NodeKey) {
        let key = RetiredKey(former: former, next: next, learnt: UnixTime(.now))
        write("the end of a key", { table throws(StorageError) in try table.save(key) })
    }

    public func remove(_ claim: Claim) {
        write(
            "the end of a lease",
            { table throws(StorageError) in
                try table.removeLease(of: claim.key, mapping: claim.mapping)
            })
    }
}
