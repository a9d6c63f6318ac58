internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerWire

/// What `--mp` answers: when a mapping has settled, and with which exit status. A pure function of the rows.
enum MapOutcome {
    /// The least that a relay without a session has to come back: one that is started again needs about that.
    static let patience = Instant.Span.seconds(1)
    /// The first attempt, and one more.
    private static let attempts = 2

    /// `nil` while it is worth waiting. The best outcome of all relays counts.
    ///
    /// - Parameters:
    ///   - rows: one for each relay that is named or chosen.
    ///   - known: relays that may be chosen some time.
    ///   - waited: since it was asked for, and relays without a session were tried at once.
    ///   - isLate: it is not waited any longer.
    static func reply(_ rows: [ExposedMapping], known: Int, waited: Instant.Span, isLate: Bool) -> ControlReply? {
        if rows.isEmpty { return isLate ? unchosen(known) : nil }
        let whole = rows.filter { PortOutcome($0).isWhole }
        if let row = whole.first(where: { PortOutcome($0).untried == nil }) ?? whole.first {
            let outcome = PortOutcome(row)
            let remarks = lacks(rows) ?? outcome.untried.map { ["it \($0)"] } ?? []
            let all = remarks + [outcome.silentDatagrams, outcome.unseen].compactMap { $0 }
            return ControlReply(
                status: .success, text: outcome.working.joined(separator: "\n"), document: nil,
                remarks: all.isEmpty ? nil : all)
        }
        let outcomes = rows.map { outcome($0, waited, isLate: isLate) }
        guard isLate || !outcomes.contains(where: { $0 == nil }) else { return nil }
        let settled = outcomes.compactMap { $0 }
        // Where some ports work, that counts for more than why others do not.
        let partly = settled.filter { $0.results?.isEmpty == false }
        if let reply = partly.max(by: { ($0.results ?? []).count < ($1.results ?? []).count }) { return reply }
        let order: [ExitStatus] = [.targetDown, .unreachable, .portTaken, .noPortFree, .refused]
        for status in order { if let reply = settled.first(where: { $0.status == status }) { return reply } }
        if let row = rows.first(where: { $0.state == .offline }) { return unavailable(row) }
        return ControlReply(
            status: .timedOut, text: "not settled in time; --view-rpm shows how it goes on", document: nil)
    }

    /// Where it works at one relay: at which others it does not, and why. `nil` while nothing is wrong there.
    private static func lacks(_ rows: [ExposedMapping]) -> [String]? {
        let lacking = rows.filter { row in
            switch row.state {
            case .refused, .unreachable: true
            case .offline: row.failures > 0
            case .requested, .bound, .committed, .active, .verified, .targetDown: false
            }
        }
        guard !lacking.isEmpty else { return nil }
        let reasons = lacking.map { "\($0.relayName): \($0.reason ?? "\($0.state)")" }.joined(separator: "; ")
        return ["at \(rows.count - lacking.count) of \(rows.count) relays; \(reasons)"]
    }

    /// The node chooses its relays by itself, and has not done so yet.
    private static func unchosen(_ known: Int) -> ControlReply {
        let found = known == 0 ? "it has heard of none" : "none of the \(known) that it knows can be used"
        let next = known == 0 ? "p2prc --ls shows whom it knows" : "p2prc --view-rps --explain shows why"
        return ControlReply(
            status: .relayUnavailable,
            text:
                "this node has not chosen a reverse proxy yet, \(found) (\(next)); the "
                + "mapping is made as soon as one is",
            document: nil)
    }

    private static func unavailable(_ row: ExposedMapping) -> ControlReply {
        let reason = row.reason ?? "no session"
        return ControlReply(
            status: .relayUnavailable,
            text: "\(row.relay): \(reason); the mapping is made as soon as the relay answers", document: nil)
    }

    private static func outcome(_ row: ExposedMapping, _ waited: Instant.Span, isLate: Bool) -> ControlReply? {
        if !row.standings.isEmpty { return PortOutcome(row).reply(isLate: isLate) }
        return switch row.state {
        // Why there is no session is known, and trying again did not help.
        case .offline where row.failures >= attempts && waited >= patience: unavailable(row)
        case .refused:
            ControlReply(
                status: status(row.refusal),
                text: "\(row.relay) refused: \(row.reason ?? "no reason given")\(advice(row))", document: nil)
        case .requested, .bound, .committed, .active, .verified, .targetDown, .unreachable, .offline: nil
        }
    }

    /// The firewall is the relay's. Ports are given out anew, so that all of them have to be open. Of a relay that this
    /// node chose by itself it is not the user's to open.
    static func cure(_ row: ExposedMapping) -> String {
        guard row.isNamed else { return "this node looks for another relay (p2prc --view-rps --explain)" }
        return FirewallText.opening(
            row.relayPorts ?? row.ports, row.closed ?? row.wish.protocols, in: "the firewall of \(row.relay)")
    }

    private static func status(_ refusal: RefusalReason?) -> ExitStatus {
        switch refusal {
        case .noPortFree, .portTakenHere: .noPortFree
        case .portTaken, .portLeased: .portTaken
        case .portNotAllowed, .notGranted, .protocolNotSupported, .limitReached, .storageFailed, .withdrawn, nil:
            .refused
        }
    }

    private static func advice(_ row: ExposedMapping) -> String {
        // The relay has said itself what next.
        if row.reason?.contains(";") == true { return "" }
        return switch row.refusal {
        case .portTaken, .portLeased, .portNotAllowed: "; ask for another one, or add --any"
        case .notGranted: "; ask for what it allows, or have the relay's owner allow more"
        case .limitReached: "; take one back (p2prc unmap), or have the relay's owner allow more"
        case .noPortFree, .portTakenHere: "; try another relay, or have its --ports widened"
        // That stands in the reason, and so in listings too.
        case .protocolNotSupported, .storageFailed, .withdrawn, nil: ""
        }
    }
}
