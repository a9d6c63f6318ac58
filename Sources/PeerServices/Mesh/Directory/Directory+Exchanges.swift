internal import Logging
internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerWire

/// Exchanges that this node begins, and rounds of them that somebody waits for.
extension Directory {
    func run(_ actions: [Gossip.Action]) {
        for action in actions {
            switch action {
            case .exchange(let number, let partner, let digest):
                for index in refreshes.indices { refreshes[index].begun(number) }
                begin(number, partner, digest)
            case .send(let number, let difference): send(difference.bytes, number)
            case .finish(let number):
                exchanges[number] = nil
                for index in refreshes.indices { refreshes[index].pending.remove(number) }
            }
        }
        endRefreshes()
        takeChanges()
        coordinator?.heard()
    }

    private func begin(_ number: UInt64, _ partner: Gossip.Partner, _ digest: GossipDigest) {
        switch partner {
        case .node(let key, let address):
            exchanges[number] = (Endpoint(address), key, .others)
            send(digest.bytes, number)
        case .seed(let text):
            guard let endpoint = Endpoint(text) else { return failed(number, "\(text) is no address") }
            let word = seeds.word(of: text)
            if let key = key(ofSeed: text) {
                exchanges[number] = (endpoint, key, word)
                return send(digest.bytes, number, seed: text)
            }
            client.meet(endpoint, on: word) { [weak self] key in
                guard let self else { return }
                switch key {
                case .failure(let failure): failed(number, failure.description, seed: text)
                case .success(context.own):
                    // The user may well have written down this very node.
                    gossip.book.remove(seed: text)
                    failed(number, "it is this node")
                case .success(let key):
                    seeds.proved(key, at: text)
                    exchanges[number] = (endpoint, key, word)
                    send(digest.bytes, number, seed: text)
                }
            }
        }
    }

    private func send(_ body: [UInt8], _ number: UInt64, seed: String? = nil) {
        guard let (endpoint, key, word) = exchanges[number] else { return }
        var limits = NodeRequest.Limits()
        if word == .others, isStranger(key, at: endpoint) { limits.connect = MeshClient.firstConnect }
        client.ask(client.request(body, to: endpoint, key, limits: limits), on: word) { [weak self] result in
            self?.answered(number, result, from: key, seed: seed)
        }
    }

    private func answered(
        _ number: UInt64, _ result: Result<NodeAnswer, NodeFailure>, from key: NodeKey, seed: String?
    ) {
        let answer: NodeAnswer
        switch result {
        case .failure(let failure):
            // Its key may have changed; the next time it is asked who it is.
            if let seed, failure.kind == .stranger { seeds.forgetKey(at: seed) }
            if seed == nil, failure.kind != .crowded { coordinator?.noteSilence(of: key) }
            return failed(number, failure.description, seed: seed)
        case .success(let success): answer = success
        }
        guard answer.status == 200 else { return failed(number, Self.text(status: answer.status), seed: seed) }
        guard client.isMember(answer) else { return failed(number, "it is no member of this node's mesh", seed: seed) }
        do throws(WireError) {
            take(try GossipDifference(answer.body), number, from: key, at: answer.remote.host, seed: seed)
        } catch { failed(number, "\(error)", seed: seed) }
        coordinator?.arm()
    }

    private func take(
        _ difference: GossipDifference, _ number: UInt64, from key: NodeKey, at host: HostAddress, seed: String?
    ) {
        if let seed { seedAnswered(seed) }
        if let endpoint = exchanges[number]?.endpoint { met(key, at: endpoint) }
        for index in refreshes.indices where refreshes[index].pending.contains(number) {
            refreshes[index].answered.insert(number)
        }
        let caller = Gossip.Caller(key: key, host: host)
        let unjudged = gossip.unjudged(number, difference, by: caller, at: context.now, wall: context.wall)
        judge(unjudged) { [weak self] judged in
            guard let self else { return }
            guard let judged else { return failed(number, "too much is to be judged here already") }
            run(
                gossip.answered(
                    number, difference, by: caller, judged: judged, at: context.now, wall: context.wall))
            coordinator?.arm()
        }
    }

    private func failed(_ number: UInt64, _ reason: String, seed: String? = nil) {
        // Nothing is asked any more, and that is no news.
        guard !isStopped else { return }
        if let seed, seeds.isNews(reason, of: seed) {
            context.log.warning("the mesh cannot be asked at \(seed): \(reason); trying again")
        }
        context.log.debug("gossip: \(reason)")
        exchanges[number] = nil
        run(gossip.failed(number, at: context.now, wall: context.wall))
        coordinator?.arm()
    }

    private func seedAnswered(_ seed: String) {
        if seeds.answered(seed) { context.log.info("the mesh is asked at \(seed) again") }
        context.store.seedAnswered(seed, at: context.moment)
    }

    private static func text(status: Int) -> String {
        switch status {
        case 401, 403: "it does not know this node as a member of its mesh"
        case 404: "it does not take part in the mesh"
        case 429: "it is busy"
        default: "it answered with \(status)"
        }
    }

    // MARK: Refreshing

    /// The next round begins now. `done` is called once, when all of its exchanges are over; each has its time-out.
    func refresh(_ done: @escaping (MeshService.Refreshed) -> Void) {
        refreshes.append(Refresh(accepted: gossip.counts.accepted, done: done))
        gossip.hurry(at: context.now)
    }

    private func endRefreshes() {
        let over = refreshes.filter(\.pending.isEmpty)
        guard !over.isEmpty else { return }
        refreshes.removeAll(where: \.pending.isEmpty)
        for refresh in over {
            let learnt = gossip.counts.accepted - refresh.accepted
            refresh.done(.init(asked: refresh.asked, answered: refresh.answered.count, learnt: learnt))
        }
    }
}

/// A round of gossip that somebody waits for (`--us`).
struct Refresh {
    /// Exchanges that are not over.
    var pending: Set<UInt64> = []
    var answered: Set<UInt64> = []
    var asked = 0
    /// Records that had been taken in before it.
    let accepted: Int
    let done: (MeshService.Refreshed) -> Void

    mutating func begun(_ number: UInt64) {
        pending.insert(number)
        asked += 1
    }
}
