internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// What the log says of public ports that nobody reaches.
extension PeerService {
    /// Once for each mapping, until it works. Of relays that the user did not name nothing: their firewalls are others'
    /// to open, and this node looks for better ones.
    func tellReach(of id: MappingID, at relay: UsedRelay) {
        guard relay.isNamed, let agreement = relay.agreements[id] else { return }
        if let reason = agreement.firstUnreachable {
            guard relay.toldUnreachable.insert(id).inserted else { return }
            let isMany = agreement.ports?.count ?? 1 > 1
            log.warning(
                "\(place(of: agreement)) cannot be reached\(isMany ? " at each port" : "") from outside: "
                    + "\(reason); \(cure(agreement, relay))"
            )
        } else if agreement.firstWorking != nil {
            guard relay.toldUnreachable.remove(id) != nil else { return }
            log.info("\(place(of: agreement)) is reached from outside now")
        }
    }

    private func place(of agreement: PeerPortAgreement) -> String {
        let offsets = Set(0..<UInt16(clamping: agreement.ports?.count ?? 1))
        let open = Endpoint(host: agreement.host ?? "?", port: agreement.ports?.first ?? 0)
        let target =
            switch agreement.wish.target {
            case .service(let host, let port): PortNames.text(Endpoint(host: host, port: port), offsets)
            case .serverPort: Self.text(agreement.wish.target)
            }
        return "\(PortNames.text(open, offsets)) -> \(target)"
    }

    private func cure(_ agreement: PeerPortAgreement, _ relay: UsedRelay) -> String {
        FirewallText.opening(
            relay.terms?.ports ?? agreement.ports,
            relay.checks.closed[agreement.wish.id] ?? agreement.wish.protocols,
            in: "the firewall of relay \(relay.endpoint)")
    }
}
