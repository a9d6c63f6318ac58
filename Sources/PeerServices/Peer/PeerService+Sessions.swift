internal import Logging
internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// What comes of connections to relays.
extension PeerService: RelayConnectionHost {
    /// What the user can do when the wrong one of two processes with one key had to stop.
    static let afterSupersession =
        "this process stops; to go on with it, stop the other one, which has a copy of this "
        + "home, and start this one again"

    private func relay(_ connection: RelayConnection) -> UsedRelay? {
        relays.first { $0.connection === connection }
    }

    func mayDial(_ endpoint: Endpoint) -> Bool {
        HostAddress(endpoint.host).map { parts.judge.allows($0, port: endpoint.port, for: .node) } ?? false
    }

    func trust(in key: NodeKey, at connection: RelayConnection) -> RelayConnection.Trust {
        let address = connection.endpoint.description
        var pin: PeerHandshake.Pin?
        if case .changed(let pinned) = knownRelays.verdict(on: key, at: address) {
            pin = PeerHandshake.Pin(
                key: pinned, complaint: complaint(about: key, insteadOf: pinned, at: address), now: loop.wall())
        }
        let credentials = knownRelays.credentials(
            for: key, at: address, own: keys.meshKeys, history: keys.history.valid(at: loop.wall().seconds),
            isPinned: pin != nil, isTokenFor: { [host] in host?.isToken($0, for: $1) ?? false })
        return RelayConnection.Trust(
            pin: pin, credentials: credentials,
            hidesToken: pin == nil && knownRelays[address].token != nil && credentials.token == nil)
    }

    func heard(from connection: RelayConnection) {
        if let key = connection.terms?.key { selector.heard(key) }
    }

    func established(_ connection: RelayConnection, _ terms: SessionTerms, channels: Int) {
        guard let relay = relay(connection) else { return }
        let protection = terms.protection.isPlain ? ", data channels not encrypted" : ""
        log.about(relay.endpoint).info(
            "session to relay \(relay.endpoint) (\(terms.name), \(terms.key.short)\(protection))")
        if terms.basis == .openRelay {
            log.about(relay.endpoint).warning(
                "relay \(relay.endpoint) is open: anybody may use it, and nothing but its key tells who it is")
        }
        follow(relay, terms.formerKeys, to: terms.key)
        // A chosen one is known by its record; what is pinned is what the user named.
        if relay.isNamed, knownRelays.learn(terms.key, meshKey: terms.meshKey, at: relay.endpoint.description) {
            host?.save(knownRelays, done: nil)
        }
        relay.latency.sessionBegan()
        relay.channels = ChannelTrouble(groups: terms.groups)
        relay.datagramsTakeStream = false
        if let address = relay.remoteAddress {
            for number in 0..<terms.groups {
                onLane(of: number, terms, relay) { lane, group in
                    lane.channels.begin(terms, group: group.number, at: [address], wanted: channels)
                    if number == 0 { lane.datagrams.begin(terms, at: address) }
                }
            }
        }
        let moment = UnixTime(loop.wall())
        let record = KnownNode(
            key: terms.key, name: terms.name, address: relay.endpoint.description, role: .relay, firstSeen: moment,
            lastSeen: moment)
        parts.writer.write("a relay", { table throws(StorageError) in try table.save(record) })
        for id in relay.agreements.keys { begin(id, at: relay) }
        checks.relayJoined()
        stands(relay, terms.key)
        if relay.isNamed { host?.namedRelayStands(relay.endpoint) }
        host?.changed()
    }

    func lost(_ connection: RelayConnection, _ terms: SessionTerms?) {
        if let relay = relay(connection) { lost(relay, terms) }
    }

    /// - Parameter terms: of the session that was there.
    func lost(_ relay: UsedRelay, _ terms: SessionTerms?) {
        if let terms {
            for number in 0..<terms.groups {
                onLane(of: number, terms, relay) { lane, group in
                    lane.channels.end(group)
                    if number == 0 { lane.datagrams.end(group.session) }
                }
            }
        }
        relay.waiting = []
        relay.checks.sessionLost()
        relay.renewal.take()?("the session ended before the relay said what it makes of it")
        for id in relay.agreements.keys { handle(.sessionLost, id, relay) }
        if let key = terms?.key { selector.lost(key) }
        host?.changed()
    }

    func measured(_ latency: Instant.Span, of connection: RelayConnection) {
        guard let relay = relay(connection) else { return }
        if let key = relay.terms?.key { host?.measured(latency, of: key) }
        guard let best = relay.latency.measured(latency, at: loop.clock()), let key = relay.key else { return }
        let sample = LatencySample(node: key, at: UnixTime(loop.wall()), roundTrip: best)
        parts.writer.write("a latency sample", { table throws(StorageError) in try table.record(sample) })
        host?.changed()
    }

    func fell(_ connection: RelayConnection, _ reason: String) {
        log.about(connection.endpoint).info("relay \(connection.endpoint), chosen by this node: \(reason)")
        guard let relay = relay(connection), let key = relay.chosenKey else { return }
        forget(relay)
        selector.lost(key)
    }

    func superseded(_ connection: RelayConnection, _ detail: String) {
        log.about(connection.endpoint).error(
            "relay \(connection.endpoint): superseded, \(detail); \(Self.afterSupersession)")
        host?.superseded()
    }

    func changed() { host?.changed() }

    func deliver(_ message: RelayMessage, from connection: RelayConnection) {
        guard let relay = relay(connection) else { return }
        switch message {
        case .offer(let offer): handle(.offered(offer), offer.mapping, relay)
        case .active(let mapping, let attempt, let host):
            relay.toldRefusals[mapping] = nil
            handle(.activated(attempt: attempt, host: host), mapping, relay)
        case .refusal(let mapping, .withdrawn, _) where relay.agreements[mapping].map({ $0.stage == .offline }) ?? true:
            // Leased to this node, and not asked for in this session: the relay says so once.
            if book.isToBeReleased(mapping) { relay.send(.release(mapping)) }
        case .refusal(let mapping, let reason, let detail):
            tellRefusal(of: mapping, reason, detail, relay)
            handle(.refused(reason, detail: detail), mapping, relay)
        case .channelsWanted(let count, let number):
            guard let terms = relay.terms else { return }
            onLane(of: Int(number), terms, relay) { $0.channels.want(Int(count), for: $1) }
        case .datagramsMissed:
            guard let terms = relay.terms else { return }
            onLane(of: 0, terms, relay) { $0.datagrams.missed($1.session) }
        case .checkDone(let number, let passed, _): checks.verifierAnswered(number, passed: passed, relay)
        case .meshKeyRenewed(let key): received(meshKey: key, from: relay)
        case .keyHistory(let history): received(keyHistory: history, from: relay)
        case .tokenJudged(let reason): judged(reason, by: relay)
        case .draining(let isDraining): received(isDraining: isDraining, from: relay)
        case .receipt(let draft):
            guard let key = relay.terms?.key else { return }
            handle(.receiptOffered(draft, relay: key, peer: keys.key), draft.terms.mapping, relay)
        case .released: break
        case .membership, .welcome, .close, .ping, .pong:
            break  // `RelayLink` delivers none of these.
        }
    }

    // MARK: Lanes

    /// A session's groups are spread over the lanes.
    private func onLane(
        of number: Int, _ terms: SessionTerms, _ relay: UsedRelay,
        _ body: @escaping @Sendable (PeerLane, ChannelGroup) -> Void
    ) {
        let group = ChannelGroup(session: terms.session, number: UInt8(clamping: number))
        lanes.on((relay.lane + number) % lanes.count) { body($0, group) }
    }

    func laneReported(_ report: PeerLane.Report) {
        switch report {
        case .targetFailed(let id, let port, let transport, let reason):
            book.targetFailed(id, port, over: transport, reason)
        case .targetAnswered(let id, let port): book.targetAnswered(id, port)
        case .strayAnswer(let id, let port, let source): book.strayAnswer(id, port, from: source)
        case .ranShort: ranShort()
        case .channelFailed(let group):
            channelsChanged(of: group) { $0.channelFailed(group.number, at: loop.clock()) }
        case .channelStands(let group): channelsChanged(of: group) { $0.channelStands(group.number) }
        case .datagrams(let session, let getThrough): datagramsChanged(of: session, getThrough: getThrough)
        }
    }

    /// Told by the log each time; a way comes and goes seldom.
    private func datagramsChanged(of session: SessionID, getThrough: Bool) {
        guard let relay = relays.first(where: { $0.terms?.session == session }) else { return }
        relay.datagramsTakeStream = !getThrough
        let log = log.about(relay.endpoint)
        if getThrough {
            log.info("relay \(relay.endpoint): UDP gets through")
        } else {
            log.warning(
                "relay \(relay.endpoint): no UDP gets through to its port \(relay.endpoint.port); datagrams take a "
                    + "TCP connection, which delays them where packets are lost; UDP is tried again every 20 s")
        }
        host?.changed()
    }

    /// Descriptors that are missing here are neither the target's fault nor the relay's, so this node has to say it.
    private func ranShort() {
        guard shortage.noted(1, at: loop.clock()) else { return }
        log.warning(
            "no descriptors are left: visitors are refused here; raise the limit of open "
                + "files (ulimit -n, LimitNOFILE=)"
        )
        host?.changed()
    }

    func lookAtShortage() {
        // Nobody was refused for a while.
        guard shortage.timePassed(at: loop.clock(), isShort: { false }) != nil else { return }
        log.info("there are descriptors again")
        host?.changed()
    }
}

extension PeerService: ReachabilityChecksHost {
    func isSilent(_ key: NodeKey) -> Bool { selector.isSilent(key) }
}

extension PeerService: MappingBookHost {
    func targetsChanged(_ targets: TargetStates, of id: MappingID) {
        for relay in relays { handle(.targets(targets), id, relay) }
    }
}
