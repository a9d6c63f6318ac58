internal import PeerWire

/// Who is published first. Visitors and DNS hold on to the first address, so that one which changes all the time serves
/// nobody. A single change is followed at once; a relay that lost the first place twice within some minutes, because
/// its way became worse or because it failed, has to keep its claim on it for a while before it is first again.
/// Meanwhile it is published like any other. No I/O, no clock.
struct FirstPlace: Sendable {
    /// Between two losses of the first place, so that the second counts as one more.
    static let memory = Instant.Span.seconds(600)
    /// The second loss costs so much, and each further one twice as much.
    static let firstWait = Instant.Span.seconds(30)
    static let longestWait = Instant.Span.seconds(300)
    /// Relays whose losses are remembered, at most.
    static let capacity = 64

    private struct Mark: Sendable {
        var losses: UInt64
        var last: Instant
    }

    private var marks: [NodeKey: Mark] = [:]
    private(set) var holder: NodeKey?
    private var heldSince = Instant.zero
    /// The least that the holder has cost while it was first.
    private var leastCost: Instant.Span?
    private var claim: (by: NodeKey, since: Instant)?

    /// The relays that are to be published, the best first; the result has somebody else first where that one has to
    /// wait.
    mutating func arrange(_ list: [NodeKey], _ costs: [NodeKey: Instant.Span], at now: Instant) -> [NodeKey] {
        guard let best = list.first else {
            loses(at: now)
            return list
        }
        let isOvertaken = holder.map(list.contains) ?? false
        if holder == best {
            claim = nil
            if let cost = costs[best] { leastCost = min(leastCost ?? cost, cost) }
            if now - heldSince >= Self.longestWait { marks[best] = nil }
            return list
        }
        if claim?.by != best { claim = (best, now) }
        guard isWaiting(best, now) else {
            if !isOvertaken || hasBecomeWorse(costs) { loses(at: now) }
            takes(best, costs, now)
            return list
        }
        // The one that was first stays so; where it is gone, it is the next best that need not wait, or nobody else.
        guard let first = isOvertaken ? holder : list.first(where: { !isWaiting($0, now) }) ?? best else { return list }
        if first != holder {
            loses(at: now)
            takes(first, costs, now)
        }
        return [first] + list.filter { $0 != first }
    }

    /// Whether a relay is kept from the first place.
    func isWaiting(_ key: NodeKey, _ now: Instant) -> Bool {
        let wait = wait(of: key, now)
        guard wait > .zero else { return false }
        guard let claim, claim.by == key else { return true }
        return now - claim.since < wait
    }

    private func wait(of key: NodeKey, _ now: Instant) -> Instant.Span {
        guard let mark = marks[key], mark.losses > 1, now - mark.last < Self.memory else { return .zero }
        return min(Self.longestWait, Self.firstWait * (1 << min(mark.losses - 2, 16)))
    }

    /// Not who is overtaken by another one that has become better.
    private func hasBecomeWorse(_ costs: [NodeKey: Instant.Span]) -> Bool {
        guard let holder, let leastCost, let cost = costs[holder] else { return false }
        return Ranking.isClearlyBetter(leastCost, than: cost)
    }

    private mutating func loses(at now: Instant) {
        guard let former = holder else { return }
        holder = nil
        if marks[former] == nil, marks.count >= Self.capacity,
            let oldest = marks.min(by: { ($0.value.last, $0.key.tag) < ($1.value.last, $1.key.tag) })?.key
        {
            marks[oldest] = nil
        }
        let losses = marks[former].flatMap { now - $0.last < Self.memory ? $0.losses : nil } ?? 0
        marks[former] = Mark(losses: losses + 1, last: now)
    }

    private mutating func takes(_ key: NodeKey, _ costs: [NodeKey: Instant.Span], _ now: Instant) {
        holder = key
        heldSince = now
        leastCost = costs[key]
        claim = nil
    }
}
