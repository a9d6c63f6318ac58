public import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerStorage
public import PeerWire

/// A relay of the mesh as this node sees it, for whoever chooses one.
public struct MeshRelay: Sendable {
    public var key: NodeKey
    public var name: String
    /// The one that others have reached, where it is proven; it is to be dialled with `key` pinned. Else what it
    /// claims, for listings alone.
    public var address: NodeAddress
    public var isProven: Bool
    public var isDraining: Bool
    public var figures: RelayFigures
    /// `nil` where it cannot be chosen.
    public var cost: Instant.Span?
    public var verdict: Ranking.Verdict
    /// The same for people: why it is chosen or not.
    public var obstacle: String
    /// When its record was issued; seconds since 1970.
    public var issued: Int64
}

extension MeshService {
    /// Relays whose samples are kept, and that are listed.
    static let maximumRelays = 1_024
    /// A SYN that got no answer is repeated after a second.
    static let firstConnect = Instant.Span.milliseconds(900)

    /// Nodes that say of themselves that they are relays.
    public var relayKeys: Set<NodeKey> { Set(relays.keys) }

    /// The relays that are known, the best first; those that were measured before those that never answered.
    public var known: [MeshRelay] {
        var known = ranking.rows.prefix(Self.maximumRelays).compactMap { row in
            relays[row.key].flatMap { listed(row.key, $0, row) }
        }
        // Those that are not ranked: first whom somebody reached whom this node has met, and then by name.
        let room = Self.maximumRelays - min(ranking.rows.count, Self.maximumRelays)
        if room > 0 {
            let ranked = Set(ranking.rows.map(\.key))
            let others = relays.filter { !ranked.contains($0.key) }
                .map { (key: $0.key, value: $0.value, isAttested: !metWitnesses(of: $0.value.record.record).isEmpty) }
                .sorted {
                    ($1.isAttested ? 1 : 0, $0.value.record.name, $0.key.tag)
                        < ($0.isAttested ? 1 : 0, $1.value.record.name, $1.key.tag)
                }
            known += others.prefix(room).compactMap { listed($0.key, $0.value, nil) }
        }
        return known
    }

    private func listed(_ key: NodeKey, _ relay: Relay, _ row: Ranking.Row?) -> MeshRelay? {
        var proven: NodeAddress?
        if case .proven(let address) = relay.verdict { proven = address }
        let record = relay.record.record
        guard let address = proven ?? record.addresses.first else { return nil }
        // Proven since the ranking was made.
        let reason = proven == nil ? Ranking.reason(notProven: relay.verdict) : "it was heard of just now"
        let obstacle =
            host.isNamed(key) && proven == nil ? "used because you named it" : row.map(ranking.reason) ?? reason
        return MeshRelay(
            key: key, name: record.name, address: address, isProven: proven != nil,
            isDraining: record.roles.contains(.draining),
            figures: row?.figures ?? RelayFigures(SampleLog(), at: .zero), cost: row?.cost,
            verdict: row?.verdict ?? .notProven(relay.verdict),
            obstacle: obstacle, issued: record.issued)
    }

    /// The relays that may be chosen now, the cheapest first; asked for once a second.
    public var candidates: [RelayCandidate] {
        ranking.usable.compactMap { key, cost in
            guard case .proven(let address)? = relays[key]?.verdict else { return nil }
            return RelayCandidate(
                key: key, endpoint: Endpoint(host: address.host.description, port: address.port), cost: cost)
        }
    }

    /// Of these addresses, host:port, those of relays that are no candidates now, and may be soon.
    public func outlooks(_ addresses: Set<String>) -> [NodeKey: FirstChoice.Outlook] {
        var outlooks: [NodeKey: FirstChoice.Outlook] = [:]
        for relay in known where relay.cost == nil {
            let place = Endpoint(host: relay.address.host.description, port: relay.address.port).description
            guard addresses.contains(place) else { continue }
            switch relay.verdict {
            case .notMeasured, .notProven(.proven): outlooks[relay.key] = .measured
            case .silent, .notProven(.tooFewWitnesses): outlooks[relay.key] = .away
            case .chosen, .behind, .notWorthMoving, .notProven, .draining, .full: break
            }
        }
        return outlooks
    }

    /// A round trip that a session measured itself.
    public func measured(_ roundTrip: Instant.Span?, of key: NodeKey, load: Double? = nil) {
        guard relays[key] != nil else { return }
        logs[key, default: SampleLog()].add(ProbeSample(at: loop.clock(), roundTrip: roundTrip, load: load))
    }

    /// A relay that was dialled for something else does not answer, and never did: a probe would not come through
    /// either.
    func noteSilence(of key: NodeKey) {
        guard relays[key] != nil, logs[key]?.hasAnswer != true, logs[key] != nil || logs.count < Self.maximumRelays
        else {
            return
        }
        logs[key, default: SampleLog()].add(ProbeSample(at: loop.clock(), roundTrip: nil))
    }

    // MARK: Ranking

    func rank(_ now: Instant) {
        judgeRelays(now)
        let current = host.heldRelays
        // What was never measured cannot be chosen, and there may be thousands: only listings have it.
        let candidates = logs.compactMap { key, _ -> Ranking.Candidate? in
            guard let relay = relays[key] else { return nil }
            return Ranking.Candidate(
                key: key, name: relay.record.name, proof: relay.verdict,
                isDraining: relay.record.roles.contains(.draining), log: logs[key] ?? SampleLog())
        }
        ranking = Ranking(candidates, current: current.first, at: now)
        let measurable = ranking.rows.filter { row in
            if case .notProven = row.verdict { return false }
            return logs[row.key]?.hasAnswer ?? false
        }
        let held = Set(current.filter { relays[$0] != nil })
        plan.update(
            measurable.map(\.key) + metBefore(now), held: held, awaited: comingBack(now).subtracting(held), at: now)
        logs = logs.filter { relays[$0.key] != nil }
    }

    /// Relays that have not been measured since the start, and that this node has met where they are.
    private func metBefore(_ now: Instant) -> [NodeKey] {
        relays.compactMap { key, relay in
            guard case .proven(let address) = relay.verdict, logs[key]?.hasAnswer != true,
                gossip.hosts.isProven(key, at: address.host, now)
            else { return nil }
            return key
        }.sorted { $0.tag < $1.tag }
    }

    /// Relays of last time: as soon as one is up again, visitors are to find what they look for where they look.
    private func comingBack(_ now: Instant) -> Set<NodeKey> {
        let former = host.formerRelays
        guard !former.isEmpty else { return [] }
        return Set(
            relays.compactMap { key, relay in
                guard case .proven(let address) = relay.verdict, former.contains(address.description),
                    gossip.hosts.isProven(key, at: address.host, now)
                else { return nil }
                return key
            })
    }

    /// Where this node has met those that say they reached it: their word is worth something.
    private func metWitnesses(of record: NodeRecord) -> [NetworkSteps] {
        record.witnesses.compactMap { statement in
            statement.witness == record.key ? nil : gossip.table.metPlace(of: statement.witness)
        }
    }

    private func judgeRelays(_ now: Instant) {
        let due = relays.filter { $0.value.until <= now }
        guard !due.isEmpty else { return }
        let witnesses = witnesses(now)
        let former = host.formerRelays
        let (table, own, judge) = (gossip.table, identity.key, judge)
        for (key, relay) in due {
            let others = sources(of: witnesses.filter { $0.key != key }.values)
            var statements = relay.statements
            let verdict = RelayProof.judge(
                relay.record.record, time: time, others: others, isKnown: { $0 == own || table[$0] != nil },
                didReach: { _ in self.logs[key]?.hasAnswer == true },
                hasServed: { former.contains($0.description) }, mayDial: { judge.allows($0) },
                isGenuine: { statement, subject in
                    if let known = statements[statement] { return known }
                    let isGenuine = statement.isGenuine(of: subject)
                    statements[statement] = isGenuine
                    return isGenuine
                })
            let hasChanged = verdict != relay.verdict
            relays[key]?.verdict = verdict
            relays[key]?.statements = statements
            let count = hasChanged ? 0 : relay.judged
            relays[key]?.judged = count + 1
            relays[key]?.until =
                now + RelayProof.span(of: verdict, named: relay.record.record.witnesses.count, judged: count)
            if hasChanged { host.changed() }
        }
    }

    // MARK: Probes

    func probe(_ now: Instant) {
        for probe in plan.timePassed(at: now) {
            guard case .proven(let address) = relays[probe.key]?.verdict else {
                plan.ended(probe.key, answered: false, at: now)
                continue
            }
            measure(probe, at: address)
        }
    }

    /// Those that have not answered yet, once a second: one question each.
    func probeStrangers(_ now: Instant) {
        guard strangerProbes.hasRoom else { return }
        let candidates = relays.compactMap { key, relay -> StrangerProbes.Candidate? in
            guard case .proven(let address) = relay.verdict, logs[key]?.hasAnswer != true,
                !gossip.hosts.isProven(key, at: address.host, now)
            else { return nil }
            return .init(key: key, address: address, witnesses: metWitnesses(of: relay.record.record))
        }
        let chosen = strangerProbes.next(
            candidates, hosts: &gossip.hosts, rows: gossip.table.count, at: now, using: &random)
        for candidate in chosen { measure(.init(key: candidate.key, samples: 1), at: candidate.address, isFirst: true) }
    }

    /// All samples at once, each on a connection of its own, as a visitor's bytes would have one.
    ///
    /// - Parameter isFirst: it has not answered yet. Whoever is there sees one SYN: it is not waited for a second one.
    private func measure(_ probe: ProbePlan.Probe, at address: NodeAddress, isFirst: Bool = false) {
        let endpoint = Endpoint(host: address.host.description, port: address.port)
        let limit = plan.limits.probeLimit
        let question = request(
            MeshProbe.request(), to: endpoint, probe.key, isAlone: true,
            limits: .init(connect: isFirst ? Self.firstConnect : limit, total: limit, answer: 64))
        let round = ProbeRound(probe.samples)
        for _ in 0..<probe.samples {
            let sent = loop.clock()
            ask(question) { [weak self] result in
                guard let self else { return }
                round.add(Self.sample(result, sent: sent))
                if round.isComplete { ended(probe.key, round.samples, isFirst: isFirst) }
            }
        }
    }

    private static func sample(_ result: Result<NodeAnswer, NodeFailure>, sent: Instant) -> ProbeSample {
        // The way's own round trip is the one of TCP's handshake: what comes after it is the work of two processors.
        // But it counts only if an answer came, for a system accepts connections for a process that is stopped. Who is
        // busy, or answers something else, is there.
        guard case .success(let answer) = result else { return ProbeSample(at: sent, roundTrip: nil) }
        let said = answer.status == 200 ? MeshProbe.read(answer: answer.body) : nil
        return ProbeSample(
            at: sent, roundTrip: answer.distance ?? answer.roundTrip, setUp: answer.setUp, load: said?.load)
    }

    private func ended(_ key: NodeKey, _ samples: [ProbeSample], isFirst: Bool) {
        let now = loop.clock()
        let isAnswered = samples.contains { $0.roundTrip != nil }
        if isFirst {
            strangerProbes.ended(key, answered: isAnswered, hosts: &gossip.hosts, at: now)
        } else {
            plan.ended(key, answered: isAnswered, at: now)
        }
        guard relays[key] != nil, isAnswered || logs[key] != nil || logs.count < Self.maximumRelays else { return }
        for sample in samples { logs[key, default: SampleLog()].add(sample) }
        let moment = UnixTime(loop.wall())
        let rows = samples.map { NodeSample(node: key, at: moment, setUp: $0.setUp, roundTrip: $0.roundTrip) }
        writer.write("probes", for: .mesh, { table throws(StorageError) in try table.record(rows) })
        rank(now)
        host.changed()
        arm()
    }
}

/// The samples of one probe as they come in.
private final class ProbeRound {
    private(set) var samples: [ProbeSample] = []
    private let count: Int

    init(_ count: Int) { self.count = count }

    func add(_ sample: ProbeSample) { samples.append(sample) }
    var isComplete: Bool { samples.count == count }
}

extension SampleLog {
    fileprivate var hasAnswer: Bool { samples.contains { $0.roundTrip != nil } }
}
