public import Logging
public import PeerMesh
internal import PeerReactor
public import PeerStorage
public import PeerWire

/// Brings what the loops decide into the IP table, off the loops and for each party in the order of the calls. Parties
/// take turns, so nobody's write stands behind all those of another.
public final class TableWriter: Sendable {
    /// Who causes a write.
    public enum Party: Hashable, Sendable {
        /// This node, and its user.
        case own
        /// Others, by what they tell in the mesh.
        case mesh
        /// The peers of a relay on this account.
        case account(Grant.Membership?)
    }

    private typealias Job = @Sendable (IPTable) async -> Void

    private struct Waiting {
        var jobs = FairQueue<Party, Job>()
        var isFinished = false
    }

    /// A membership that has so many writes waiting is not heard until there are fewer.
    private static let room = 1_024

    public let table: IPTable
    private let waiting = Guarded(Waiting())
    private let turns: AsyncStream<Void>.Continuation
    private let worker: Task<Void, Never>
    private let log: Logger

    public init(_ table: IPTable, log: Logger) {
        self.table = table
        self.log = log
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        turns = continuation
        let waiting = waiting
        worker = Task {
            for await _ in stream {
                while let job = waiting.withLock({ $0.jobs.popFirst() }) { await job(table) }
            }
        }
    }

    private func append(_ job: @escaping Job, for party: Party) {
        waiting.withLock { waiting in
            if !waiting.isFinished { waiting.jobs.append(job, for: party) }
        }
        turns.yield()
    }

    /// `done` learns whether it was written.
    public func write(
        _ what: String, for party: Party = .own,
        _ body: @escaping @Sendable (isolated IPTable) throws(StorageError) -> Void,
        done: @escaping @Sendable (Bool) -> Void = { _ in }
    ) {
        append({ [log] table in
            do throws(StorageError) {
                try await Self.run(body, on: table)
                done(true)
            } catch {
                log.error("\(what) could not be written down: \(error)")
                done(false)
            }
        }, for: party)
    }

    private static func run(
        _ body: @Sendable (isolated IPTable) throws(StorageError) -> Void, on table: isolated IPTable
    ) throws(StorageError) {
        try body(table)
    }

    /// Returns when all that was handed over is written; nothing more is taken.
    public func finish() async {
        waiting.withLock { $0.isFinished = true }
        turns.yield()
        turns.finish()
        await worker.value
    }
}

extension TableWriter: LeaseStore {
    public func hasRoom(for account: Grant.Membership) -> Bool {
        waiting.withLock { $0.jobs.count(of: .account(account)) } < Self.room
    }

    public func save(_ lease: Lease, for account: Grant.Membership?, _ done: @escaping @Sendable (Bool) -> Void) {
        write(
            "a lease", for: .account(account), { table throws(StorageError) in try table.save(lease) }, done: done)
    }

    public func retire(_ former: NodeKey, for next: NodeKey, on account: Grant.Membership?) {
        let key = RetiredKey(former: former, next: next, learnt: UnixTime(.now))
        write("the end of a key", for: .account(account), { table throws(StorageError) in try table.save(key) })
    }

    public func remove(_ claim: Claim, for account: Grant.Membership?) {
        write(
            "the end of a lease", for: .account(account),
            { table throws(StorageError) in
                try table.removeLease(of: claim.key, mapping: claim.mapping)
            })
    }
}
