internal import PeerCore
internal import PeerProbing
internal import PeerReactor
public import PeerWire

/// A dial for somebody else that is under way.
struct DialBack {
    var asker: NodeKey
    var reply: (MeshResponse) -> Void
}

extension MeshService {
    /// For how long a proof of membership counts without being shown again.
    private static let memberSpan = Instant.Span.seconds(600)
    /// Members that are remembered; more show their proof each time.
    private static let maximumMembers = 4_096
    /// Bytes that all probes of bandwidth together may move in a second, besides what visitors do.
    static let bulkBytesPerSecond = 4 << 20
    /// From this load on nobody measures the bandwidth of this node.
    static let busyLoad = 0.5

    /// Whether a node has shown lately that it belongs to the mesh, by keys that count now.
    public func isMember(_ key: NodeKey) -> Bool {
        let keys = host.knownMeshKeys
        // One of them may have leaked: whoever came by it shows another one.
        if keys != memberKeys { (members, memberKeys) = ([:], keys) }
        return members[key].map { loop.clock() < $0 } ?? false
    }

    /// - Parameter reply: called once, on the control loop; a dial-back takes seconds.
    public func asked(_ question: MeshQuestion, _ reply: @escaping (MeshResponse) -> Void) {
        // Who brings a nonce that this node waits for was asked to, and needs no other right.
        if let delivery = NonceDelivery(question.body), reach.arrived(nonce: delivery.nonce, from: question.key) {
            return reply(.answer([], proof: nil))
        }
        guard admits(question) else { return reply(.stranger) }
        guard mayAsk(question.source.host) else { return reply(.busy) }
        switch question.body.first {
        case GossipDigest.kind: reply(digestAnswer(question))
        case GossipDifference.kind: recordsAnswer(question, reply)
        case DialBackRequest.kind: dialBack(question, reply)
        case MeshProbe.requestKind: reply(probeAnswer(question))
        case Vouch.requestKind: reply(vouched(question))
        case MeshMirror.requestKind: reply(answer(MeshMirror.answer(question.source), to: question.key))
        default: reply(.malformed)
        }
        arm()
    }

    /// Asked anew for each question: the connection may be older than the end of a membership.
    private func admits(_ question: MeshQuestion) -> Bool {
        if host.hasSession(with: question.key) || isMember(question.key) { return true }
        guard let proof = question.proof,
            MemberProof.isValid(proof, of: question.key, to: identity.key, with: memberKeys)
        else { return false }
        let now = loop.clock()
        if members.count >= Self.maximumMembers { members = members.filter { $0.value > now } }
        if members.count < Self.maximumMembers { members[question.key] = now + Self.memberSpan }
        return true
    }

    func answer(_ bytes: [UInt8], to key: NodeKey) -> MeshResponse {
        .answer(bytes, proof: MemberProof.text(of: identity.key, to: key, with: host.knownMeshKeys))
    }

    private func digestAnswer(_ question: MeshQuestion) -> MeshResponse {
        guard let digest = try? GossipDigest(question.body) else { return .malformed }
        let caller = Gossip.Caller(key: question.key, host: question.source.host)
        return response(gossip.asked(digest, by: caller, at: loop.clock(), wall: loop.wall()), to: question.key)
    }

    private func recordsAnswer(_ question: MeshQuestion, _ reply: @escaping (MeshResponse) -> Void) {
        let caller = Gossip.Caller(key: question.key, host: question.source.host)
        guard gossip.admits(caller, at: loop.clock()) else { return reply(.busy) }
        // As many records as there was room for; to read four hundred takes a millisecond.
        guard let difference = try? GossipDifference(question.body, recordBytes: gossip.limits.recordBytes) else {
            return reply(.malformed)
        }
        let posted = gossip.posted(difference, by: caller, at: loop.clock(), wall: loop.wall())
        judge(posted.unjudged) { [weak self] judged in
            guard let self, let judged else { return reply(.busy) }
            let answer = gossip.asked(posted, judged: judged, at: loop.clock(), wall: loop.wall())
            takeChanges()
            lookForForeignOwn()
            reply(response(answer, to: question.key))
            arm()
        }
    }

    private func response(_ answer: Gossip.Answer, to key: NodeKey) -> MeshResponse {
        guard case .difference(let difference) = answer else { return .busy }
        return self.answer(difference.bytes, to: key)
    }

    /// Judges signatures on another thread, where it is more than one. `nil`: there is too much to judge already.
    func judge(_ records: [SignedRecord], _ done: @escaping ([SignedRecord: Bool]?) -> Void) {
        guard records.count > 1 else { return done([:]) }
        let bound = LoopBound(done, on: loop)
        let isTaken = recordJudge.judge(records) { [loop] judged in loop.execute { bound.value(judged) } }
        if !isTaken { done(nil) }
    }

    private func probeAnswer(_ question: MeshQuestion) -> MeshResponse {
        guard let (wanted, padding) = MeshProbe.read(request: question.body) else { return .malformed }
        let load = host.load
        if wanted + padding > 0 {
            guard load < Self.busyLoad, bulk.take(wanted + padding, at: loop.clock()) else { return .busy }
        }
        return answer(MeshProbe.answer(load: load, wanted: wanted), to: question.key)
    }

    // MARK: Dialling back

    private func dialBack(_ question: MeshQuestion, _ reply: @escaping (MeshResponse) -> Void) {
        guard let request = DialBackRequest(question.body) else { return reply(.malformed) }
        let asker = DialBackResponder.Asker(
            key: question.key, observed: question.source, isDirect: !judge.isOwn(question.source.host),
            isMet: gossip.hosts.isThere(question.key, at: question.source.host, loop.clock()))
        switch responder.asked(request, by: asker, at: loop.clock()) {
        case .answer(let outcome, let observed):
            reply(response(.answer(outcome, observed: observed), to: question.key))
        case .dial(let number, let address, let key, let nonce):
            dialBacks[number] = DialBack(asker: key, reply: reply)
            let limits = NodeRequest.Limits(connect: .seconds(3), total: .seconds(4), answer: 1_024)
            let endpoint = Endpoint(host: address.host.description, port: address.port)
            let delivery = NonceDelivery(nonce: nonce).bytes
            ask(self.request(delivery, to: endpoint, key, isAlone: true, limits: limits)) { [weak self] result in
                guard let self else { return }
                let isReached = (try? result.get())?.status == 200
                guard let result = responder.dialled(number, reached: isReached, at: loop.wall()) else { return }
                answerDialBack(number, result)
            }
        }
    }

    func answerDialBack(_ number: UInt64, _ result: DialBackResponder.Result) {
        guard let dialBack = dialBacks.removeValue(forKey: number) else { return }
        dialBack.reply(response(result, to: dialBack.asker))
    }

    private func response(_ result: DialBackResponder.Result, to key: NodeKey) -> MeshResponse {
        switch result {
        case .attest(let content, let observed):
            let statement = DialBackStatement(content, signature: identity.signature(for: content.signedBytes))
            return answer(DialBackAnswer(observed: observed, statement: statement).bytes, to: key)
        case .answer(let outcome, let observed):
            guard let document = DialBackAnswer(outcome, observed: observed) else { return .malformed }
            return answer(document.bytes, to: key)
        }
    }
}
