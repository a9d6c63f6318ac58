public import PeerWire

/// Which relays a peer holds sessions at, and in which order they are published. No I/O; the sessions themselves are
/// `RelayLink`s, one for each relay that is connected to.
///
/// A relay that is silent, refuses or goes away is replaced by the next best at once; one that drains, or that another
/// is clearly better than, only once the other's session stands. Every relay that holds a live session is published:
/// the best first, and in an order that changes only when it must.
///
/// Relays that the user named are *fixed*: somebody else connects to them and keeps them up. They count like the others,
/// and are left by this only when they drain.
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
        /// Between two moves that nothing but a better figure asks for.
        public var calm = Instant.Span.seconds(10)
        /// A relay that is not needed any more is unpublished at once and serves for so long: visitors may have an older
        /// list of addresses. If another one fails meanwhile, it is back without a new session.
        public var grace = Instant.Span.seconds(60)
        /// A draining relay is left after that, whether there is another or not.
        public var drainLimit = Instant.Span.seconds(60)
        /// A relay that failed is left alone, twice as long each time; forgotten once it has stood for a minute.
        public var firstPause = Instant.Span.seconds(2)
        public var longestPause = Instant.Span.seconds(300)
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
    }

    public enum Action: Hashable, Sendable {
        /// Open a session, and the mappings in it; then `established`, `refused` or `lost`.
        case connect(NodeKey)
        /// End the session and its mappings there; nothing more is said of it.
        case leave(NodeKey, Reason)
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
    }

    private struct Failure: Sendable {
        var count: UInt64
        var until: Instant
    }

    public let limits: Limits
    /// Sessions that are there or on their way.
    private(set) var members: [NodeKey: Member] = [:]
    /// The order of all members that are live.
    public private(set) var order: [NodeKey] = []
    public private(set) var published: [NodeKey] = []
    private var ranked: [(key: NodeKey, cost: Instant.Span)] = []
    private var failures: [NodeKey: Failure] = [:]
    private var lastMove = Instant.zero

    public init(_ limits: Limits = Limits()) { self.limits = limits }

    public var held: Set<NodeKey> { Set(members.keys) }
    /// Relays with a session that was heard of lately.
    public var healthy: [NodeKey] { order.filter(isHealthy) }

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
        }
        return deadline
    }

    // MARK: Events

    /// A ranking: the relays that can be used, the cheapest first.
    public mutating func ranked(_ usable: [(key: NodeKey, cost: Instant.Span)], at now: Instant) -> [Action] {
        ranked = usable
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
        // Whoever keeps it up has pauses of his own.
        guard !member.isFixed else { return balance(now) }
        if stood >= .seconds(60) { failures[key] = nil }
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

    public mutating func timePassed(at now: Instant) -> [Action] {
        var actions: [Action] = []
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

    /// A session is on its way.
    private var isComing: Bool { members.values.contains { !$0.isLive } }

    /// Whether nothing was heard of a relay whose session stands.
    public func isSilent(_ key: NodeKey) -> Bool { members[key]?.isSilent ?? false }

    private func isHealthy(_ key: NodeKey) -> Bool {
        guard let member = members[key] else { return false }
        return member.isLive && !member.isSilent && member.drainingSince == nil && member.spareSince == nil
    }

    private mutating func balance(_ now: Instant) -> [Action] {
        var costs: [NodeKey: Instant.Span] = [:]
        for (key, cost) in ranked { costs[key] = cost }
        order = Ranking.order(order, costs: costs)
        var actions = fill(costs, now)
        actions += shed(now)
        return actions + publish()
    }

    /// As many sessions as are wanted, and one more where it would be clearly better than the last of them.
    private mutating func fill(_ costs: [NodeKey: Instant.Span], _ now: Instant) -> [Action] {
        callBack(costs)
        let healthy = healthy
        let coming = members.values.count { !$0.isLive }
        var missing = limits.sessions - healthy.count - coming
        let isCalm = coming == 0 && lastMove + limits.calm <= now
        if missing <= 0, isCalm, healthy.count == limits.sessions,
            let last = healthy.last(where: { members[$0]?.isFixed == false }), let best = ranked.first(where: { mayConnect($0.key, now) }),
            costs[last].map({ Ranking.isClearlyBetter(best.cost, than: $0) }) ?? false
        {
            lastMove = now
            missing = 1
        }
        var actions: [Action] = []
        for (key, _) in ranked where missing > 0 && mayConnect(key, now) {
            // Silent, draining and spare ones keep their places for a while, but not without end.
            if members.count >= 2 * limits.sessions + 1 {
                guard let spare = longestSpare else { break }
                actions += leave(spare, .replaced, now)
            }
            members[key] = Member(since: now, lastHeard: now)
            actions.append(.connect(key))
            missing -= 1
        }
        return actions
    }

    /// Spare ones serve already: those that are needed again, and those that are clearly better again.
    private mutating func callBack(_ costs: [NodeKey: Instant.Span]) {
        for key in order {
            guard let member = members[key], member.spareSince != nil, !member.isSilent, member.drainingSince == nil
            else { continue }
            let healthy = healthy
            let isBetter =
                if let cost = costs[key], let last = healthy.last(where: { members[$0]?.isFixed == false }),
                    let other = costs[last]
                { Ranking.isClearlyBetter(cost, than: other) } else { false }
            if healthy.count < limits.sessions || isBetter { members[key]?.spareSince = nil }
        }
    }

    private var longestSpare: NodeKey? {
        members.compactMap { key, member in member.spareSince.map { (key, $0) } }
            .min { ($0.1, $0.0.tag) < ($1.1, $1.0.tag) }?.0
    }

    private func mayConnect(_ key: NodeKey, _ now: Instant) -> Bool {
        members[key] == nil && (failures[key].map { $0.until <= now } ?? true)
    }

    /// Leaves what is not needed any more.
    private mutating func shed(_ now: Instant) -> [Action] {
        var actions: [Action] = []
        let settled = healthy.count { key in members[key].map { now - $0.since >= limits.settling } ?? false }
        let isAsGoodAsItGets = settled > 0 && !isComing && !ranked.contains { members[$0.key] == nil }
        for (key, member) in members.sorted(by: { $0.key.tag < $1.key.tag }) {
            guard let since = member.drainingSince else { continue }
            if settled >= limits.sessions || isAsGoodAsItGets || now - since >= limits.drainLimit {
                actions += leave(key, .drained, now)
            }
        }
        while healthy.count > limits.sessions, let last = healthy.last(where: { members[$0]?.isFixed == false }),
            healthy.allSatisfy({ key in
                key == last || members[key].map { now - $0.since >= limits.settling } ?? false
            })
        {
            members[last]?.spareSince = now
        }
        for (key, member) in members.sorted(by: { $0.key.tag < $1.key.tag }) {
            guard let since = member.spareSince else { continue }
            // One that is silent is of no use to anybody.
            if now - since >= limits.grace || member.isSilent { actions += leave(key, .replaced, now) }
        }
        return actions
    }

    private mutating func publish() -> [Action] {
        // What is silent or going is named only where there is nothing else: who dials it may still get through.
        let good = healthy
        let list = good.isEmpty ? order : good
        guard list != published else { return [] }
        published = list
        return [.publish(list)]
    }

    private mutating func leave(_ key: NodeKey, _ reason: Reason, _ now: Instant) -> [Action] {
        drop(key)
        switch reason {
        case .replaced: break
        case .drained, .silent, .tooSlow: punish(key, now)
        }
        return [.leave(key, reason)]
    }

    private mutating func drop(_ key: NodeKey) {
        members[key] = nil
        order.removeAll { $0 == key }
    }

    private mutating func punish(_ key: NodeKey, _ now: Instant) {
        if failures.count >= limits.failures { failures = failures.filter { $0.value.until > now } }
        if failures.count >= limits.failures, let soonest = failures.min(by: { $0.value.until < $1.value.until }) {
            failures[soonest.key] = nil
        }
        let count = (failures[key]?.count ?? 0) + 1
        let pause = min(limits.longestPause, limits.firstPause * (1 << min(count - 1, 16)))
        failures[key] = Failure(count: count, until: now + pause)
    }
}
