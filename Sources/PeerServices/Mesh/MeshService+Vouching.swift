internal import Logging
internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerWire

/// Telling relays where this node reaches them, and being told: for relays that have nobody to ask.
extension MeshService {
    /// Signatures that are judged in a second.
    static let vouchesPerSecond = 8

    /// Once a second.
    func vouch(_ now: Instant) {
        let sessions = host.sessionAddresses.filter { isOfUse($0.key, $0.address) }
        let places = Dictionary(sessions.map { ($0.key, $0.address) }) { first, _ in first }
        for key in vouchPlan.due(places.keys.sorted { $0.tag < $1.tag }, at: now) {
            guard let address = places[key] else { continue }
            let endpoint = Endpoint(host: address.host.description, port: address.port)
            let statement = DialBackStatement(subject: key, time: time, address: address, by: identity)
            // A connection of its own: what is said is that it came through just now.
            ask(request(Vouch(statement).bytes, to: endpoint, key, isAlone: true)) { [weak self] result in
                guard let self, case .success(let answer) = result, answer.status == 200 else { return }
                vouchPlan.answered(key, at: loop.clock())
            }
        }
    }

    /// Whether this node sees that relay from outside, as far as it may say so, and nobody has said it who was asked:
    /// those can be dialled themselves.
    private func isOfUse(_ key: NodeKey, _ address: NodeAddress) -> Bool {
        guard judge.allows(address.host), !judge.isOwn(address.host) else { return false }
        return gossip.table[key]?.record.witnesses.allSatisfy { statement in
            gossip.table[statement.witness]?.record.addresses.isEmpty ?? true
        } ?? true
    }

    func vouched(_ question: MeshQuestion) -> MeshResponse {
        guard let vouch = Vouch(question.body) else { return .malformed }
        let now = loop.clock()
        guard vouches.take(1, at: now) else { return .busy }
        // Through a tunnel everybody is this machine itself, and whoever has no session has not been here before.
        guard setup.isRelay, host.isPeerHere(question.key), !judge.isOwn(question.source.host),
            judge.isDialledByOthers(vouch.statement.address.host)
        else { return answer(Vouch.answer(counts: false), to: question.key) }
        let (counts, actions) = reach.vouched(
            vouch.statement, by: question.key, from: question.source.host, at: now)
        run(actions)
        return answer(Vouch.answer(counts: counts), to: question.key)
    }
}
