internal import Logging
public import PeerCore
public import PeerWire

/// What the relay's owner takes back.
extension RelayService {
    /// Leases, with or without a session of their peer.
    public var leases: [Lease] { core.standings.map(\.lease) }

    /// Ends the lease; its port refuses from now on and is free.
    public func release(_ claim: Claim) {
        log.info("port \(core.lease(of: claim)?.ports.description ?? "?") is taken back from \(name(of: claim.key))")
        handle(.ownerReleased(claim))
    }

    /// Ends the node's session and its leases.
    public func sendAway(_ key: NodeKey) {
        log.info("\(name(of: key)) is sent away, and its leases end")
        handle(.ownerSentAway(key))
    }

    /// Names by which nodes are here that have a session.
    public var sessionNames: [NodeKey: String] {
        var names: [NodeKey: String] = [:]
        for session in sessions.values {
            names[session.key] = core.session(session.id)?.name ?? ""
        }
        return names
    }

    private func name(of key: NodeKey) -> String {
        let name = sessionNames[key] ?? leases.first { $0.key == key }?.peerName ?? ""
        return "\(name) (\(key.short))"
    }
}
