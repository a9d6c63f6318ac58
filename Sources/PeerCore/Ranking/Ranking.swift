public import PeerWire

/// Which relay is the best, and why: a pure function of samples, proofs and time.
public struct Ranking: Sendable {
    /// Another relay must be better by this and by a third, or all stays as it is: two that are alike would otherwise
    /// take turns with every gust.
    public static let margin = Instant.Span.milliseconds(10)
    /// From this load on a relay is given no new peers.
    public static let full = 0.95

    /// A relay that could be chosen, with what is known of it. Nothing in here is its own claim but name, load and that
    /// it lets its peers go.
    public struct Candidate: Sendable {
        public var key: NodeKey
        public var name: String
        public var proof: RelayProof.Verdict
        public var isDraining: Bool
        public var log: SampleLog

        public init(key: NodeKey, name: String, proof: RelayProof.Verdict, isDraining: Bool = false, log: SampleLog) {
            self.key = key
            self.name = name
            self.proof = proof
            self.isDraining = isDraining
            self.log = log
        }
    }

    /// What became of a candidate.
    public enum Verdict: Hashable, Sendable {
        case chosen
        /// Usable, and not the first: another costs this much less.
        case behind(by: Instant.Span)
        /// Costs this much less than the chosen one, which is not enough to move.
        case notWorthMoving(by: Instant.Span)
        case notProven(RelayProof.Verdict)
        case draining
        case full
        case silent
        case notMeasured(answers: Int)
    }

    public struct Row: Sendable {
        public var key: NodeKey
        public var name: String
        public var figures: RelayFigures
        /// `nil` where it cannot be used.
        public var cost: Instant.Span?
        public var verdict: Verdict
    }

    /// The usable ones first, by their cost; then the others by name.
    public private(set) var rows: [Row]
    /// What to use first, if there is anything.
    public private(set) var chosen: NodeKey?

    /// - Parameter current: the relay that is used first now.
    public init(_ candidates: [Candidate], current: NodeKey?, at now: Instant) {
        let unordered = candidates.map { candidate in
            let figures = candidate.log.samples.isEmpty ? .unmeasured : RelayFigures(candidate.log, at: now)
            let obstacle = Self.obstacle(candidate, figures, isCurrent: candidate.key == current)
            return Row(
                key: candidate.key, name: candidate.name, figures: figures,
                cost: obstacle == nil ? figures.cost : nil,
                verdict: obstacle ?? .notMeasured(answers: figures.answers))
        }
        // By their places: a row is much to move about, and there may be a thousand.
        rows = unordered.indices.sorted { Self.precedes(unordered[$0], unordered[$1]) }.map { unordered[$0] }
        let best = rows.first { $0.cost != nil }
        let kept = rows.first { $0.key == current && $0.cost != nil }
        if let best, let bestCost = best.cost {
            if let kept, let cost = kept.cost, !Self.isClearlyBetter(bestCost, than: cost) {
                chosen = kept.key
            } else {
                chosen = best.key
            }
        }
        guard let cost = rows.first(where: { $0.key == chosen })?.cost else { return }
        for index in rows.indices {
            guard let other = rows[index].cost else { continue }
            rows[index].verdict =
                rows[index].key == chosen
                ? .chosen : other < cost ? .notWorthMoving(by: cost - other) : .behind(by: other - cost)
        }
    }

    /// Usable relays with their costs, the cheapest first.
    public var usable: [(key: NodeKey, cost: Instant.Span)] {
        rows.compactMap { row in row.cost.map { (row.key, $0) } }
    }

    public static func isClearlyBetter(_ cost: Instant.Span, than other: Instant.Span) -> Bool {
        cost + margin <= other && cost * 3 <= other * 2
    }

    /// The order stays as it is, but for those that are clearly better than the one before them. What has no cost goes
    /// behind what has one.
    public static func order(_ former: [NodeKey], costs: [NodeKey: Instant.Span]) -> [NodeKey] {
        var order: [NodeKey] = []
        for key in former {
            var place = order.count
            while place > 0, goesBefore(key, order[place - 1], costs) { place -= 1 }
            order.insert(key, at: place)
        }
        return order
    }

    private static func goesBefore(_ key: NodeKey, _ other: NodeKey, _ costs: [NodeKey: Instant.Span]) -> Bool {
        guard let cost = costs[key] else { return false }
        guard let otherCost = costs[other] else { return true }
        return isClearlyBetter(cost, than: otherCost)
    }

    private static func obstacle(_ candidate: Candidate, _ figures: RelayFigures, isCurrent: Bool) -> Verdict? {
        guard case .proven = candidate.proof else { return .notProven(candidate.proof) }
        if candidate.isDraining { return .draining }
        if figures.isSilent { return .silent }
        // Who is there already is not sent away by it.
        if figures.load >= full, !isCurrent { return .full }
        return figures.cost == nil ? .notMeasured(answers: figures.answers) : nil
    }

    private static func precedes(_ left: Row, _ right: Row) -> Bool {
        switch (left.cost, right.cost) {
        case (let one?, let other?) where one != other: one < other
        case (_?, nil): true
        case (nil, _?): false
        default: left.name == right.name ? left.key.tag < right.key.tag : left.name < right.name
        }
    }
}
