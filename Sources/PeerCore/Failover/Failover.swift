public import PeerWire

/// Which relays a peer holds sessions at, and in which order they are published. No I/O; the sessions themselves are
/// `RelayLink`s, one for each relay that is connected to.
///
/// A relay that is silent, refuses or goes away is replaced by the next best at once; one that drains, or that another
/// is clearly better than, only once the other's session stands. A session alone serves nobody: what counts is what
/// visitors get (`RelayOutcome`). Beside a relay whose ports cannot be reached, or that gives none, a further one is
/// joined, and it is left when enough others serve. Every relay that serves is published: the best first, and in an
/// order that changes only when it must.
///
/// Relays that the user named are *fixed*: somebody else connects to them and keeps them up. They count like the
/// others, and are left by this only when they drain.
public struct Failover: Sendable {
    public struct Limits: Hashable, Sendable {
        /// Sessions to hold.
        public var sessions = 2
        /// Nothing heard for so long is silence: two pings of half a second without an answer, and a little.
        public var patience = Instant.Span.milliseconds(1_200)
        /// A silent relay is let go for good.
        public var silentLimit = Instant.Span.seconds(10)
        /// From `connect` until the session has to stand.
        public var connectLimit = Instant.Span.seconds(5)
        /// A new session must have stood for so long before another is left for it.
        public var settling = Instant.Span.seconds(2)
        /// A relay where a mapping was not reached from outside for so long is not waited for any more.
        public var proving = Instant.Span.milliseconds(2_500)
        /// Between two moves that nothing but a better figure asks for.
        public var calm = Instant.Span.seconds(10)
        /// A relay that is not needed any more is unpublished at once and serves for so long: visitors may have an
        /// older list of addresses. If another one fails meanwhile, it is back without a new session.
        public var grace = Instant.Span.seconds(60)
        /// A draining relay is left after that, whether there is another or not.
        public var drainLimit = Instant.Span.seconds(60)
        /// A relay that failed is left alone, twice as long each time; forgotten once it has stood for a minute.
        public var firstPause = Instant.Span.seconds(2)
        public var longestPause = Instant.Span.seconds(300)
        /// One whose ports nobody reaches changes its mind less often than its connections do.
        public var firstUselessPause = Instant.Span.seconds(30)
        /// Where no relay at all serves, it may well be for a reason of this node's: others are tried one at a time,
        /// with pauses from this one on, twice as long each time up to `longestPause`.
        public var firstRotation = Instant.Span.seconds(5)
        /// Relays that failed, remembered at most.
        public var failures = 256

        public init() {}
    }

    public enum Reason: String, Hashable, Sendable {
        /// There is a better one.
        case replaced
        case drained
        case silent
        /// Its session did not stand in time.
        case tooSlow
        /// Its session stands, and visitors are not served.
        case useless
    }

    public enum Use: Hashable, Sendable {
        /// Visitors are sent there.
        case published
        /// Its session stands, and visitors are not served, or not all; `nil`: nobody has reached it in time.
        case failing(MappingOutcome.Failure?, isPublished: Bool)
        /// It served nobody, and is looked at again after that.
        case shunned(for: Instant.Span)
    }

    public enum Action: Hashable, Sendable {
        /// Open a session, and the mappings in it; then `established`, `refused` or `lost`.
        case connect(NodeKey)
        /// End the session and its mappings there; nothing more is said of it.
        case leave(NodeKey, Reason)
        /// Visitors are not served there, or not all, and another one is looked for; `nil`: nobody reached it in time.
        case doubt(NodeKey, MappingOutcome.Failure?)
        /// All relays that serve, the best first; an empty list is to be published too.
        case publish([NodeKey])
    }

    struct Member: Sendable {
        var since: Instant
        var isLive = false
        var lastHeard: Instant
        var drainingSince: Instant?
        var isSilent = false
        /// Named by the user.
        var isFixed = false
        /// Since when it is not needed.
        var spareSince: Instant?
        /// Not told yet.
        var outcome: RelayOutcome?
        /// Since when mappings wait to be reached.
        var pendingSince: Instant?
        /// Mappings failed, or waited too long; until they work.
        var isFailing = false
    }

    struct Failure: Sendable {
        var count: UInt64
        var until: Instant
        /// Its session stood, and nobody was served.
        var isUseless: Bool
    }

    public let limits: Limits
    /// Sessions that are there or on their way.
    var members: [NodeKey: Member] = [:]
    /// The order of all members that are live.
    public internal(set) var order: [NodeKey] = []
    public internal(set) var published: [NodeKey] = []
    var firstPlace = FirstPlace()
    var ranked: [(key: NodeKey, cost: Instant.Span)] = []
    /// Sessions that are kept for relays of last time which may yet come, and all of those relays.
    var kept = 0
    var former: Set<NodeKey> = []
    /// Relays that serve in the place of those.
    var standIns: Set<NodeKey> = []
    var failures: [NodeKey: Failure] = [:]
    var lastMove = Instant.zero
    /// Whether it is told at all what became of mappings.
    private var knowsOutcomes = false
    /// When a relay may be left for another although none serves, and how often that was done since one did.
    var nextRotation = Instant.zero
    var rotations: UInt64 = 0

    public init(_ limits: Limits = Limits()) { self.limits = limits }

    public var held: Set<NodeKey> { Set(members.keys) }
    /// Relays with a session that was heard of lately.
    public var healthy: [NodeKey] { order.filter(isHealthy) }
    /// Those of them that serve, or may yet.
    var serving: [NodeKey] { healthy.filter { members[$0]?.isFailing == false } }
    /// Those that are seen to serve.
    var proven: [NodeKey] { serving.filter { members[$0].map(isProven) ?? false } }

    /// Without any word on mappings a session is all there is to go by.
    func isProven(_ member: Member) -> Bool { member.outcome?.isProven ?? !knowsOutcomes }

    /// What this node makes of a relay now; `nil`: nothing.
    public func use(of key: NodeKey, at now: Instant) -> Use? {
        if let member = members[key], member.isLive {
            let isPublished = published.contains(key)
            if member.isFailing { return .failing(member.outcome?.failure, isPublished: isPublished) }
            return isPublished ? .published : nil
        }
        guard let failure = failures[key], failure.isUseless, failure.until > now else { return nil }
        return .shunned(for: failure.until - now)
    }

    /// When `timePassed` is due.
    public func nextDeadline(after now: Instant) -> Instant {
        var deadline = now + .seconds(1)
        // A fixed one that is silent is let go by whoever keeps it up.
        for member in members.values where !(member.isFixed && member.isSilent) {
            let due =
                !member.isLive
                ? member.since + limits.connectLimit
                : member.lastHeard + (member.isSilent ? limits.silentLimit : limits.patience)
            deadline = min(deadline, max(due, now))
            if let since = member.pendingSince, !member.isFailing {
                deadline = min(deadline, max(since + limits.proving, now))
            }
        }
        return deadline
    }

    // MARK: Events

    /// A ranking: the relays that can be used, the first choice first.
    ///
    /// - Parameters:
    ///   - kept: sessions that none of these is to have: relays of last time are about to come (`FirstChoice`).
    ///   - former: all such relays, for as long as they count. They take the places of those that stood in for them.
    public mutating func ranked(
        _ usable: [(key: NodeKey, cost: Instant.Span)], kept: Int = 0, former: Set<NodeKey> = [], at now: Instant
    ) -> [Action] {
        ranked = usable
        self.kept = kept
        self.former = former
        return balance(now)
    }

    public mutating func established(_ key: NodeKey, at now: Instant) -> [Action] {
        guard var member = members[key] else { return [] }
        member.isLive = true
        member.isSilent = false
        member.since = now
        member.lastHeard = now
        members[key] = member
        if !order.contains(key) { order.append(key) }
        return balance(now)
    }

    /// A session stands to a relay that the user named; `lost` says when it does not any more.
    public mutating func joined(_ key: NodeKey, at now: Instant) -> [Action] {
        members[key] = Member(since: now, isLive: true, lastHeard: now, isFixed: true)
        failures[key] = nil
        if !order.contains(key) { order.append(key) }
        return balance(now)
    }

    /// Anything came from it.
    public mutating func heard(_ key: NodeKey, at now: Instant) -> [Action] {
        guard members[key] != nil else { return [] }
        members[key]?.lastHeard = now
        guard members[key]?.isSilent == true else { return [] }
        members[key]?.isSilent = false
        return balance(now)
    }

    /// The session is gone, or was never there.
    public mutating func lost(_ key: NodeKey, at now: Instant) -> [Action] {
        guard let member = members[key] else { return [] }
        let stood = member.isLive ? now - member.since : .zero
        drop(key)
        // Whoever keeps it up has pauses of its own.
        guard !member.isFixed else { return balance(now) }
        if stood >= .seconds(60), !member.isFailing { failures[key] = nil }
        punish(key, now)
        return balance(now)
    }

    /// The relay wants no session: it is full, or does not know the membership.
    public mutating func refused(_ key: NodeKey, at now: Instant) -> [Action] {
        guard members[key] != nil else { return [] }
        drop(key)
        punish(key, now)
        return balance(now)
    }

    /// The relay said that it is going away.
    public mutating func draining(_ key: NodeKey, at now: Instant) -> [Action] {
        guard members[key] != nil, members[key]?.drainingSince == nil else { return [] }
        members[key]?.drainingSince = now
        return balance(now)
    }

    /// It said that it stays.
    public mutating func staying(_ key: NodeKey, at now: Instant) -> [Action] {
        guard members[key]?.drainingSince != nil else { return [] }
        members[key]?.drainingSince = nil
        return balance(now)
    }

    /// What visitors get at each relay.
    public mutating func served(_ outcomes: [NodeKey: RelayOutcome], at now: Instant) -> [Action] {
        knowsOutcomes = true
        for (key, outcome) in outcomes { members[key]?.outcome = outcome }
        return judgeOutcomes(now) + balance(now)
    }

    public mutating func timePassed(at now: Instant) -> [Action] {
        var actions = judgeOutcomes(now)
        for (key, member) in members.sorted(by: { $0.key.tag < $1.key.tag }) {
            guard member.isLive else {
                if now - member.since >= limits.connectLimit { actions += leave(key, .tooSlow, now) }
                continue
            }
            let silence = now - member.lastHeard
            if silence >= limits.patience { members[key]?.isSilent = true }
            if silence >= limits.silentLimit, !member.isFixed { actions += leave(key, .silent, now) }
        }
        return actions + balance(now)
    }

    // MARK: Decisions

    private mutating func judgeOutcomes(_ now: Instant) -> [Action] {
        var actions: [Action] = []
        for (key, member) in members.sorted(by: { $0.key.tag < $1.key.tag }) where member.isLive {
            guard let outcome = member.outcome else { continue }
            let waits = outcome.pending > 0 && outcome.failure == nil
            members[key]?.pendingSince = waits ? member.pendingSince ?? now : nil
            if outcome.isProven && !waits {
                members[key]?.isFailing = false
            } else if outcome.failure != nil || member.pendingSince.map({ now - $0 >= limits.proving }) ?? false {
                members[key]?.isFailing = true
                if !member.isFailing { actions.append(.doubt(key, outcome.failure)) }
            }
        }
        if !proven.isEmpty {
            rotations = 0
            nextRotation = .zero
        }
        return actions
    }

    /// A session is on its way.
    var isComing: Bool { members.values.contains { !$0.isLive } }

    /// Whether nothing was heard of a relay whose session stands.
    public func isSilent(_ key: NodeKey) -> Bool { members[key]?.isSilent ?? false }

    private func isHealthy(_ key: NodeKey) -> Bool {
        guard let member = members[key] else { return false }
        return member.isLive && !member.isSilent && member.drainingSince == nil && member.spareSince == nil
    }

    mutating func leave(_ key: NodeKey, _ reason: Reason, _ now: Instant) -> [Action] {
        drop(key)
        switch reason {
        case .replaced: break
        case .drained, .silent, .tooSlow: punish(key, now)
        case .useless: punish(key, now, isUseless: true)
        }
        return [.leave(key, reason)]
    }

    private mutating func drop(_ key: NodeKey) {
        members[key] = nil
        order.removeAll { $0 == key }
    }

    private mutating func punish(_ key: NodeKey, _ now: Instant, isUseless: Bool = false) {
        if failures.count >= limits.failures { failures = failures.filter { $0.value.until > now } }
        if failures.count >= limits.failures, let soonest = failures.min(by: { $0.value.until < $1.value.until }) {
            failures[soonest.key] = nil
        }
        let count = (failures[key]?.count ?? 0) + 1
        let first = isUseless ? limits.firstUselessPause : limits.firstPause
        let pause = min(limits.longestPause, first * (1 << min(count - 1, 16)))
        failures[key] = Failure(count: count, until: now + pause, isUseless: isUseless)
    }
}
