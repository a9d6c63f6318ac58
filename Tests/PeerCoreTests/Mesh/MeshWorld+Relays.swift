import PeerCore
import PeerWire

/// Relays are measured, ranked and chosen.
extension MeshWorld {
    /// As a program would, from the changes.
    func noticeRelays(_ node: MeshNode) {
        for change in node.gossip.takeChanges() where node.isPeer {
            switch change {
            case .stored(let record):
                if record.record.roles.contains(.relay) {
                    node.relays[record.key] = (record, .notOffered, .zero)
                } else {
                    node.relays[record.key] = nil
                }
            case .removed(let key): node.relays[key] = nil
            }
        }
    }

    func runPeer(_ node: MeshNode) {
        ping(node)
        perform(node.failover.timePassed(at: now), node)
        for probe in node.plan.timePassed(at: now) { measure(probe, node) }
        probeStrangers(node)
        guard now.nanoseconds / 1_000_000_000 % 3 == UInt64(node.number % 3) else { return }
        let ranking = Ranking(candidates(of: node), current: node.failover.published.first, at: now)
        node.chosen = ranking.chosen
        node.plan.update(
            ranking.rows.filter { hasAnswered($0.key, node) }.map(\.key), held: node.failover.held, at: now)
        perform(node.failover.ranked(ranking.usable, at: now), node)
    }

    private func hasAnswered(_ key: NodeKey, _ node: MeshNode) -> Bool {
        node.logs[key]?.samples.contains { $0.roundTrip != nil } ?? false
    }

    /// As `MeshService` asks relays for the first time.
    private func probeStrangers(_ node: MeshNode) {
        guard node.strangers.hasRoom else { return }
        let candidates = node.relays.compactMap { key, entry -> StrangerProbes.Candidate? in
            guard case .proven(let address) = entry.verdict, !hasAnswered(key, node) else { return nil }
            let met = entry.record.record.witnesses.compactMap { node.gossip.table.metPlace(of: $0.witness) }
            return .init(key: key, address: address, witnesses: met)
        }
        let ordered = candidates.sorted { $0.key.tag < $1.key.tag }
        let chosen = node.strangers.next(
            ordered, hosts: &node.gossip.hosts, rows: node.gossip.table.count, at: now, using: &random)
        for candidate in chosen {
            if byHost[candidate.address.host] == nil { noteDial(node, candidate.address.host) }
            measure(.init(key: candidate.key, samples: 1), node, isFirst: true)
        }
    }

    private func candidates(of node: MeshNode) -> [Ranking.Candidate] {
        let time = node.gossip.clock.time(at: wall(of: node))
        let others = node.gossip.table.count - 2
        return node.relays.map { key, entry in
            var verdict = entry.verdict
            if now >= entry.until {
                verdict = RelayProof.judge(
                    entry.record.record, time: time, others: others,
                    isKnown: { node.gossip.table[$0] != nil }, didReach: { _ in false }, mayDial: { _ in true },
                    isGenuine: Seal.isStatement)
                node.relays[key] = (entry.record, verdict, now + .seconds(15))
            }
            return Ranking.Candidate(
                key: key, name: entry.record.record.name, proof: verdict,
                isDraining: entry.record.record.roles.contains(.draining), log: node.logs[key] ?? SampleLog())
        }
    }

    func relay(_ key: NodeKey) -> MeshNode? { byTag[key.tag] }

    private func roundTrip(_ node: MeshNode, _ relay: MeshNode) -> Instant.Span? {
        guard relay.isPublic, relay.isUp, let there = passage(node, relay), let back = passage(relay, node) else {
            return nil
        }
        return there + back
    }

    private func measure(_ probe: ProbePlan.Probe, _ node: MeshNode, isFirst: Bool = false) {
        let target = relay(probe.key)
        var isAnswered = false
        for _ in 0..<probe.samples {
            let roundTrip = target.flatMap { self.roundTrip(node, $0) }
            if roundTrip != nil { isAnswered = true }
            node.logs[probe.key, default: SampleLog()].add(ProbeSample(at: now, roundTrip: roundTrip, load: 0))
        }
        let epoch = node.epoch
        after(.milliseconds(500)) { [unowned self] in
            guard node.epoch == epoch else { return }
            if isFirst {
                node.strangers.ended(probe.key, answered: isAnswered, hosts: &node.gossip.hosts, at: now)
            } else {
                node.plan.ended(probe.key, answered: isAnswered, at: now)
            }
        }
    }

    /// Each session, twice a second: this is called once, so two.
    private func ping(_ node: MeshNode) {
        for key in node.failover.order {
            guard let target = relay(key) else { continue }
            for number in 0..<2 {
                let roundTrip = self.roundTrip(node, target)
                if number == 0 {
                    node.logs[key, default: SampleLog()].add(ProbeSample(at: now, roundTrip: roundTrip, load: 0))
                }
                if roundTrip != nil { perform(node.failover.heard(key, at: now), node) }
            }
        }
    }

    func perform(_ actions: [Failover.Action], _ node: MeshNode) {
        for case .connect(let key) in actions {
            guard let target = relay(key) else {
                fail("a session to a key that nobody has")
                return
            }
            if target.kind == .pretender { connectedToPretender = true }
            let isOpen = target.isPublic && target.isUp && (!isCut || target.side == node.side)
            let epoch = node.epoch
            after(.milliseconds(UInt64(3 * distance(node, target)))) { [unowned self] in
                guard node.isUp, node.epoch == epoch else { return }
                perform(
                    isOpen ? node.failover.established(key, at: now) : node.failover.lost(key, at: now), node)
                guard isOpen, plan.hollow > 0 else { return }
                let outcome = RelayOutcome([target.kind == .hollow ? .fails(.unreachable) : .works])
                perform(node.failover.served([key: outcome], at: now), node)
            }
        }
    }
}
