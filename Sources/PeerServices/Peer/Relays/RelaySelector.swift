public import PeerCore
public import PeerReactor
public import PeerWire

/// A relay that this node may hold a session to without having been told to: proven and measured.
public struct RelayCandidate: Hashable, Sendable {
    /// What TLS has to prove there.
    public var key: NodeKey
    /// A numeric address that may be dialled.
    public var endpoint: Endpoint
    /// As `Ranking` counts it.
    public var cost: Instant.Span

    public init(key: NodeKey, endpoint: Endpoint, cost: Instant.Span) {
        self.key = key
        self.endpoint = endpoint
        self.cost = cost
    }
}

/// The peer that a selector chooses relays for.
protocol RelaySelectorHost: AnyObject {
    /// Relays that may be chosen, without those that the user named.
    var candidates: [RelayCandidate] { get }
    /// What relays with a session cost, by their own pings.
    var costs: [NodeKey: Instant.Span] { get }
    /// What visitors get at relays with a session.
    var outcomes: [NodeKey: RelayOutcome] { get }
    /// Whether relays that the user named were not yet heard of.
    var waitsForNamed: Bool { get }
    /// Relays that this node had sessions to when its last process ended, of these candidates and others, and what may
    /// come of the others; asked for during the first minutes.
    func former(among candidates: [RelayCandidate]) -> (keys: Set<NodeKey>, outlooks: [FirstChoice.Outlook])
    func carryOut(failoverAction action: Failover.Action)
}

/// The shell around `Failover`: asks for candidates, keeps its time, and hands its actions on. Belongs to the control
/// loop, and to one `PeerService`.
final class RelaySelector {
    private static let outcomePause = Instant.Span.milliseconds(20)

    private let time: any Timekeeper
    private var failover: Failover
    private var timer: (any Wake)?
    private var outcomeTimer: (any Wake)?
    private var choice: FirstChoice
    /// Whether any relay is chosen that the user did not name.
    private let chooses: Bool
    private var isStopped = false
    /// Set as long as the peer runs.
    private weak var host: (any RelaySelectorHost)?
    /// Whether relays of last time count for more than others.
    var isLoyal: Bool { !choice.isOver(at: time.clock()) }
    private var known: [NodeKey: RelayCandidate] = [:]

    /// - Parameter sessions: to hold at once; 0: only those that the user named.
    init(by time: any Timekeeper, sessions: Int) {
        self.time = time
        chooses = sessions > 0
        var limits = Failover.Limits()
        limits.sessions = max(1, sessions)
        failover = Failover(limits)
        choice = FirstChoice(sessions: limits.sessions, at: time.clock())
    }

    func start(for host: any RelaySelectorHost) {
        self.host = host
        turn()
    }

    func stop() {
        isStopped = true
        timer?.cancel()
        outcomeTimer?.cancel()
    }

    /// Relays that serve, the best first.
    var published: [NodeKey] { failover.published }

    /// The candidate that `connect` named.
    func candidate(_ key: NodeKey) -> RelayCandidate? { known[key] }

    func isSilent(_ key: NodeKey) -> Bool { failover.isSilent(key) }

    /// - Parameter isNamed: the user named it; otherwise `connect` did.
    func established(_ key: NodeKey, isNamed: Bool) {
        let now = time.clock()
        run(isNamed ? failover.joined(key, at: now) : failover.established(key, at: now))
    }

    func heard(_ key: NodeKey) {
        let actions = failover.heard(key, at: time.clock())
        // Twice a second for each relay, and nearly always nothing.
        if !actions.isEmpty { run(actions) }
    }

    func lost(_ key: NodeKey) { run(failover.lost(key, at: time.clock())) }

    func drains(_ key: NodeKey, _ isDraining: Bool) {
        let now = time.clock()
        run(isDraining ? failover.draining(key, at: now) : failover.staying(key, at: now))
    }

    /// A mapping began to work, or failed; with a thousand ports that is said a thousand times in a row.
    func outcomesChanged() {
        guard outcomeTimer == nil, !isStopped else { return }
        outcomeTimer = time.wake(after: Self.outcomePause) { [weak self] in
            guard let self else { return }
            outcomeTimer = nil
            run(failover.served(host?.outcomes ?? [:], at: time.clock()))
        }
    }

    /// What this node makes of a relay now.
    func use(of key: NodeKey) -> Failover.Use? { failover.use(of: key, at: time.clock()) }

    /// Looks at the candidates now instead of at the next turn.
    func turn() {
        let now = time.clock()
        let found = chooses ? host?.candidates ?? [] : []
        known = Dictionary(found.map { ($0.key, $0) }) { first, _ in first }
        let former = choice.isOver(at: now) ? nil : host?.former(among: found)
        let offer = choice.offer(
            found.map { ($0.key, $0.cost) }, former: former?.keys ?? [],
            outlooks: former?.outlooks ?? [], waitsForNamed: host?.waitsForNamed ?? false, at: now)
        let ranked = failover.ranked(ranking(offer.ranked), kept: offer.kept, former: offer.former, at: now)
        let served = failover.served(host?.outcomes ?? [:], at: now)
        run(ranked + served + failover.timePassed(at: now))
    }

    /// - Parameter offered: in the order in which they are to be chosen. Those with a session are not chosen any more.
    private func ranking(
        _ offered: [(key: NodeKey, cost: Instant.Span)]
    ) -> [(key: NodeKey, cost: Instant.Span)] {
        // Two hundred pings say more than a few probes.
        let measured = host?.costs ?? [:]
        let held = measured.map { (key: $0.key, cost: $0.value) }
        return offered.filter { measured[$0.key] == nil }
            + held.sorted { ($0.cost, $0.key.tag) < ($1.cost, $1.key.tag) }
    }

    private func run(_ actions: [Failover.Action]) {
        for action in actions { host?.carryOut(failoverAction: action) }
        guard !isStopped else { return }
        timer?.cancel()
        let now = time.clock()
        let due = failover.nextDeadline(after: now) - now
        timer = time.wake(after: max(due, .milliseconds(10))) { [weak self] in self?.turn() }
    }
}
