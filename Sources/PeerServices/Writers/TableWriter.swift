public import Logging
public import PeerCore
internal import PeerReactor
public import PeerStorage
public import PeerWire

/// Brings what the loops decide into the IP table, off the loops and for each party in the order of the calls. Parties
/// take turns, so nobody's write stands behind all those of another; and what nobody waits for (records of the mesh,
/// keys that were handed over and had nothing) has a turn in eight where leases wait. A failure is logged once for each
/// kind of thing, until writing works again.
///
/// What is true in memory already is *kept*: while it cannot be written it waits, and goes to the disk as soon as that
/// takes anything again. Of what is kept under one name the last word counts.
public final class TableWriter: Sendable {
    public typealias Body = @Sendable (isolated IPTable) throws(StorageError) -> Void
    /// `nil`: it was written.
    public typealias Done = @Sendable (StorageError?) -> Void

    /// Who causes a write.
    public enum Party: Hashable, Sendable {
        /// This node, and its user.
        case own
        /// Others, by what they tell in the mesh.
        case mesh
        /// The peers of a relay on this account.
        case account(Grant.Membership?)
    }

    private enum Turn: Sendable {
        case write(Job)
        /// Answers when nothing of that name waits, or why it does.
        case confirm(String, Done)
        case tryAgain
    }

    private struct Job: Sendable {
        var what: String
        /// Kept under that name, where there is one.
        var name: String?
        var body: Body
        /// `nil`: nobody waits for it.
        var done: Done?
    }

    private struct Waiting {
        var turns = RankedQueue<Party, Turn>()
        var keyChanges: [KeyLine: [NodeKey: RetiredKeyChange]] = [:]
        /// Lines whose changes have a turn ahead of them.
        var awaited: Set<KeyLine> = []
        var isFinished = false
    }

    /// Changes of key that are written down together, for a key costs nothing to make.
    private struct KeyLine: Hashable, Sendable {
        var account: Grant.Membership?
        var rank: RankedQueue<Party, Turn>.Rank
    }

    /// A membership that has so many writes waiting is not heard until there are fewer.
    private static let room = 1_024
    /// What waits is tried again so soon, and twice as late each time, up to the second figure.
    public static let pauses = (first: Duration.seconds(1), longest: Duration.seconds(30))
    /// Of more than that nothing waits: it is reported as not written, and that is all.
    static let maximumKept = 65_536
    /// Changes of key that wait in one line, while the disk takes none; of more nothing is written.
    private static let maximumKeyChanges = 4_096
    /// Where another process holds the table locked, each attempt takes as long as the table waits. So long after one
    /// nothing is tried for which nobody waits, or else those who do would wait for all that as well.
    private static let lockedPause = Duration.seconds(10)

    public let table: IPTable
    private let waiting = Locked(Waiting())
    private let wake: AsyncStream<Void>.Continuation
    private let worker: Task<Void, Never>

    public init(_ table: IPTable, log: Logger, pauses: (first: Duration, longest: Duration) = TableWriter.pauses) {
        self.table = table
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        wake = continuation
        let waiting = waiting
        worker = Task {
            var work = Work(table: table, log: log, pauses: pauses) {
                Self.append(.tryAgain, for: .own, waiting, continuation)
            }
            for await _ in stream {
                while let turn = waiting.withLock({ $0.turns.popFirst() }) { await work.take(turn) }
            }
            await work.writeKept()
        }
    }

    private static func append(
        _ turn: Turn, for party: Party, _ waiting: Locked<Waiting>, _ wake: AsyncStream<Void>.Continuation
    ) {
        waiting.withLock { waiting in
            if !waiting.isFinished { waiting.turns.append(turn, for: party, party == .mesh ? .second : .first) }
        }
        wake.yield()
    }

    private func append(_ turn: Turn, for party: Party) { Self.append(turn, for: party, waiting, wake) }

    /// Writes once; `done` learns what came of it.
    public func write(_ what: String, for party: Party = .own, _ body: @escaping Body, done: Done? = nil) {
        append(.write(Job(what: what, name: nil, body: body, done: done)), for: party)
    }

    /// Writes what counts in memory already, in place of what waits under that name. `done` learns what came of it at
    /// once; where that is a failure it is tried again until it works, or until something else is kept by that name.
    public func keep(
        _ what: String, as name: String, for party: Party = .own, _ body: @escaping Body, done: Done? = nil
    ) {
        append(.write(Job(what: what, name: name, body: body, done: done)), for: party)
    }

    /// Whether all that was kept under that name is on the disk; tries once more where it is not.
    public func confirm(_ name: String, done: @escaping Done) { append(.confirm(name, done), for: .own) }

    /// Returns when all that was handed over is written, or cannot be; nothing more is taken.
    public func finish() async {
        waiting.withLock { $0.isFinished = true }
        wake.yield()
        wake.finish()
        await worker.value
    }

    /// The worker's own, one turn after the other.
    private struct Work {
        let table: IPTable
        let log: Logger
        let pauses: (first: Duration, longest: Duration)
        let again: @Sendable () -> Void
        private var kept: [String: (number: Int, job: Job)] = [:]
        private var count = 0
        private var complained: Set<String> = []
        private var pause: Duration
        private var isWaiting = false
        /// When the table was found locked last.
        private var locked: ContinuousClock.Instant?

        init(
            table: IPTable, log: Logger, pauses: (first: Duration, longest: Duration),
            again: @escaping @Sendable () -> Void
        ) {
            self.table = table
            self.log = log
            self.pauses = pauses
            pause = pauses.first
            self.again = again
        }

        mutating func take(_ turn: Turn) async {
            switch turn {
            case .write(let job):
                if let name = job.name { kept[name] = nil }
                if job.name == nil, job.done == nil, isLocked { return }
                let error = await write(job)
                if error != nil { keep(job) }
                job.done?(error)
                if error == nil, !kept.isEmpty { await writeKept() }
            case .confirm(let name, let done):
                guard let waiting = kept[name]?.job else { return done(nil) }
                let error = await write(waiting)
                if error == nil { kept[name] = nil }
                done(error)
            case .tryAgain:
                isWaiting = false
                await writeKept()
            }
        }

        /// In the order in which it was handed over, up to the first that cannot be written.
        mutating func writeKept() async {
            for (name, entry) in kept.sorted(by: { $0.value.number < $1.value.number }) {
                guard await write(entry.job) == nil else { return wait() }
                kept[name] = nil
            }
            pause = pauses.first
        }

        private var isLocked: Bool { locked.map { ContinuousClock.now - $0 < TableWriter.lockedPause } ?? false }

        private mutating func keep(_ job: Job) {
            guard let name = job.name, kept.count < TableWriter.maximumKept else { return }
            count += 1
            kept[name] = (count, job)
            wait()
        }

        private mutating func wait() {
            guard !isWaiting, !kept.isEmpty else { return }
            isWaiting = true
            let (span, again) = (pause, again)
            pause = min(pause * 2, pauses.longest)
            Task {
                try? await Task.sleep(for: span)
                again()
            }
        }

        private mutating func write(_ job: Job) async -> StorageError? {
            do throws(StorageError) {
                try await TableWriter.run(job.body, on: table)
                locked = nil
                if complained.remove(job.what) != nil { log.info("\(job.what) could be written down again") }
                return nil
            } catch {
                locked = error.kind == .busy ? .now : nil
                if complained.insert(job.what).inserted { log.error("\(job.what) could not be written down: \(error)") }
                return error
            }
        }
    }

    private static func run(_ body: Body, on table: isolated IPTable) throws(StorageError) { try body(table) }
}

extension TableWriter: LeaseStore {
    private static func name(_ claim: Claim) -> String { "lease \(claim.key) \(claim.mapping)" }

    public func hasRoom(for account: Grant.Membership) -> Bool {
        waiting.withLock { $0.turns.count(of: .account(account)) } < Self.room
    }

    public func save(_ lease: Lease, for account: Grant.Membership?, _ done: @escaping @Sendable (Bool) -> Void) {
        keep(
            "a lease", as: Self.name(Claim(key: lease.key, mapping: lease.mapping)), for: .account(account),
            { table throws(StorageError) in try table.save(lease) }, done: { done($0 == nil) })
    }

    public func retire(_ retirement: Retirement, inLineWith account: Grant.Membership?) {
        let row = RetiredKeyChange.save(RetiredKey(retirement, learnt: UnixTime(.now)))
        // Its leases are about to move, and that it opens nothing any more has to be written down before that.
        let line = KeyLine(account: account, rank: retirement.hadPossessions ? .first : .second)
        change(line, retirement.former, row)
    }

    public func forgetRetired(_ former: NodeKey, on account: Grant.Membership?) {
        change(KeyLine(account: account, rank: .second), former, .remove)
    }

    private func change(_ line: KeyLine, _ former: NodeKey, _ change: RetiredKeyChange) {
        let waiting = waiting
        let body: Body = { table throws(StorageError) in
            let changes = waiting.withLock { waiting in
                waiting.awaited.remove(line)
                return waiting.keyChanges[line] ?? [:]
            }
            try table.apply(changes)
            waiting.withLock { waiting in
                // What came for a key meanwhile is not written yet.
                let left = waiting.keyChanges[line]?.filter { changes[$0.key] != $0.value } ?? [:]
                waiting.keyChanges[line] = left.isEmpty ? nil : left
            }
        }
        let name = "keys \(line.rank) \(line.account?.description ?? "")"
        let job = Job(what: "the end of a key", name: name, body: body)
        waiting.withLock { waiting in
            guard !waiting.isFinished else { return }
            // Whichever line it waits in: the last word on a key counts.
            for other in waiting.keyChanges.keys where other != line { waiting.keyChanges[other]?[former] = nil }
            let count = waiting.keyChanges[line]?.count ?? 0
            guard count < Self.maximumKeyChanges || waiting.keyChanges[line]?[former] != nil else { return }
            waiting.keyChanges[line, default: [:]][former] = change
            guard waiting.awaited.insert(line).inserted else { return }
            waiting.turns.append(.write(job), for: .account(line.account), line.rank)
        }
        wake.yield()
    }

    public func remove(_ claim: Claim, for account: Grant.Membership?) { remove(claim, for: account, done: nil) }

    /// The same, for somebody who waits for it.
    public func remove(_ claim: Claim, for account: Grant.Membership?, done: Done?) {
        keep(
            "the end of a lease", as: Self.name(claim), for: .account(account),
            { table throws(StorageError) in try table.removeLease(of: claim.key, mapping: claim.mapping) }, done: done)
    }
}
