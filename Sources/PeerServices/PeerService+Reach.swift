internal import Logging
internal import PeerMesh
internal import PeerReactor
internal import PeerWire

/// What the log says of public ports that nobody reaches.
extension PeerService {
    /// Once for each mapping, until it works. Of relays that the user did not name nothing: their firewall is not his
    /// to open, and this node looks for better ones.
    func tellReach(of id: MappingID, at relay: Relay) {
        guard relay.isNamed, let agreement = relay.agreements[id] else { return }
        switch agreement.state {
        case .unreachable:
            guard relay.toldUnreachable.insert(id).inserted else { return }
            let reason = agreement.reason ?? "no answer"
            log.warning("\(place(of: agreement)) cannot be reached from outside: \(reason); \(cure(agreement, relay))")
        case .verified:
            guard relay.toldUnreachable.remove(id) != nil else { return }
            log.info("\(place(of: agreement)) is reached from outside now")
        case .offline, .requested, .bound, .committed, .active, .refused, .targetDown: break
        }
    }

    private func place(of agreement: PeerPortAgreement) -> String {
        let port = agreement.ports?.first ?? 0
        return "\(Endpoint(host: agreement.host ?? "?", port: port)) -> \(Self.text(agreement.wish.target))"
    }

    private func cure(_ agreement: PeerPortAgreement, _ relay: Relay) -> String {
        let ports = (relay.terms?.ports ?? agreement.ports).map { $0.count == 1 ? "port \($0)" : "ports \($0)" } ?? "it"
        return "open TCP \(ports) in the firewall of relay \(relay.endpoint)"
    }
}
