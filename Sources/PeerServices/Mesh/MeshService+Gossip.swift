internal import Logging
internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// Exchanges that this node begins.
extension MeshService {
    func run(_ actions: [Gossip.Action]) {
        for action in actions {
            switch action {
            case .exchange(let number, let partner, let digest):
                noteRefresh { $0.begun(number) }
                begin(number, partner, digest)
            case .send(let number, let difference): send(difference.bytes, number)
            case .finish(let number):
                exchanges[number] = nil
                noteRefresh { $0.pending.remove(number) }
            }
        }
        endRefreshes()
        takeChanges()
        lookForForeignOwn()
    }

    private func begin(_ number: UInt64, _ partner: Gossip.Partner, _ digest: GossipDigest) {
        switch partner {
        case .node(let key, let address):
            exchanges[number] = (Endpoint(host: address.host.description, port: address.port), key, .others)
            send(digest.bytes, number)
        case .seed(let text):
            guard let endpoint = Endpoint(text) else { return failed(number, "\(text) is no address") }
            let word = word(of: text)
            if let key = host.pinnedKey(of: text) ?? seedKeys[text] {
                exchanges[number] = (endpoint, key, word)
                return send(digest.bytes, number, seed: text)
            }
            meet(endpoint, word) { [weak self] key in
                guard let self else { return }
                switch key {
                case .failure(let failure): failed(number, failure.description, seed: text)
                case .success(identity.key):
                    // The user may well have written down this very node.
                    gossip.book.remove(seed: text)
                    failed(number, "it is this node")
                case .success(let key):
                    if seedKeys.count < PartnerBook.maximumSeeds { seedKeys[text] = key }
                    exchanges[number] = (endpoint, key, word)
                    send(digest.bytes, number, seed: text)
                }
            }
        }
    }

    /// Which node is there. It is asked for nothing else: a proof of membership is for one key.
    private func meet(
        _ endpoint: Endpoint, _ word: Word, _ done: @escaping (Result<NodeKey, NodeFailure>) -> Void
    ) {
        let question = NodeRequest(
            host: endpoint.host, port: endpoint.port, key: nil, path: "/v1/alive", limits: .init(answer: 256))
        ask(question, on: word) { done($0.map(\.key)) }
    }

    private func send(_ body: [UInt8], _ number: UInt64, seed: String? = nil) {
        guard let (endpoint, key, word) = exchanges[number] else { return }
        var limits = NodeRequest.Limits()
        if word == .others, isStranger(key, at: endpoint) { limits.connect = Self.firstConnect }
        ask(request(body, to: endpoint, key, limits: limits), on: word) { [weak self] result in
            self?.answered(number, result, from: key, seed: seed)
        }
    }

    /// Whether it is known by its row alone, and has not answered at that address.
    private func isStranger(_ key: NodeKey, at endpoint: Endpoint) -> Bool {
        HostAddress(endpoint.host).map { !gossip.hosts.isProven(key, at: $0, loop.clock()) } ?? false
    }

    private func answered(
        _ number: UInt64, _ result: Result<NodeAnswer, NodeFailure>, from key: NodeKey, seed: String?
    ) {
        let answer: NodeAnswer
        switch result {
        case .failure(let failure):
            // Its key may have changed; the next time it is asked who it is.
            if let seed, failure.kind == .stranger, host.pinnedKey(of: seed) == nil { seedKeys[seed] = nil }
            if seed == nil, failure.kind != .crowded { noteSilence(of: key) }
            return failed(number, failure.description, seed: seed)
        case .success(let success): answer = success
        }
        guard answer.status == 200 else { return failed(number, Self.text(status: answer.status), seed: seed) }
        guard isMember(answer) else { return failed(number, "it is no member of this node's mesh", seed: seed) }
        do throws(WireError) {
            let difference = try GossipDifference(answer.body)
            if let seed { seedAnswered(seed) }
            if let endpoint = exchanges[number]?.endpoint { met(key, at: endpoint) }
            noteRefresh { $0.answered.formUnion($0.pending.contains(number) ? [number] : []) }
            let caller = Gossip.Caller(key: key, host: answer.remote.host)
            let unjudged = gossip.unjudged(number, difference, by: caller, at: loop.clock(), wall: loop.wall())
            judge(unjudged) { [weak self] judged in
                guard let self else { return }
                guard let judged else { return failed(number, "too much is to be judged here already") }
                run(
                    gossip.answered(number, difference, by: caller, judged: judged, at: loop.clock(), wall: loop.wall())
                )
                arm()
            }
        } catch { failed(number, "\(error)", seed: seed) }
        arm()
    }

    private func failed(_ number: UInt64, _ reason: String, seed: String? = nil) {
        // Nothing is asked any more, and that is no news.
        guard !isStopped else { return }
        // Without its figures: how long an attempt took differs each time. Of relays that were joined, who keeps the
        // session tells already.
        let kind = reason.filter { !$0.isNumber }
        if let seed, !joined.contains(seed), troubles[seed] != kind {
            troubles[seed] = kind
            log.warning("the mesh cannot be asked at \(seed): \(reason); trying again")
        }
        log.debug("gossip: \(reason)")
        exchanges[number] = nil
        run(gossip.failed(number, at: loop.clock(), wall: loop.wall()))
        arm()
    }

    private func seedAnswered(_ seed: String) {
        if troubles.removeValue(forKey: seed) != nil { log.info("the mesh is asked at \(seed) again") }
        let moment = UnixTime(loop.wall())
        writer.write(
            "an answer of a seed", for: .mesh,
            { table throws(StorageError) in try table.seedAnswered(seed, at: moment) })
    }

    static func text(status: Int) -> String {
        switch status {
        case 401, 403: "it does not know this node as a member of its mesh"
        case 404: "it does not take part in the mesh"
        case 429: "it is busy"
        default: "it answered with \(status)"
        }
    }

    // MARK: Requests

    func request(
        _ body: [UInt8], to endpoint: Endpoint, _ key: NodeKey, isAlone: Bool = false,
        limits: NodeRequest.Limits = .init()
    ) -> NodeRequest {
        var request = NodeRequest(
            host: endpoint.host, port: endpoint.port, key: key, path: Self.path, body: body,
            proof: MemberProof.text(of: identity.key, to: key, with: host.knownMeshKeys), limits: limits)
        request.isAlone = isAlone
        return request
    }

    /// All that the mesh dials goes through here. Answers on the control loop.
    func ask(
        _ request: NodeRequest, on word: Word = .others,
        _ done: @escaping (Result<NodeAnswer, NodeFailure>) -> Void
    ) {
        let bound = LoopBound((self, done), on: loop)
        guard word == .users || isAllowed(Endpoint(host: request.host, port: request.port)) else {
            let refusal = NodeFailure(.unreachable, "it may not be dialled on others' word")
            return loop.execute { bound.value.1(.failure(refusal)) }
        }
        client.send(request) { [loop] result in
            loop.execute {
                let (mesh, done) = bound.value
                switch result {
                case .success(let answer):
                    mesh.gossip.hosts.answered(answer.key, at: answer.remote, loop.clock())
                case .failure(let failure) where failure.kind != .crowded:
                    if let key = request.key, let host = HostAddress(request.host) {
                        mesh.gossip.hosts.missed(key, at: host)
                    }
                case .failure: break
                }
                done(result)
            }
        }
    }

    /// Whether the other end belongs to this mesh: who only holds the address of a seed learns nothing of it.
    func isMember(_ answer: NodeAnswer) -> Bool {
        if host.hasSession(with: answer.key) { return true }
        guard let proof = answer.proof else { return false }
        return MemberProof.isValid(proof, of: answer.key, to: identity.key, with: host.knownMeshKeys)
    }

    // MARK: Changes

    /// To the disk, and to the relays that are known.
    func takeChanges() {
        let changes = gossip.takeChanges()
        guard !changes.isEmpty else { return }
        let moment = UnixTime(loop.wall())
        writer.write("records", for: .mesh, { table throws(StorageError) in try table.apply(changes, at: moment) })
        var isListed = false
        for change in changes {
            switch change {
            case .stored(let record):
                isListed = isListed || relays[record.key] != nil || record.record.roles.contains(.relay)
                noticeRelays([record])
            case .removed(let key): isListed = relays.removeValue(forKey: key) != nil || isListed
            }
        }
        if isListed { host.changed() }
    }

    /// The former verdict holds until the next tick, when it is judged anew.
    func noticeRelays(_ records: [SignedRecord]) {
        for record in records where record.key != identity.key {
            guard record.record.roles.contains(.relay) else {
                relays[record.key] = nil
                continue
            }
            let former = relays[record.key]
            let kept = former?.statements.filter { record.record.witnesses.contains($0.key) } ?? [:]
            relays[record.key] = Relay(
                record: record, verdict: former?.verdict ?? .tooFewWitnesses(0, of: 1), statements: kept, until: .zero)
        }
    }
}
