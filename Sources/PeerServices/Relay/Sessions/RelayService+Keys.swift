internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
public import PeerWire

/// What a relay does when its mesh key, its own key or that of a peer changes, or a token ends.
extension RelayService {
    /// This relay has another key (`KeyRing.rotate`): its members learn how it came to that, and come back to find it.
    /// What visitors have open goes on meanwhile.
    public func keyRotated() {
        admission.rulesChanged()
        let reason = "this relay has another key from now on"
        for session in admission.inHandshake { drop(session, .leaving, reason) }
        for session in sessions.values {
            session.send(.keyHistory(keys.history))
            drop(session, .leaving, reason)
        }
    }

    /// The mesh keys of the ring changed; the first is for new members. While the former one counts too, the members
    /// that are here learn the new one and their sessions go on; otherwise it is taken for leaked, and they have to go.
    public func meshKeysChanged() {
        let change = admission.meshKeysChanged()
        var ended: Set<Grant.Membership> = []
        for session in sessions.values {
            guard case .mesh = session.admission else { continue }
            switch change {
            case .none: return
            case .taught: admission.teach(session)
            case .leaked: if let account = core.session(session.id)?.grant.membership { ended.insert(account) }
            }
        }
        // Not only the sessions: what their visitors have open is broken off too.
        for account in ended { handle(.membershipEnded(account, .notAMember, detail: "")) }
    }

    /// A token was revoked, or its time is over: whoever is here by it has to go.
    public func tokenEnded(_ id: String) { handle(admission.tokenEnded(id)) }

    /// A token was made for that key.
    public func tokenMade(for key: NodeKey) { handle(.tokenMade(key)) }

    /// The former keys of a node whose ports may move to its present one.
    func heirs(of formerly: [NodeKey], _ key: NodeKey) -> [NodeKey] {
        lanes.takeOver(
            from: formerly, by: key, hasPorts: { ports.has($0) },
            isHere: { former in sessions.values.contains { $0.key == former } })
    }

    /// Keys that became a session's, as it shows now or has shown before; without those of which this relay knows
    /// another successor, who came first.
    func formerKeys(of session: RelaySession) -> [NodeKey] {
        let shown = (try? session.handshake.history.formerKeys(of: session.key, at: loop.wall().seconds)) ?? []
        return shown.filter { !core.isSucceeded($0, byAnotherThan: session.key) } + core.formerKeys(of: session.key)
    }
}
