internal import PeerWire

/// Checks that peers want made of other relays' ports.
extension RelayCore {
    /// Counted for the membership, not for the session: keys cost nothing.
    mutating func checkWanted(_ id: SessionID, _ request: PeerMessage.CheckRequest, _ now: Instant) -> [Action] {
        guard let session = sessions[id] else { return [] }
        guard mayAskForCheck(session, request.mapping), takeCheck(session.grant.membership, now) else {
            return [.send(id, .checkDone(number: request.number, passed: false, detail: ""))]
        }
        return [.check(id, request, by: session.key)]
    }

    /// A token is for what it allows, so its holder asks about a mapping that it has here as well.
    private func mayAskForCheck(_ session: Session, _ mapping: MappingID) -> Bool {
        guard case .token = session.grant.membership else { return true }
        switch agreements[Claim(key: session.key, mapping: mapping)]?.stage {
        case .active, .paused: return true
        case .holding, .offered, .saving, nil: return false
        }
    }

    private mutating func takeCheck(_ membership: Grant.Membership, _ now: Instant) -> Bool {
        if checks[membership] == nil, checks.count >= Self.maximumCheckers {
            checks = checks.filter { !$0.value.isFull(at: now) }
            guard checks.count < Self.maximumCheckers else { return false }
        }
        return checks[membership, default: Allowance(burst: Self.checkBurst, pause: .seconds(1))].take(at: now)
    }
}
