public import PeerWire

/// One mapping at one relay, as the peer sees it. No I/O, no clock.
///
/// ```
/// offline ──sessionReady──▶ requested ──offered──▶ checking ──own end fits──▶ committed ──active──▶ active
///    ▲                          ▲  │ refused           │ taken here: decline                          │ check passed
///    │ sessionLost              │  ▼                    ▼                                             ▼
///    └── from each ──           refused            (next offer)                    unreachable ◀─▶ verified
/// ```
/// Whether the target answers is known beside that: while it does not, the state shown is `target-down`, and the
/// relay is told to refuse visitors.
public struct PeerPortAgreement: Sendable {
    public enum Stage: Hashable, Sendable {
        case offline
        case requested
        case checking(Message.Offer)
        case committed(Message.Offer)
        case active(Reachability)
        case refused(RefusalReason, detail: String, retryAt: Instant)
    }

    public enum Reachability: Hashable, Sendable {
        /// A check runs, or waits for its turn.
        case checking(failures: Int)
        case verified(by: [String], recheckAt: Instant)
        case unreachable(reason: String, retryAt: Instant)
    }

    public enum Event: Sendable {
        case sessionReady
        case sessionLost
        case offered(Message.Offer)
        /// Answers to `bindOwnPort`.
        case ownPortBound, ownPortTaken
        case activated(attempt: UInt16, host: String)
        case refused(RefusalReason, detail: String)
        case targetAnswers, targetSilent
        /// Answers to `check`; or another node has looked (`isOwn` is false), which only ever adds something.
        case checkPassed(by: String, isOwn: Bool = true)
        case checkFailed(reason: String)
        /// The relay's half of a receipt, with the keys that the session proved.
        case receiptOffered(Receipt.Draft, relay: NodeKey, peer: NodeKey)
        case timePassed
    }

    public enum Action: Hashable, Sendable {
        case send(Message)
        /// Have this node's own server listen on the number as well.
        case bindOwnPort(UInt16)
        /// Give up the number bound before.
        case freeOwnPort
        /// Dial the public address from here and see whether a nonce comes back through the tunnel. There is no other
        /// before this one is answered, or the session lost.
        case check(host: String, ports: PortRange, after: Instant.Span)
        /// The state that listings show has changed.
        case changed
        /// Ask for the same number next time.
        case remember(PortRange)
        /// It says what was agreed: sign it, answer with the signature, and keep it.
        case countersign(Receipt.Draft)
        /// It says something else, and is not signed.
        case object(AgreedMapping.Objection)
    }

    static let retryRefused = Instant.Span.seconds(10)
    static let retryUnreachable = Instant.Span.seconds(5)
    static let recheckVerified = Instant.Span.seconds(120)
    static let quickChecks = 4
    static let checkPause = Instant.Span.milliseconds(200)
    /// Receipts that a relay may send at once, and how often one more: each costs a signature and a file.
    static let receiptBurst = 8

    public private(set) var wish: MappingWish
    public private(set) var stage = Stage.offline
    /// Agreed ports, kept while offline: that is where it was, and where it will be again.
    public private(set) var ports: PortRange?
    /// What another relay gave for the same mapping: the first choice here, where any will do and none was had before.
    public var prefers: PortRange?
    public private(set) var host: String?
    public private(set) var targetAnswers = true
    private var reported: MappingState?
    private var receipts = Allowance(burst: Self.receiptBurst, pause: .seconds(10))
    /// What was committed to last.
    private var attempt: UInt16 = 0
    /// `active` is the answer to a commit, or to a report that has the relay accept again, and comes once for each: it
    /// has this node dial, so what comes besides is passed over.
    private var isActivationDue = false
    private var isCheckUnderWay = false
    private let targetText: String

    /// `remembered`: the ports that this relay gave before.
    public init(wish: MappingWish, targetText: String, remembered: PortRange?) {
        self.wish = wish
        self.targetText = targetText
        ports = remembered
    }

    /// Takes over what no relay is concerned by. `false` where the relay has to be asked anew.
    public mutating func takeOver(_ wish: MappingWish) -> Bool {
        var told = self.wish
        told.tell = wish.tell
        guard told == wish else { return false }
        self.wish = wish
        return true
    }

    public var state: MappingState {
        switch stage {
        case .offline: .offline
        case .requested: .requested
        case .checking: .bound
        case .committed: .committed
        case .refused: .refused
        case .active(let reachability):
            if !targetAnswers {
                .targetDown
            } else {
                switch reachability {
                case .checking: .active
                case .verified: .verified
                case .unreachable: .unreachable
                }
            }
        }
    }

    /// Why it is not better than it is, in a few words; `nil` when there is nothing to say.
    public var reason: String? {
        switch stage {
        case .refused(_, let detail, _): detail
        case .active where !targetAnswers: "\(targetText) does not answer"
        case .active(.unreachable(let reason, _)): reason
        case .offline: "no session to the relay"
        case .requested, .checking, .committed, .active: nil
        }
    }

    public var verifiedBy: [String] {
        if case .active(.verified(let by, _)) = stage, targetAnswers { by } else { [] }
    }

    /// Whether the relay was asked for ports, and has not yet named any that both ends can have.
    public var isAboutToGetPorts: Bool {
        switch stage {
        case .requested, .checking: ports == nil
        case .offline, .committed, .active, .refused: false
        }
    }

    public var nextDeadline: Instant? {
        switch stage {
        case .refused(_, _, let retryAt): retryAt
        case .active(.unreachable(_, let retryAt)) where targetAnswers: retryAt
        case .active(.verified(_, let recheckAt)) where targetAnswers: recheckAt
        case .offline, .requested, .checking, .committed, .active: nil
        }
    }

    public mutating func handle(_ event: Event, at now: Instant) -> [Action] {
        let before = state
        var actions = transition(event, now)
        if state != before, !actions.contains(.changed) { actions.append(.changed) }
        if case .active = stage, reported != state {
            if reported == .targetDown { isActivationDue = true }
            reported = state
            actions.append(.send(.report(wish.id, state: state)))
        }
        return actions
    }

    private mutating func transition(_ event: Event, _ now: Instant) -> [Action] {
        switch event {
        case .sessionReady: return request()
        case .sessionLost:
            stage = .offline
            reported = nil
            isActivationDue = false
            isCheckUnderWay = false
            return []
        case .offered(let offer): return offered(offer)
        case .ownPortBound:
            guard case .checking(let offer) = stage else { return [] }
            return commit(offer)
        case .ownPortTaken:
            guard case .checking(let offer) = stage else { return [] }
            stage = .requested
            return [.send(.decline(wish.id, attempt: offer.attempt, reason: .portTakenHere))]
        case .activated(let attempt, let host): return activated(attempt, host)
        case .refused(let reason, let detail):
            if case .offline = stage { return [] }
            stage = .refused(reason, detail: detail, retryAt: now + Self.retryRefused)
            return wish.target == .serverPort ? [.freeOwnPort] : []
        case .targetAnswers:
            targetAnswers = true
            // The relay resumes on the report and answers with `active`; the check follows that.
            if case .active = stage, reported == .targetDown { stage = .active(.checking(failures: 0)) }
            return []
        case .targetSilent:
            targetAnswers = false
            return []
        case .checkPassed(let verifier, let isOwn):
            if isOwn { isCheckUnderWay = false }
            guard case .active(let reachability) = stage else { return [] }
            var by: [String] = []
            if case .verified(let earlier, _) = reachability { by = earlier }
            guard !by.contains(verifier) else {
                stage = .active(.verified(by: by, recheckAt: now + Self.recheckVerified))
                return []
            }
            by.append(verifier)
            stage = .active(.verified(by: by, recheckAt: now + Self.recheckVerified))
            return [.changed]
        case .checkFailed(let reason):
            isCheckUnderWay = false
            return checkFailed(reason, now)
        case .receiptOffered(let draft, let relay, let peer): return receiptOffered(draft, relay, peer, now)
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
        }
        return [
            .send(
                .request(
                    Message.Request(
                        mapping: wish.id, protocols: wish.protocols, wish: asked, target: targetText, allow: wish.allow,
                        deny: wish.deny)))
        ]
    }

    private mutating func offered(_ offer: Message.Offer) -> [Action] {
        guard case .requested = stage else { return [] }
        guard wish.target == .serverPort else { return commit(offer) }
        stage = .checking(offer)
        return [.bindOwnPort(offer.ports.first)]
    }

    private mutating func commit(_ offer: Message.Offer) -> [Action] {
        stage = .committed(offer)
        ports = offer.ports
        attempt = offer.attempt
        isActivationDue = true
        return [.send(.commit(wish.id, attempt: offer.attempt)), .remember(offer.ports)]
    }

    private mutating func activated(_ attempt: UInt16, _ host: String) -> [Action] {
        switch stage {
        case .committed, .active: break
        case .offline, .requested, .checking, .refused: return []
        }
        guard isActivationDue, attempt == self.attempt else { return [] }
        isActivationDue = false
        self.host = host
        stage = .active(.checking(failures: 0))
        return targetAnswers ? check() : []
    }

    /// None while one is under way: its answer does for both.
    private mutating func check(after pause: Instant.Span = .zero) -> [Action] {
        guard let ports, let host, !isCheckUnderWay else { return [] }
        isCheckUnderWay = true
        return [.check(host: host, ports: ports, after: pause)]
    }

    private mutating func checkFailed(_ reason: String, _ now: Instant) -> [Action] {
        guard case .active(let reachability) = stage, targetAnswers else { return [] }
        let failures: Int
        switch reachability {
        case .checking(let earlier): failures = earlier + 1
        // What was reachable gets the benefit of the doubt of a few quick checks.
        case .verified: failures = 1
        case .unreachable: failures = Self.quickChecks
        }
        if failures < Self.quickChecks {
            stage = .active(.checking(failures: failures))
            return check(after: Self.checkPause * UInt64(failures))
        }
        stage = .active(.unreachable(reason: reason, retryAt: now + Self.retryUnreachable))
        return []
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
        guard let deadline = nextDeadline, now >= deadline else { return [] }
        switch stage {
        case .refused: return request()
        case .active(.unreachable(let reason, _)):
            stage = .active(.unreachable(reason: reason, retryAt: now + Self.retryUnreachable * 2))
            return check()
        case .active(.verified(let by, _)):
            stage = .active(.verified(by: by, recheckAt: now + Self.recheckVerified))
            return check()
        case .offline, .requested, .checking, .committed, .active: return []
        }
    }
}
