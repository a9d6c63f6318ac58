internal import Logging
internal import PeerMesh
internal import PeerProbing
internal import PeerReactor
internal import PeerWire

/// Whether this node can be reached, by asking others.
extension MeshService {
    /// Observations for the kind of NAT, at most.
    private static let maximumObservations = 32

    /// A node that can be asked at all, and where.
    private struct Contact {
        var key: NodeKey
        var endpoint: Endpoint
    }

    func runReachability(_ now: Instant) {
        let contacts = contacts
        let byKey = Dictionary(contacts.map { ($0.key, $0) }) { first, _ in first }
        for action in reach.timePassed(at: now, partners: Array(byKey.keys), using: &random) {
            guard case .ask(let key, let request) = action, let contact = byKey[key] else {
                run([action])
                continue
            }
            let available = byKey.count
            // The witness dials for four seconds.
            ask(self.request(request.bytes, to: contact.endpoint, key)) { [weak self] result in
                self?.answered(result, by: key, available: available)
            }
        }
    }

    func run(_ actions: [Reachability.Action]) {
        for case .changed(let standing) in actions {
            switch standing {
            case .unknown: log.info("not known whether others can reach this node")
            case .notReachable: log.info("other nodes cannot reach this node")
            case .reachable(let addresses):
                log.info("other nodes reach this node at \(addresses.map(\.description).joined(separator: ", "))")
            }
            publishSoon()
            onChange?()
        }
    }

    private func answered(_ result: Result<NodeAnswer, NodeFailure>, by key: NodeKey, available: Int) {
        guard case .success(let answer) = result, answer.status == 200, isMember(answer),
            let document = DialBackAnswer(answer.body)
        else { return reach.failed(key) }
        if observations.count < Self.maximumObservations || observations[key] != nil {
            observations[key] = NATKind.Observation(
                witness: key, remote: answer.remote, local: answer.local, seen: document.observed)
        }
        run(reach.answered(document, by: key, available: available, at: EventLoop.clock()))
        arm()
    }

    /// Those that answer questions: seeds whose keys are known, and nodes that others have reached. A row with an
    /// address and nobody's word for it is no contact; otherwise whoever makes such rows up decides how many witnesses
    /// are asked for.
    private var contacts: [Contact] {
        var contacts: [Contact] = []
        for seed in gossip.book.seeds {
            guard let key = pinned(seed) ?? seedKeys[seed], key != identity.key, let endpoint = Endpoint(seed) else {
                continue
            }
            contacts.append(Contact(key: key, endpoint: endpoint))
        }
        for record in gossip.table.records where record.key != identity.key && isWitnessed(record) {
            guard let address = record.record.addresses.first(where: { judge.allows($0.host) }) else { continue }
            contacts.append(
                Contact(key: record.key, endpoint: Endpoint(host: address.host.description, port: address.port)))
        }
        return contacts
    }

    /// Whether somebody that is known says that he has reached it. The signatures are not judged here.
    func isWitnessed(_ record: SignedRecord) -> Bool {
        record.record.witnesses.contains { statement in
            statement.witness != record.key
                && (statement.witness == identity.key || gossip.table[statement.witness] != nil)
        }
    }
}
