internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerWire

/// What `join` answers: when it is known what becomes of a relay, and whether what was said of it stays. A pure
/// function of how the relay stands.
struct JoinOutcome {
    /// It is not waited any longer for one that says nothing.
    static let limit = Instant.Span.seconds(10)
    /// The first attempt, and one more.
    private static let attempts = 2

    var reply: ControlReply
    /// Whether what was taught of the relay stays; otherwise what was known before counts again.
    var keeps = true

    /// `nil` while it is worth waiting.
    ///
    /// - Parameters:
    ///   - prospect: `nil`: somebody took the relay back meanwhile.
    ///   - isNew: it was not used before.
    ///   - wasUp: there was a session when it was asked for.
    ///   - hasLink: a join link was given.
    ///   - waited: since it was asked for, and the relay was tried at once.
    static func settled(
        _ relay: Endpoint, _ prospect: RelayProspect?, isNew: Bool, wasUp: Bool = false, hasLink: Bool,
        isTemporary: Bool, waited: Instant.Span
    ) -> JoinOutcome? {
        guard let prospect else {
            return JoinOutcome(.notFound, "\(relay) was left meanwhile")
        }
        if let terms = prospect.terms {
            let who = "(\(prospect.name ?? relay.host), \(terms.key.short))"
            return JoinOutcome(.success, "\(relay) \(who) is joined\(!isNew && wasUp ? " already" : "")")
        }
        let kept =
            isTemporary
            ? "it is tried again until this node stops"
            : "it is kept and tried again (p2prc leave \(relay) takes it back)"
        if let refusal = prospect.refusal, let status = status(of: refusal, hasLink: hasLink) {
            // What is wrong with a token may be a clock.
            let keeps = if case .refused(.notAMember, let detail) = refusal { isNew && !detail.isEmpty } else { false }
            let rest = keeps ? kept : isNew ? "nothing of it is kept" : "what was known of it before stays"
            return JoinOutcome(status, "\(relay): \(prospect.reason ?? "\(refusal)"); \(rest)", keeps: keeps)
        }
        let isOver = waited >= limit || prospect.failures >= attempts && waited >= MapOutcome.patience
        guard isOver else { return nil }
        return JoinOutcome(.relayUnavailable, "\(relay): \(prospect.reason ?? "no answer yet"); \(kept)")
    }

    private init(_ status: ExitStatus, _ text: String, keeps: Bool = true) {
        reply = ControlReply(status: status, text: text, document: nil)
        self.keeps = keeps
    }

    /// Of what will not become better by itself; `nil`: it may.
    private static func status(of refusal: HandshakeFailure, hasLink: Bool) -> ExitStatus? {
        switch refusal {
        case .keyChanged: hasLink ? .usage : nil
        case .refused(.notAMember, _), .refused(.notARelay, _), .unproven: .refused
        case .refused, .version, .unexpected, .breach: nil
        }
    }
}
