internal import Logging
public import PeerCore
internal import PeerReactor
internal import PeerStorage
public import PeerWire

extension PeerService: RelaySelectorHost {
    var candidates: [RelayCandidate] {
        // One that the user named is there already, under this address or another.
        let named = namedKeys
        let places = Set(relays.filter(\.isNamed).map(\.endpoint))
        return (host?.candidates ?? []).filter {
            $0.key != keys.key && !named.contains($0.key) && !unwanted.contains($0.key) && !places.contains($0.endpoint)
        }
    }

    var costs: [NodeKey: Instant.Span] {
        let now = loop.clock()
        var costs: [NodeKey: Instant.Span] = [:]
        for relay in relays where !relay.isLeaving {
            guard let key = relay.terms?.key, let cost = RelayFigures(relay.latency.figures, at: now).cost else {
                continue
            }
            costs[key] = cost
        }
        return costs
    }

    var outcomes: [NodeKey: RelayOutcome] {
        var outcomes: [NodeKey: RelayOutcome] = [:]
        for relay in relays where relay.isEstablished && !relay.isLeaving {
            guard let key = relay.terms?.key else { continue }
            outcomes[key] = RelayOutcome(
                relay.agreements.values.map(\.outcome), carriesNothing: relay.channels.carriesNothing)
        }
        return outcomes
    }

    var waitsForNamed: Bool { relays.contains { $0.isNamed && $0.terms == nil && $0.reason == nil } }

    func former(among candidates: [RelayCandidate]) -> (keys: Set<NodeKey>, outlooks: [FirstChoice.Outlook]) {
        let former = formerRelays
        guard !former.isEmpty else { return ([], []) }
        let there = candidates.filter { former.contains($0.endpoint.description) }
        let others = (host?.outlooks(former.subtracting(there.map(\.endpoint.description))) ?? [:])
            .filter { !namedKeys.contains($0.key) }
        return (Set(there.map(\.key)).union(others.keys), Array(others.values))
    }

    func carryOut(failoverAction action: Failover.Action) {
        switch action {
        case .connect(let key):
            guard let candidate = selector.candidate(key),
                !relays.contains(where: { $0.endpoint == candidate.endpoint })
            else { return }
            log.about(candidate.endpoint).info("relay \(candidate.endpoint) (\(key.short)) is chosen")
            add(candidate.endpoint, chosenFor: key)
            host?.relayChosen()
        case .leave(let key, let reason):
            guard let relay = relays.first(where: { ($0.terms?.key ?? $0.chosenKey) == key && !$0.isLeaving }) else {
                return
            }
            log.about(relay.endpoint).info("relay \(relay.endpoint) (\(key.short)) is left: \(reason.text)")
            leave(relay, isPolite: reason == .drained || reason == .replaced || reason == .useless)
        case .doubt(let key, let failure):
            // Of one that the user named `tellReach` and `tellRefusal` say more, and what the user can do.
            guard let relay = relays.first(where: { $0.terms?.key == key }), !relay.isNamed else { return }
            log.about(relay.endpoint).info(
                "relay \(relay.endpoint) (\(key.short)) \(failure.text); another is looked for")
        case .publish:
            noteRelaysInUse()
            host?.changed()
        }
    }
}

/// Which relays have sessions beside those that the user named, and in which order all of them are shown.
extension PeerService {
    /// From the refusal of new visitors to the end of a session that is left: those who came before are served.
    static let farewell = Instant.Span.seconds(1)

    /// Relays that nobody named, and that this node's visitors were served at when the last process ended: host:port.
    /// Empty when they count no more.
    public var formerRelays: Set<String> {
        guard selector.isLoyal else { return [] }
        return Set(setup.lastRelays).subtracting(relays.filter(\.isNamed).map(\.endpoint.description))
    }

    private var namedKeys: Set<NodeKey> {
        Set(relays.filter(\.isNamed).compactMap { $0.terms?.key ?? knownRelays[$0.endpoint.description].key })
    }

    /// Whether the user named the relay with that key.
    public func isNamed(_ key: NodeKey) -> Bool { namedKeys.contains(key) }

    /// The candidates have changed.
    public func chooseRelays() { selector.turn() }

    /// At the next start the relays that were used last are the first choice (`PortMemory`).
    private func noteRelaysInUse() {
        let published = publishedRelays
        let used = order(relays).map(\.endpoint.description).filter { published.contains($0) }
        for agreed in memory.use(used) where !book.isTemporary(agreed.mapping) {
            parts.writer.write("an agreed port", { table throws(StorageError) in try table.save(agreed) })
        }
    }

    /// Its ports refuse first, and the session ends a little later: so no visitor is accepted and then dropped.
    private func leave(_ relay: UsedRelay, isPolite: Bool) {
        guard isPolite, relay.isEstablished else { return end(relay) }
        relay.isLeaving = true
        for id in relay.agreements.keys { relay.send(.report(id, state: .targetDown, isLeaving: true)) }
        loop.schedule(after: Self.farewell) { [weak self, weak relay] in
            guard let self, let relay, relay.isLeaving else { return }
            end(relay)
        }
    }

    private func end(_ relay: UsedRelay) {
        relay.isLeaving = false
        guard relay.isNamed else { return forget(relay) }
        // Named by the user: it is asked again, and takes this node back when it stays after all.
        relay.connection.close(because: "it lets its peers go")
    }

    func stands(_ relay: UsedRelay, _ key: NodeKey) {
        relay.drain.sessionBegan()
        if relay.isNamed { unwanted.remove(key) }
        // One relay under two addresses would end one session for the other, for ever.
        let twins = relays.filter { $0 !== relay && !$0.isNamed && $0.chosenKey == key }
        selector.established(key, isNamed: relay.isNamed)
        for twin in twins { forget(twin, butNotIts: key) }
    }

    /// It lets its peers go, or stays after all.
    func received(isDraining: Bool, from relay: UsedRelay) {
        takeUp(relay.drain.heard(isDraining, at: loop.clock()), relay)
    }

    /// - Parameter isDraining: what counts from now on; `nil`: nothing new yet.
    private func takeUp(_ isDraining: Bool?, _ relay: UsedRelay) {
        guard let key = relay.terms?.key else { return }
        if let isDraining {
            log.about(relay.endpoint).info("relay \(relay.endpoint) \(isDraining ? "lets its peers go" : "stays")")
            selector.drains(key, isDraining)
        }
        guard relay.drain.isWaiting, relay.drainTimer == nil else { return }
        relay.drainTimer = loop.schedule(after: DrainWord.pace) { [weak self, weak relay] in
            guard let self, let relay else { return }
            relay.drainTimer = nil
            guard relay.isEstablished, relays.contains(where: { $0 === relay }) else { return }
            takeUp(relay.drain.due(at: loop.clock()), relay)
        }
    }

    private func forget(_ twin: UsedRelay, butNotIts key: NodeKey) {
        forget(twin)
        // What was lost with it is not the relay.
        selector.established(key, isNamed: true)
    }

    /// Data channels failed, or one stands again.
    func channelsChanged(of group: ChannelGroup, _ change: (inout ChannelTrouble) -> Bool) {
        guard let relay = relays.first(where: { $0.terms?.session == group.session }), change(&relay.channels) else {
            return
        }
        // One that is silent has other troubles, and of a chosen one the selector tells.
        if relay.isNamed {
            let failure: MappingOutcome.Failure? = .carriesNothing
            let text = relay.channels.carriesNothing ? failure.text : "carries visitors again"
            log.about(relay.endpoint).warning("relay \(relay.endpoint) \(text)")
        }
        selector.outcomesChanged()
        host?.changed()
    }

    /// What this node makes of a relay that it did not have to be told of.
    public func use(of key: NodeKey) -> Failover.Use? { selector.use(of: key) }

    /// Addresses of the relays that visitors are sent to.
    public var publishedRelays: Set<String> {
        let keys = Set(selector.published)
        return Set(relays.filter { $0.terms.map { keys.contains($0.key) } ?? false }.map(\.endpoint.description))
    }

    /// As published, the best first; then those that are not published.
    func order(_ relays: [UsedRelay]) -> [UsedRelay] {
        let ranks = Dictionary(selector.published.enumerated().map { ($0.element, $0.offset) }) { first, _ in first }
        func rank(_ relay: UsedRelay) -> Int { relay.terms.flatMap { ranks[$0.key] } ?? .max }
        return relays.enumerated().sorted { (rank($0.element), $0.offset) < (rank($1.element), $1.offset) }
            .map(\.element)
    }

    /// Why a relay whose session stands serves nobody, as far as is known.
    func silence(of relay: UsedRelay) -> String? {
        guard let key = relay.terms?.key, selector.isSilent(key) else { return nil }
        return "the relay says nothing"
    }
}

extension MappingOutcome.Failure? {
    fileprivate var text: String {
        switch self {
        case .unreachable: "cannot be reached at its public ports"
        case .refused: "gives no port for what this node exposes"
        case .carriesNothing: "carries no visitors: its session stands, and none of its data channels does"
        case nil: "was not reached at its public ports yet"
        }
    }
}

extension Failover.Reason {
    fileprivate var text: String {
        switch self {
        case .replaced: "another one is better"
        case .drained: "it lets its peers go"
        case .silent: "it says nothing"
        case .tooSlow: "its session did not stand in time"
        case .useless: "visitors are not served there"
        }
    }
}
