public import PeerWire

extension PeerPortAgreement {
    public enum Event: Sendable {
        case sessionReady
        case sessionLost
        case offered(RelayMessage.Offer)
        /// Answers to `bindOwnPort`.
        case ownPortBound, ownPortTaken
        case activated(attempt: UInt16, host: String)
        case refused(RefusalReason, detail: String)
        /// What is known of the services behind the ports.
        case targets(TargetStates)
        /// Answers to `check`, for the port so many after the first.
        /// `elsewhere`: where this node dialled, when that is not the host that visitors are told.
        /// `asksOthers`: another relay is asked as well.
        case checkPassed(UInt16, by: String, elsewhere: String? = nil, asksOthers: Bool = false)
        case checkFailed(UInt16, reason: String)
        /// Another node was asked, and came through at the host that visitors are told.
        case seen(UInt16, by: String, relay: String? = nil)
        /// Another relay was asked, and did not; `isLast`: nobody else is asked.
        case notSeen(UInt16, by: String, relay: String, isLast: Bool)
        /// Nobody could be asked.
        case notAsked
        /// The relay's half of a receipt, with the keys that the session proved.
        case receiptOffered(Receipt.Draft, relay: NodeKey, peer: NodeKey)
        /// Its ports are to be given back for these, where any will do. Where the relay has others to give, it is asked
        /// for the former ones again.
        case exchange(PortRange)
        case timePassed
    }

    public enum Action: Hashable, Sendable {
        case send(PeerMessage)
        /// Have this node's own server listen on the number as well.
        case bindOwnPort(UInt16)
        /// Give up the number bound before.
        case freeOwnPort
        /// Dial a public port from here and see whether a nonce comes back through the tunnel. `offset`: by how many
        /// it is after the first one.
        case check(host: String, port: UInt16, offset: UInt16, after: Instant.Span)
        /// The state that listings show has changed.
        case changed
        /// Ask for the same number next time.
        case remember(PortRange)
        /// It says what was agreed: sign it, answer with the signature, and keep it.
        case countersign(Receipt.Draft)
        /// It says something else, and is not signed.
        case object(AgreedMapping.Objection)
    }
}
