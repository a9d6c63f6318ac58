internal import PeerWire

/// Which relays get a session, which are left, and which are published: after each event anew.
extension Failover {
    mutating func balance(_ now: Instant) -> [Action] {
        var costs: [NodeKey: Instant.Span] = [:]
        for (key, cost) in ranked { costs[key] = cost }
        order = Ranking.order(order, costs: costs)
        var actions = fill(costs, now)
        actions += shed(now)
        return actions + publish(costs, now)
    }

    /// As many sessions as are wanted, and one more where it would be clearly better than the last of them.
    private mutating func fill(_ costs: [NodeKey: Instant.Span], _ now: Instant) -> [Action] {
        callBack(costs)
        let coming = members.values.count { !$0.isLive }
        let serving = serving
        standIns = standIns.filter { members[$0] != nil && (!former.isEmpty || serving.count > limits.sessions) }
        var missing = limits.sessions - serving.count - coming - kept + comeBack(costs, now)
        let isCalm = coming == 0 && lastMove + limits.calm <= now
        if missing <= 0, isCalm, serving.count == limits.sessions,
            let last = serving.last(where: { members[$0]?.isFixed == false }),
            let best = ranked.first(where: { mayConnect($0.key, now) }),
            costs[last].map({ Ranking.isClearlyBetter(best.cost, than: $0) }) ?? false
        {
            lastMove = now
            missing = 1
        }
        var actions: [Action] = []
        // Who served nobody the last time comes after those who were not tried.
        let tried = ranked.filter { failures[$0.key]?.isUseless == true }
        for (key, _) in ranked.filter({ failures[$0.key]?.isUseless != true }) + tried
        where missing > 0 && mayConnect(key, now) {
            // Silent, draining and spare ones keep their places for a while, but not without end.
            if members.count >= 2 * limits.sessions + 1 {
                if let spare = longestSpare {
                    actions += leave(spare, .replaced, now)
                } else if let useless = mostUseless, nextRotation <= now {
                    nextRotation = now + min(limits.longestPause, limits.firstRotation * (1 << min(rotations, 16)))
                    rotations += 1
                    actions += leave(useless, .useless, now)
                } else {
                    break
                }
            }
            members[key] = Member(since: now, lastHeard: now)
            if !former.contains(key), former.contains(where: { members[$0] == nil }) { standIns.insert(key) }
            actions.append(.connect(key))
            missing -= 1
        }
        return actions
    }

    /// How many relays of last time may take the places of those that stood in for them: all that are not clearly
    /// worse, and have not turned out to serve nobody.
    private func comeBack(_ costs: [NodeKey: Instant.Span], _ now: Instant) -> Int {
        let standing = serving.filter { standIns.contains($0) }
        guard let last = standing.last else { return 0 }
        let back = ranked.count { key, cost in
            former.contains(key) && mayConnect(key, now) && failures[key]?.isUseless != true
                && !(costs[last].map { Ranking.isClearlyBetter($0, than: cost) } ?? false)
        }
        return min(back, standing.count)
    }

    /// Spare ones serve already: those that are needed again, and those that are clearly better again.
    private mutating func callBack(_ costs: [NodeKey: Instant.Span]) {
        for key in order {
            guard let member = members[key], member.spareSince != nil, !member.isSilent, member.drainingSince == nil
            else { continue }
            let serving = serving
            let isBetter =
                if let cost = costs[key], let last = serving.last(where: { members[$0]?.isFixed == false }),
                    let other = costs[last]
                { Ranking.isClearlyBetter(cost, than: other) } else { false }
            if serving.count < limits.sessions - kept || isBetter { members[key]?.spareSince = nil }
        }
    }

    private var longestSpare: NodeKey? {
        members.compactMap { key, member in member.spareSince.map { (key, $0) } }
            .min { ($0.1, $0.0.tag) < ($1.1, $1.0.tag) }?.0
    }

    /// Of those that serve nobody the one that was tried for longest.
    private var mostUseless: NodeKey? {
        members.filter { $0.value.isFailing && !$0.value.isFixed && $0.value.outcome?.working ?? 0 == 0 }
            .min { ($0.value.since, $0.key.tag) < ($1.value.since, $1.key.tag) }?.key
    }

    private func mayConnect(_ key: NodeKey, _ now: Instant) -> Bool {
        members[key] == nil && (failures[key].map { $0.until <= now } ?? true)
    }

    /// Leaves what is not needed any more.
    private mutating func shed(_ now: Instant) -> [Action] {
        var actions: [Action] = []
        let settled = proven.count { key in members[key].map { now - $0.since >= limits.settling } ?? false }
        let isAsGoodAsItGets = settled > 0 && !isComing && !ranked.contains { members[$0.key] == nil }
        for (key, member) in members.sorted(by: { $0.key.tag < $1.key.tag }) {
            guard let since = member.drainingSince else { continue }
            if settled >= limits.sessions || isAsGoodAsItGets || now - since >= limits.drainLimit {
                actions += leave(key, .drained, now)
            }
        }
        while serving.count > limits.sessions,
            let last = serving.last(where: { standIns.contains($0) })
                ?? serving.last(where: { members[$0]?.isFixed == false }),
            serving.allSatisfy({ key in
                key == last
                    || members[key].map { now - $0.since >= limits.settling && isProven($0) } ?? false
            })
        {
            members[last]?.spareSince = now
            standIns.remove(last)
        }
        if settled >= limits.sessions {
            for (key, member) in members.sorted(by: { $0.key.tag < $1.key.tag })
            where member.isFailing && !member.isFixed && member.spareSince == nil && member.drainingSince == nil {
                // Visitors may have the address of what does work there.
                if member.outcome?.working ?? 0 > 0 {
                    members[key]?.spareSince = now
                } else {
                    actions += leave(key, .useless, now)
                }
            }
        }
        for (key, member) in members.sorted(by: { $0.key.tag < $1.key.tag }) {
            guard let since = member.spareSince else { continue }
            // One that is silent is of no use to anybody.
            if now - since >= limits.grace || member.isSilent {
                actions += leave(key, member.isFailing ? .useless : .replaced, now)
            }
        }
        return actions
    }

    mutating func publish(_ costs: [NodeKey: Instant.Span], _ now: Instant) -> [Action] {
        // What serves in part comes after what serves. What waits to be reached, is silent or going is named only where
        // there is nothing else: who dials it may still get through.
        let good =
            proven
            + healthy.filter { key in
                members[key]?.outcome.map { $0.working > 0 && !$0.isProven } ?? false
            }
        let list = firstPlace.arrange([good, serving, healthy].first { !$0.isEmpty } ?? order, costs, at: now)
        guard list != published else { return [] }
        published = list
        return [.publish(list)]
    }
}
