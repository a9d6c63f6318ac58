internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// Measuring how far relays are.
extension RelayFinder {
    /// A round trip that a session measured itself.
    func measured(_ roundTrip: Instant.Span, of key: NodeKey) {
        guard relays[key] != nil else { return }
        add([ProbeSample(at: context.now, roundTrip: roundTrip)], of: key)
    }

    /// A relay that was dialled for something else does not answer, and never did: a probe would not come through
    /// either.
    func noteSilence(of key: NodeKey) {
        guard hasRoom(for: key), !hasAnswered(key) else { return }
        add([ProbeSample(at: context.now, roundTrip: nil)], of: key)
    }

    private func hasRoom(for key: NodeKey) -> Bool {
        relays[key] != nil && (logs[key] != nil || logs.count < Self.maximumRelays)
    }

    func probe(at now: Instant) {
        for probe in plan.timePassed(at: now) {
            guard let address = relays[probe.key]?.provenAddress else {
                plan.ended(probe.key, answered: false, at: now)
                continue
            }
            measure(probe, at: address)
        }
    }

    /// Those that have not answered yet, once a second: one question each.
    func probeStrangers(at now: Instant) {
        guard strangerProbes.hasRoom else { return }
        let candidates = relays.compactMap { key, relay -> StrangerProbes.Candidate? in
            guard let address = relay.provenAddress, !hasAnswered(key),
                !directory.gossip.hosts.isProven(key, at: address.host, now)
            else { return nil }
            return .init(key: key, address: address, witnesses: metWitnesses(of: relay.record.record))
        }
        let chosen = strangerProbes.next(
            candidates, hosts: &directory.gossip.hosts, rows: directory.table.count, at: now, using: &random)
        for candidate in chosen { measure(.init(key: candidate.key, samples: 1), at: candidate.address, isFirst: true) }
    }

    /// All samples at once, each on a connection of its own, as a visitor's bytes would have one.
    ///
    /// - Parameter isFirst: it has not answered yet. Whoever is there sees one SYN: it is not waited for a second one.
    private func measure(_ probe: ProbePlan.Probe, at address: NodeAddress, isFirst: Bool = false) {
        let limit = plan.limits.probeLimit
        let question = client.request(
            MeshProbe.request(), to: Endpoint(address), probe.key, isAlone: true,
            limits: .init(connect: isFirst ? MeshClient.firstConnect : limit, total: limit, answer: 64))
        let round = ProbeRound(probe.samples)
        for _ in 0..<probe.samples {
            let sent = context.now
            client.ask(question) { [weak self] result in
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
        let now = context.now
        let isAnswered = samples.contains { $0.roundTrip != nil }
        if isFirst {
            strangerProbes.ended(key, answered: isAnswered, hosts: &directory.gossip.hosts, at: now)
        } else {
            plan.ended(key, answered: isAnswered, at: now)
        }
        guard relays[key] != nil, isAnswered || hasRoom(for: key) else { return }
        add(samples, of: key)
        let moment = context.moment
        context.store.record(
            samples.map { NodeSample(node: key, at: moment, setUp: $0.setUp, roundTrip: $0.roundTrip) })
        rank(at: now)
        context.host.changed()
        coordinator?.arm()
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
