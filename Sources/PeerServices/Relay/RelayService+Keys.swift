internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// What a relay does when it, or a peer of it, goes on under another key.
extension RelayService {
    /// This relay has another key (`KeyRing.rotate`): its members learn how it came to that, and come back to find it.
    /// What visitors have open goes on meanwhile.
    public func keyRotated() {
        for session in sessions.values {
            session.handshake.rulesChanged(rules)
            if session.isAdmitted { session.channel.send(RelayMessage.keyHistory(keys.history).bytes) }
            drop(session.id, .leaving, "this relay has another key from now on")
        }
    }

    /// All that belongs to a key stays on one lane, also when the key is handed over. Where former keys of the same
    /// node still have ports on different lanes, those on the lane of the latest move with it, and the leases of the
    /// others run out.
    func heirs(of formerly: [NodeKey], _ key: NodeKey) -> [NodeKey] {
        guard let latest = formerly.last(where: { former in ports.keys.contains { $0.key == former } }) else {
            return formerly
        }
        let lane = laneIndex(of: latest)
        if inheritedLanes[key] == nil, !ports.keys.contains(where: { $0.key == key }) {
            if inheritedLanes.count >= Self.maximumInheritedLanes {
                inheritedLanes = inheritedLanes.filter { entry in
                    ports.keys.contains { $0.key == entry.key } || sessions.values.contains { $0.key == entry.key }
                }
            }
            inheritedLanes[key] = lane
        }
        return formerly.filter { former in
            laneIndex(of: former) == laneIndex(of: key) || !ports.keys.contains { $0.key == former }
        }
    }

    /// Keys that became a session's, as it shows now or has shown before; without those of which this relay knows
    /// another successor, who came first.
    func formerKeys(of session: Session) -> [NodeKey] {
        let shown = (try? session.handshake.history.formerKeys(of: session.key, at: loop.wall().seconds)) ?? []
        return shown.filter { !core.isSucceeded($0, byAnotherThan: session.key) } + core.formerKeys(of: session.key)
    }
}
