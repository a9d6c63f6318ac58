public import PeerWire

/// One mapping at one relay, as the peer sees it. No I/O, no clock.
///
/// ```
/// offline ──sessionReady──▶ requested ──offered──▶ checking ──own end fits──▶ committed ──active──▶ active
///    ▲                          ▲  │ refused           │ taken here: decline
///    │ sessionLost              │  ▼                    ▼
///    └── from each ──           refused            (next offer)
/// ```
/// While it is active, each of its ports has a state of its own (`PortChecks`): the relay is told which ports are to
/// refuse because their target does not answer, and the others are checked from outside.
public struct PeerPortAgreement: Sendable {
    public enum Stage: Hashable, Sendable {
        case offline
        case requested
        case checking(RelayMessage.Offer)
        case committed(RelayMessage.Offer)
        case active
        case refused(RefusalReason, detail: String, retryAt: Instant)
    }

    static let retryRefused = Instant.Span.seconds(10)
    /// Receipts that a relay may send at once, and how often one more: each costs a signature and a file.
    static let receiptBurst = 8
    /// Reports of what the relay need not act on are gathered for so long, while checks go on.
    static let reportPause = Instant.Span.milliseconds(200)

    public private(set) var wish: MappingWish
    public private(set) var stage = Stage.offline
    /// Agreed ports, kept while offline: that is where it was, and where it will be again.
    public private(set) var ports: PortRange?
    /// What another relay gave for the same mapping: the first choice here, where any will do and none was had before.
    public var prefers: PortRange?
    /// Of another relay too, and asked for here in vain.
    public private(set) var denied: PortRange?
    public private(set) var host: String?
    /// Ports that were given back for others; until the relay has offered some.
    private var exchange: (former: PortRange, wanted: PortRange)?
    var targets: TargetStates
    var checks = PortChecks(count: 0, TargetStates())
    private var others = OthersWord()
    private var reported: PeerMessage?
    private var reportAt: Instant?
    /// Up to which of the ports' changes it is settled whether they are reported, and when.
    private var judged = 0
    /// In a row.
    private var refusals: UInt64 = 0
    private var receipts = Allowance(burst: Self.receiptBurst, pause: .seconds(10))
    /// What was committed to last.
    private var attempt: UInt16 = 0
    /// `active` is the answer to a commit, or to a report that has the relay accept again, and comes once for each: it
    /// has this node dial, so what comes besides is passed over.
    private var activationsDue = 0
    private let targetText: String

    /// `remembered`: the ports that this relay gave before.
    public init(wish: MappingWish, targetText: String, remembered: PortRange?) {
        self.wish = wish
        self.targetText = targetText
        ports = remembered
        // What this node serves itself, and what is dialled for a visitor alone, is not watched.
        targets = wish.isWatched ? TargetStates() : .answering(wish.ports.count)
    }

    /// Takes over what no relay is concerned by. `false` where the relay has to be asked anew.
    public mutating func takeOver(_ wish: MappingWish) -> Bool {
        var told = self.wish
        told.announcedAs = wish.announcedAs
        told.name = wish.name
        told.isOnDemand = wish.isOnDemand
        told.proxyProtocol = wish.proxyProtocol
        guard told == wish else { return false }
        self.wish = wish
        return true
    }

    /// Of each port, while it is active.
    var stages: [PortChecks.Stage] {
        let verdict = others.verdict
        guard verdict != .good else { return checks.stages }
        return checks.stages.map { stage in
            guard case .verified(_, let at) = stage else { return stage }
            guard case .denied(let name) = verdict else { return .checking(failures: 0) }
            return .unreachable(
                reason: "reached from this node's own address alone: \(name) does not get through", retryAt: at)
        }
    }

    private var changes: Int { checks.changes + others.changes }

    public var nextDeadline: Instant? {
        switch stage {
        case .refused(_, _, let retryAt): retryAt
        case .active: [reportAt, checks.nextDeadline, others.awaitedUntil].compactMap { $0 }.min()
        case .offline, .requested, .checking, .committed: nil
        }
    }

    public mutating func handle(_ event: Event, at now: Instant) -> [Action] {
        let before = (state, changes)
        var actions = transition(event, now)
        if case .active = stage { actions += nextChecks(now) }
        if (state, changes) != before, !actions.contains(.changed) { actions.append(.changed) }
        if case .active = stage { actions += report(now) }
        return actions
    }

    private mutating func nextChecks(_ now: Instant) -> [Action] {
        guard let host else { return [] }
        return checks.next(at: now).compactMap { check(host, $0.offset, after: $0.after) }
    }

    private func check(_ host: String, _ offset: UInt16, after pause: Instant.Span) -> Action? {
        ports.map { .check(host: host, port: $0.first + offset, offset: offset, after: pause) }
    }

    /// At once what changes who is let in; the rest when checks have a rest, or after a moment.
    private mutating func report(_ now: Instant) -> [Action] {
        guard reported == nil || judged != changes || reportAt.map({ now >= $0 }) == true else { return [] }
        judged = changes
        let states = PortStates(stages.map(\.state))
        let message = PeerMessage.report(wish.id, state: state, ports: states.runs.count > 1 ? states : nil)
        guard reported != message else {
            reportAt = nil
            return []
        }
        let isUrgent = reported?.refusedPorts(of: states.count) != states.offsets(in: .targetDown)
        if !isUrgent, states.count > 1, checks.isChecking, now < reportAt ?? (now + Self.reportPause) {
            reportAt = reportAt ?? (now + Self.reportPause)
            return []
        }
        reportAt = nil
        let opened = reported?.refusedPorts(of: states.count)?.subtracting(states.offsets(in: .targetDown)) ?? []
        if !opened.isEmpty { activationsDue = min(activationsDue + 1, PortStates.maximumPorts) }
        reported = message
        return [.send(message)]
    }

    private mutating func transition(_ event: Event, _ now: Instant) -> [Action] {
        switch event {
        case .sessionReady: return request()
        case .sessionLost:
            stage = .offline
            reported = nil
            activationsDue = 0
            refusals = 0
            exchange = nil
            return []
        case .offered(let offer): return offered(offer)
        case .ownPortBound:
            guard case .checking(let offer) = stage else { return [] }
            return commit(offer)
        case .ownPortTaken:
            guard case .checking(let offer) = stage else { return [] }
            stage = .requested
            return [.send(.decline(wish.id, attempt: offer.attempt, reason: .portTakenHere))]
        case .activated(let attempt, let host): return activated(attempt, host, now)
        case .refused(let reason, let detail):
            if case .offline = stage { return [] }
            refusals += 1
            let pause = min(Self.retryRefused * (1 << min(refusals - 1, 16)), reason.longestRetry)
            stage = .refused(reason, detail: detail, retryAt: now + pause)
            return wish.target == .serverPort ? [.freeOwnPort] : []
        case .targets(let targets):
            self.targets = targets
            if case .active = stage { checks.targetsChanged(targets, at: now) }
            return []
        case .checkPassed(let offset, let verifier, let place, let asksOthers):
            guard case .active = stage else { return [] }
            if asksOthers { others.awaits(at: now) }
            _ = checks.passed(offset, by: verifier, elsewhere: place, at: now)
            return []
        case .checkFailed(let offset, let reason):
            guard case .active = stage, let host, let pause = checks.failed(offset, reason, at: now) else { return [] }
            return [check(host, offset, after: pause)].compactMap { $0 }
        case .seen(let offset, let verifier, let relay):
            guard case .active = stage else { return [] }
            others.said(true, by: relay ?? verifier, name: verifier, isLast: false, at: now)
            checks.seen(offset, by: verifier)
            return []
        case .notSeen(let offset, let verifier, let relay, let isLast):
            guard case .active = stage else { return [] }
            others.said(false, by: relay, name: verifier, isLast: isLast, at: now)
            checks.unseen(offset, by: verifier)
            return []
        case .notAsked:
            if case .active = stage { others.cannotBeAsked() }
            return []
        case .receiptOffered(let draft, let relay, let peer): return receiptOffered(draft, relay, peer, now)
        case .exchange(let wanted): return give(backFor: wanted)
        case .timePassed: return timePassed(now)
        }
    }

    private mutating func request() -> [Action] {
        stage = .requested
        reported = nil
        var asked = wish.ports
        if let ports, ports.count == asked.count {
            switch asked {
            case .any, .preferably: asked = .preferably(ports)
            case .exactly: break
            }
        } else if case .any(let count) = asked, let prefers, prefers.count == count {
            asked = .preferably(prefers)
            denied = prefers
        }
        return [
            .send(
                .request(
                    PeerMessage.Request(
                        mapping: wish.id, protocols: wish.protocols, wish: asked, target: targetText, allow: wish.allow,
                        deny: wish.deny)))
        ]
    }

    private mutating func give(backFor wanted: PortRange) -> [Action] {
        guard case .active = stage, case .any(wanted.count) = wish.ports, let former = ports, former != wanted else {
            return []
        }
        exchange = (former, wanted)
        ports = nil
        prefers = wanted
        return [.send(.release(wish.id))] + request()
    }

    private mutating func offered(_ offer: RelayMessage.Offer) -> [Action] {
        guard case .requested = stage else { return [] }
        if let exchange {
            self.exchange = nil
            if offer.ports != exchange.wanted {
                // Nothing is won by a third number.
                ports = exchange.former
                return [.send(.release(wish.id))] + request()
            }
        }
        guard offer.ports.count == wish.ports.count else {
            return [.send(.decline(wish.id, attempt: offer.attempt, reason: .withdrawn))]
        }
        guard wish.target == .serverPort else { return commit(offer) }
        stage = .checking(offer)
        return [.bindOwnPort(offer.ports.first)]
    }

    private mutating func commit(_ offer: RelayMessage.Offer) -> [Action] {
        stage = .committed(offer)
        ports = offer.ports
        if denied == offer.ports { denied = nil }
        attempt = offer.attempt
        activationsDue = 1
        refusals = 0
        let states = PortStates(
            (0..<offer.ports.count).map { targets.silent[UInt16($0)] == nil ? .committed : .targetDown })
        let isWhole = states.offsets(in: .targetDown).isEmpty
        return [
            .send(.commit(wish.id, attempt: offer.attempt, ports: isWhole ? nil : states)), .remember(offer.ports),
        ]
    }

    private mutating func activated(_ attempt: UInt16, _ host: String, _ now: Instant) -> [Action] {
        guard let ports, activationsDue > 0, attempt == self.attempt else { return [] }
        switch stage {
        case .committed: checkAnew(ports)
        // Said of another host, nothing that was verified counts.
        case .active where host != self.host: checkAnew(ports)
        case .active: break
        case .offline, .requested, .checking, .refused: return []
        }
        activationsDue -= 1
        self.host = host
        stage = .active
        checks.opened(at: now)
        return []
    }

    private mutating func checkAnew(_ ports: PortRange) {
        checks = PortChecks(count: ports.count, targets)
        others = OthersWord()
    }

    private mutating func receiptOffered(
        _ draft: Receipt.Draft, _ relay: NodeKey, _ peer: NodeKey, _ now: Instant
    ) -> [Action] {
        guard case .active = stage, let ports, let host else { return [] }
        guard receipts.take(at: now) else { return [] }
        let agreed = AgreedMapping(
            relay: relay, peer: peer, mapping: wish.id, protocols: wish.protocols, ports: ports, host: host)
        if let objection = agreed.objection(to: draft) { return [.object(objection)] }
        return [.countersign(draft)]
    }

    private mutating func timePassed(_ now: Instant) -> [Action] {
        if case .active = stage { others.timePassed(at: now) }
        guard case .refused(_, _, let retryAt) = stage, now >= retryAt else { return [] }
        return request()
    }
}

extension RefusalReason {
    /// What passes by itself is asked about all the time; what only the relay's owner or this node's user can change,
    /// ever less often.
    var longestRetry: Instant.Span {
        switch self {
        case .portNotAllowed, .protocolNotSupported, .notGranted: .seconds(600)
        case .limitReached: .seconds(60)
        case .noPortFree, .portTaken, .portLeased, .storageFailed, .portTakenHere, .withdrawn:
            PeerPortAgreement.retryRefused
        }
    }
}

extension PeerMessage {
    /// Of a report about so many ports: those that refuse, by how many they are after the first.
    func refusedPorts(of count: Int) -> Set<UInt16>? {
        guard case .report(_, let state, _, let ports) = self else { return nil }
        if let ports { return ports.offsets(in: .targetDown) }
        return state == .targetDown ? Set((0..<count).map { UInt16($0) }) : []
    }
}
