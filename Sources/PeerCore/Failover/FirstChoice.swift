public import PeerWire

/// Which relays are chosen after a start, and when: the first to be measured is seldom the best, and where this node
/// has leases its visitors are. No I/O, no clock.
///
/// Relays of last time are taken unless another one is clearly better, as if there were sessions to them already. Their
/// places are kept while they may yet come up: all of them for those that are being measured, all but one for those
/// that do not answer or are not proven yet, so that visitors are served meanwhile. Whoever stood in for one that comes
/// up later, as a machine that starts again does, gives the place back.
public struct FirstChoice: Sendable {
    /// So long after the start relays that the user named have to come up before others are looked for.
    public static let headStart = Instant.Span.seconds(3)
    /// From the first candidate until one is chosen for the first time.
    public static let firstLook = Instant.Span.milliseconds(2_500)
    /// From the first candidate on places are kept for so long.
    public static let patience = Instant.Span.seconds(10)
    /// So long after the start relays of last time count for more than others: as long as a machine may take to come
    /// up.
    public static let loyalty = Instant.Span.seconds(180)

    /// What may come of a relay of last time that is no candidate now.
    public enum Outlook: Hashable, Sendable {
        /// It is about to be measured.
        case measured
        /// It does not answer, or nobody says yet that it can be reached.
        case away
    }

    public struct Offer: Sendable {
        /// Those that may be chosen, the first choice first.
        public var ranked: [(key: NodeKey, cost: Instant.Span)] = []
        /// Sessions that others are not to have now.
        public var kept = 0
        /// Relays of last time, also those that are none of these yet.
        public var former: Set<NodeKey> = []
    }

    private let sessions: Int
    private let started: Instant
    private var firstFound: Instant?

    /// - Parameter sessions: that are wanted at once.
    public init(sessions: Int, at now: Instant) {
        self.sessions = sessions
        started = now
    }

    /// Whether relays of last time count for more than others.
    public func isOver(at now: Instant) -> Bool { now - started >= Self.loyalty }

    /// - Parameters:
    ///   - found: the candidates, the cheapest first.
    ///   - former: relays that there were sessions to when the last process ended.
    ///   - outlooks: of those of them that are known, and no candidates; of those that the user named nothing.
    ///   - waitsForNamed: relays that the user named were not yet heard of.
    public mutating func offer(
        _ found: [(key: NodeKey, cost: Instant.Span)], former: Set<NodeKey> = [], outlooks: [Outlook] = [],
        waitsForNamed: Bool, at now: Instant
    ) -> Offer {
        if firstFound == nil, !found.isEmpty { firstFound = now }
        guard let firstFound, now - firstFound >= Self.firstLook, now - started >= Self.headStart || !waitsForNamed
        else { return Offer() }
        guard !isOver(at: now) else { return Offer(ranked: found) }
        let costs = Dictionary(found.map { ($0.key, $0.cost) }) { first, _ in first }
        let order = Ranking.order(
            found.map(\.key).filter(former.contains) + found.map(\.key).filter { !former.contains($0) }, costs: costs)
        let measured = outlooks.count { $0 == .measured }
        let isPatient = now - firstFound < Self.patience
        let kept = isPatient ? min(max(measured, min(outlooks.count, sessions - 1)), sessions) : 0
        return Offer(ranked: order.compactMap { key in costs[key].map { (key, $0) } }, kept: kept, former: former)
    }
}
