internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// The relays of the mesh: which records offer one, whether that is proven, how far each is, and which one is best.
/// Belongs to the control loop, and to one `MeshService`.
///
/// `RelayFinder+Probing` asks them, `RelayFinder+Listing` says what is known.
final class RelayFinder {
    /// A record that offers a relay, and what is thought of it.
    struct Relay {
        var record: SignedRecord
        var verdict: RelayProof.Verdict
        /// Statements of the record whose signatures were judged.
        var statements: [DialBackStatement: Bool] = [:]
        /// When it is to be judged anew.
        var until: Instant
        /// How often it was judged as it is.
        var judged = 0

        /// Where others have reached it.
        var provenAddress: NodeAddress? {
            if case .proven(let address) = verdict { address } else { nil }
        }
    }

    /// Relays whose samples are kept, and that are listed.
    static let maximumRelays = 1_024
    /// Figures change with time alone, too: samples grow old.
    private static let rankingInterval = Instant.Span.seconds(3)

    let context: MeshContext
    let client: MeshClient
    let directory: Directory
    let contacts: Contacts
    /// Set as long as the mesh runs.
    weak var coordinator: (any MeshCoordinator)?

    private(set) var relays: [NodeKey: Relay] = [:]
    private(set) var logs: [NodeKey: SampleLog] = [:]
    var plan: ProbePlan
    var strangerProbes = StrangerProbes()
    private(set) var ranking = Ranking([], current: nil, at: .zero)
    /// What the ranking was made of has changed.
    private var isOutdated = true
    private var nextRanking = Instant.zero
    private var heldAtRanking: [NodeKey] = []
    var random: SeededGenerator

    init(_ context: MeshContext, _ directory: Directory, _ contacts: Contacts) {
        self.context = context
        client = directory.client
        self.directory = directory
        self.contacts = contacts
        plan = ProbePlan(seed: context.setup.seed &+ 3)
        random = SeededGenerator(seed: context.setup.seed &+ 4)
        for record in context.setup.records { notice(record) }
    }

    func keyRotated() {
        plan = ProbePlan(seed: random.next())
        strangerProbes = StrangerProbes()
    }

    /// When `probe` is due.
    var nextDeadline: Instant? { [plan.nextDeadline, strangerProbes.nextDeadline].compactMap { $0 }.min() }

    // MARK: Records

    /// - Returns: whether relays came, changed or went.
    func take(_ changes: [Gossip.Change]) -> Bool {
        var isListed = false
        for change in changes {
            switch change {
            case .stored(let record):
                isListed = isListed || relays[record.key] != nil || record.record.roles.contains(.relay)
                notice(record)
            case .removed(let key): isListed = relays.removeValue(forKey: key) != nil || isListed
            }
        }
        if isListed { isOutdated = true }
        return isListed
    }

    /// The former verdict holds until the next tick, when it is judged anew.
    private func notice(_ record: SignedRecord) {
        guard record.key != context.own else { return }
        guard record.record.roles.contains(.relay) else {
            relays[record.key] = nil
            return
        }
        let former = relays[record.key]
        let kept = former?.statements.filter { record.record.witnesses.contains($0.key) } ?? [:]
        relays[record.key] = Relay(
            record: record, verdict: former?.verdict ?? .tooFewWitnesses(0, of: 1), statements: kept, until: .zero)
    }

    // MARK: Ranking

    func add(_ samples: [ProbeSample], of key: NodeKey) {
        for sample in samples { logs[key, default: SampleLog()].add(sample) }
        isOutdated = true
    }

    /// Once a second.
    func tick(at now: Instant) {
        judgeRelays(now)
        if isOutdated || now >= nextRanking || heldAtRanking != context.host.heldRelays { rank(at: now) }
    }

    func rank(at now: Instant) {
        judgeRelays(now)
        let current = context.host.heldRelays
        (isOutdated, nextRanking, heldAtRanking) = (false, now + Self.rankingInterval, current)
        // What was never measured cannot be chosen, and there may be thousands: only listings have it.
        let candidates = logs.compactMap { key, log -> Ranking.Candidate? in
            guard let relay = relays[key] else { return nil }
            return Ranking.Candidate(
                key: key, name: relay.record.name, proof: relay.verdict,
                isDraining: relay.record.roles.contains(.draining), log: log)
        }
        ranking = Ranking(candidates, current: current.first, at: now)
        let measurable = ranking.rows.filter { row in
            if case .notProven = row.verdict { return false }
            return hasAnswered(row.key)
        }
        let held = Set(current.filter { relays[$0] != nil })
        plan.update(
            measurable.map(\.key) + metBefore(now), held: held, awaited: comingBack(now).subtracting(held), at: now)
        logs = logs.filter { relays[$0.key] != nil }
    }

    func hasAnswered(_ key: NodeKey) -> Bool { logs[key]?.hasAnswer == true }

    /// Relays that have not been measured since the start, and that this node has met where they are.
    private func metBefore(_ now: Instant) -> [NodeKey] {
        relays.compactMap { key, relay in
            guard let address = relay.provenAddress, !hasAnswered(key),
                directory.gossip.hosts.isProven(key, at: address.host, now)
            else { return nil }
            return key
        }.sorted { $0.tag < $1.tag }
    }

    /// Relays of last time: as soon as one is up again, visitors are to find what they look for where they look.
    private func comingBack(_ now: Instant) -> Set<NodeKey> {
        let former = context.host.formerRelays
        guard !former.isEmpty else { return [] }
        return Set(
            relays.compactMap { key, relay in
                guard let address = relay.provenAddress, former.contains(address.description),
                    directory.gossip.hosts.isProven(key, at: address.host, now)
                else { return nil }
                return key
            })
    }

    /// Where this node has met those that say they reached a relay: their word is worth something.
    func metWitnesses(of record: NodeRecord) -> [NetworkSteps] {
        record.witnesses.compactMap { statement in
            statement.witness == record.key ? nil : directory.gossip.table.metPlace(of: statement.witness)
        }
    }

    private func judgeRelays(_ now: Instant) {
        let due = relays.filter { $0.value.until <= now }
        guard !due.isEmpty else { return }
        let witnesses = contacts.witnesses(at: now)
        let former = context.host.formerRelays
        let (table, own, dialGuard) = (directory.table, context.own, context.dialGuard)
        let (time, signatures) = (directory.time, context.signatures)
        for (key, relay) in due {
            let others = contacts.sources(of: witnesses.filter { $0.key != key }.values)
            var statements = relay.statements
            let verdict = RelayProof.judge(
                relay.record.record, time: time, others: others, isKnown: { $0 == own || table[$0] != nil },
                didReach: { _ in hasAnswered(key) }, hasServed: { former.contains($0.description) },
                mayDial: { dialGuard.allows($0) },
                isGenuine: { statement, subject in
                    if let known = statements[statement] { return known }
                    let isGenuine = signatures.isGenuine(statement, of: subject)
                    statements[statement] = isGenuine
                    return isGenuine
                })
            keep(verdict, statements, of: key, at: now)
        }
    }

    private func keep(
        _ verdict: RelayProof.Verdict, _ statements: [DialBackStatement: Bool], of key: NodeKey, at now: Instant
    ) {
        guard var relay = relays[key] else { return }
        let hasChanged = verdict != relay.verdict
        let count = hasChanged ? 0 : relay.judged
        relay.verdict = verdict
        relay.statements = statements
        relay.judged = count + 1
        relay.until =
            now + RelayProof.span(of: verdict, named: relay.record.record.witnesses.count, judged: count)
        relays[key] = relay
        guard hasChanged else { return }
        isOutdated = true
        context.host.changed()
    }
}

extension SampleLog {
    var hasAnswer: Bool { samples.contains { $0.roundTrip != nil } }
}
