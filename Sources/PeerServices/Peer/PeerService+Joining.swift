public import PeerCore
public import PeerReactor
public import PeerWire

/// How a relay that was asked for stands, for whoever waits for that.
public struct RelayProspect: Sendable {
    /// What the session rests on; `nil` while there is none.
    public var terms: SessionTerms?
    public var name: String?
    /// Attempts in a row that failed for a known reason.
    public var failures: Int
    public var reason: String?
    /// What the relay said or proved, where that is why there is no session.
    public var refusal: HandshakeFailure?

    public init(
        terms: SessionTerms?, name: String?, failures: Int, reason: String?, refusal: HandshakeFailure?
    ) {
        self.terms = terms
        self.name = name
        self.failures = failures
        self.reason = reason
        self.refusal = refusal
    }
}

extension PeerService {
    /// `nil` where the user named no such relay.
    public func prospect(of endpoint: Endpoint) -> RelayProspect? {
        guard let relay = relays.first(where: { $0.endpoint == endpoint && $0.isNamed }) else { return nil }
        return RelayProspect(
            terms: relay.isEstablished ? relay.terms : nil, name: relay.name,
            failures: relay.connection.failures, reason: relay.reason, refusal: relay.connection.refusal)
    }

    /// Shows a newer token in a session that rests on one. What is known of the relay stays as it is.
    ///
    /// - Parameter answer: called once, with an empty reason where the token counts.
    public func renew(token: String, at endpoint: Endpoint, _ answer: @escaping (_ reason: String) -> Void) {
        guard let relay = relays.first(where: { $0.endpoint == endpoint }), let terms = relay.terms,
            relay.isEstablished, terms.basis == .token
        else { return answer("there is no session by a token") }
        let known = knownRelays[endpoint.description].formerKeys + terms.formerKeys
        guard ([terms.key] + known).contains(where: { host?.isToken(token, for: $0) ?? false }) else {
            return answer("it belongs to another relay")
        }
        relay.renewal.take()?("another one was given meanwhile")
        relay.renewal = answer
        relay.send(.tokenRenewed(token))
    }

    /// What a join link says against what its relay has proven: one line for people; `nil` where they agree.
    public func contradiction(to link: JoinLink, at endpoint: Endpoint) -> String? {
        let address = endpoint.description
        if let key = knownRelays.contradiction(to: link, at: address) {
            return
                "this link names the key \(link.relay.short), the relay proved \(key.short); copy the link again. If "
                + "the relay has another key by now, leave it first: p2prc leave \(address)"
        }
        guard let wanted = link.meshKey, let proven = prospect(of: endpoint)?.terms?.meshKey, wanted != proven,
            wanted != knownRelays[address].meshKey
        else { return nil }
        return "this link has another mesh key than the one that the relay proved; copy the link again"
    }

    /// Why there is no session to a relay that proved another key than the one that is known of it.
    func complaint(about key: NodeKey, insteadOf pinned: NodeKey, at address: String) -> String {
        let known = knownRelays[address]
        if known.source == .joinLink, !known.isProven {
            // Nothing was ever known but what the link says, and nobody should get used to trusting.
            return
                "the join link names the key \(pinned.short), the relay proved \(key.short); copy the link again (if "
                + "it is the same, somebody may be in between)"
        }
        return "its key changed from \(pinned.short) to \(key.short): somebody may be in between. If you know why, "
            + "accept it: p2prc trust \(address) --key \(key)"
    }
}
