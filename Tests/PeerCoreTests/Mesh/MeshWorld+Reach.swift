import PeerCore
import PeerWire

/// Nodes are dialled back, and vouched for.
extension MeshWorld {
    func runReachability(_ node: MeshNode) {
        guard node.reach.nextDeadline <= now else { return }
        let known = nodes.indices.prefix(40).map { _ in nodes[any(nodes.count)] }
        let partners = known.filter { $0.isPublic && $0.isUp && node.gossip.table[$0.key] != nil }
        for action in node.reach.timePassed(at: now, partners: partners.map(\.key), using: &random) {
            guard case .ask(let key, let request) = action, let witness = partners.first(where: { $0.key == key })
            else { continue }
            carry(request.bytes.count, node, witness) { [unowned self] in
                bearWitness(witness, for: node, request, partners.count)
            }
        }
    }

    private func bearWitness(_ witness: MeshNode, for node: MeshNode, _ request: DialBackRequest, _ available: Int) {
        let observed = NodeAddress(host: node.address.host, port: 50_000)!
        let asker = DialBackResponder.Asker(key: node.key, observed: observed, isDirect: true)
        func reply(_ answer: DialBackAnswer) {
            carry(answer.bytes.count, witness, node) { [unowned self] in
                _ = node.reach.answered(answer, by: witness.key, available: available, at: now)
            }
        }
        switch witness.responder.asked(request, by: asker, at: now) {
        case .answer(let outcome, let observed): DialBackAnswer(outcome, observed: observed).map(reply)
        case .dial(let number, let address, let key, let nonce):
            if address.host != node.address.host { fail("\(witness.number) was made to dial a third host") }
            let isOpen = node.isPublic && key == node.key
            after(.milliseconds(UInt64(distance(witness, node)))) { [unowned self] in
                if isOpen, node.isUp { _ = node.reach.arrived(nonce: nonce, from: witness.key) }
                switch witness.responder.dialled(number, reached: isOpen && node.isUp, at: wall) {
                case .attest(let content, let observed):
                    reply(DialBackAnswer(observed: observed, statement: witness.seal.sign(content)))
                case .answer(let outcome, let observed): DialBackAnswer(outcome, observed: observed).map(reply)
                case nil: break
                }
            }
        }
    }

    /// What liars say that they reached node 0 at.
    static let falseAddress = NodeAddress.number(0xabcdef)

    func runVouching(_ node: MeshNode) {
        let relay = nodes[0]
        guard node !== relay, relay.isUp, !node.vouchPlan.due([relay.key], at: now).isEmpty else { return }
        let statement = node.seal.sign(
            .init(
                subject: relay.key, witness: node.key, time: wall(of: node).seconds,
                address: node.isLiar ? Self.falseAddress : relay.address))
        carry(Vouch(statement).bytes.count, node, relay) { [unowned self] in
            _ = relay.reach.vouched(statement, by: node.key, from: node.address.host, at: now)
            carry(2, relay, node) { [unowned self] in node.vouchPlan.answered(relay.key, at: now) }
        }
    }
}
