internal import PeerWire

/// Which sessions stand, and how they end.
extension RelayCore {
    // MARK: Sessions

    mutating func proven(
        _ id: SessionID, _ key: NodeKey, _ introduction: PeerMessage.Introduction, _ grant: Grant, _ now: Instant,
        _ wall: WallTime
    ) -> [Action] {
        guard !isSentAway(key, now) else { return [.end(id, .revoked, detail: Self.sentAway)] }
        if fenced[key, default: []].contains(introduction.instance) {
            return [.end(id, .superseded, detail: "a later process proved the same key")]
        }
        let start = ProcessStart(number: introduction.began, instance: introduction.instance)
        if let former = live[key].flatMap({ sessions[$0] }), start.yields(to: former.start) {
            return [.end(id, .superseded, detail: "a process with the same key that began later is connected")]
        }
        guard sessions.count < policy.maximumSessions || live[key] != nil else {
            return [.end(id, .limitReached, detail: "\(policy.maximumSessions) sessions are open")]
        }
        guard !grant.hasExpired(at: wall) else { return [.end(id, .expired, detail: Self.expiry)] }
        guard !isDraining || live[key] != nil else { return [.end(id, .limitReached, detail: Self.drainage)] }
        // A session of the same key is about to go, so it does not count.
        let account = live[key].flatMap { sessions[$0]?.grant.membership }
        let keys = ledger.use(of: grant.membership).keys - (account == grant.membership ? 1 : 0)
        if let limit = policy.limits(of: grant).keys, keys >= limit {
            let allowed = grant.membership.may(have: Self.count(limit, "node"))
            return [.end(id, .limitReached, detail: "\(allowed): \(keys) connected")]
        }
        var actions: [Action] = []
        if let former = live[key], let session = sessions[former] {
            if session.instance == introduction.instance {
                actions += [.end(former, .leaving, detail: "replaced by a new session")]
            } else {
                if fenced[key] == nil, fenced.count >= Self.maximumFencedKeys, let any = fenced.keys.first {
                    fenced[any] = nil
                }
                fenced[key, default: []].append(session.instance)
                if fenced[key, default: []].count > Self.maximumFencedInstances { fenced[key]?.removeFirst() }
                actions += [
                    .abortVisitors(former), .end(former, .superseded, detail: "a later process proved the same key"),
                ]
            }
            actions += ended(former, wall)
        }
        sessions[id] = Session(
            key: key, start: start, name: PlainText.name(introduction.name), dialled: introduction.dialled,
            lastHeard: now, since: now, grant: grant, work: Workload(.session, at: now))
        live[key] = id
        ledger.sessionOpened(grant.membership)
        return actions + [.welcome(id)] + (isDraining ? [.send(id, .draining(true))] : [])
    }

    mutating func drain(_ isOn: Bool) -> [Action] {
        guard isOn != isDraining else { return [] }
        isDraining = isOn
        return sessions.keys.sorted { $0.value < $1.value }.map { .send($0, .draining(isOn)) }
    }

    static let drainage = "this relay is about to stop and takes no new peers; use another one"

    static let expiry = "the token ran out; ask for a new one"

    /// Ends sessions and breaks off what their visitors have open.
    mutating func dismiss(
        _ ids: [SessionID], _ reason: CloseReason, _ detail: String, _ wall: WallTime
    ) -> [Action] {
        ids.sorted { $0.value < $1.value }.flatMap { id in
            [.abortVisitors(id), .end(id, reason, detail: detail)] + ended(id, wall)
        }
    }

    mutating func renewed(_ id: SessionID, _ grant: Grant, _ wall: WallTime) -> [Action] {
        guard let session = sessions[id] else { return [] }
        guard !grant.hasExpired(at: wall) else { return dismiss([id], .expired, Self.expiry, wall) }
        // Shown once more: each mapping would get another receipt for the same terms.
        guard grant != session.grant else { return [] }
        ledger.sessionClosed(session.grant.membership)
        ledger.sessionOpened(grant.membership)
        if case .token = grant.membership { holdsToken(session.key) }
        sessions[id]?.grant = grant
        return session.mappings.sorted { $0.value < $1.value }.flatMap {
            regrant(Claim(key: session.key, mapping: $0), grant)
        }
    }

    mutating func ended(_ id: SessionID, _ wall: WallTime) -> [Action] {
        guard let session = sessions.removeValue(forKey: id) else { return [] }
        if live[session.key] == id { live[session.key] = nil }
        ledger.sessionClosed(session.grant.membership)
        var actions: [Action] = []
        for mapping in session.mappings.sorted(by: { $0.value < $1.value }) {
            let claim = Claim(key: session.key, mapping: mapping)
            guard let agreement = agreements[claim], agreement.session == id else { continue }
            agreements[claim] = nil
            rebook(claim)
            guard leases[claim] != nil else {
                // Never agreed: nothing to come back to.
                if agreement.isHeld { actions.append(.free(claim)) }
                continue
            }
            if agreement.isHeld { held.insert(claim) }
            if agreement.stage == .active { actions.append(.pause(claim)) }
            actions += prolong(claim, wall)
        }
        return actions
    }
}
