internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// Answers the questions of other nodes: who may ask, how often, and which part knows. Belongs to the control loop, and
/// to one `MeshService`.
final class Answering {
    /// Bytes that all probes of bandwidth together may move in a second, besides what visitors do.
    private static let bulkBytesPerSecond = 4 << 20
    /// From this load on nobody measures the bandwidth of this node.
    private static let busyLoad = 0.5
    /// Signatures of vouches that are judged in a second.
    private static let vouchesPerSecond = 8

    private let context: MeshContext
    private let directory: Directory
    private let reach: Reach
    private let dialBacks: DialBacks
    /// Set as long as the mesh runs.
    weak var coordinator: (any MeshCoordinator)?
    private var members = Members()
    /// How often each source may ask.
    private var callers = FairRate(
        perSource: GossipLimits.questionsPerSource, perSecond: GossipLimits.questionsPerSecond)
    private var bulk = RateBucket(perSecond: Answering.bulkBytesPerSecond, at: .zero)
    private var vouches = RateBucket(perSecond: Answering.vouchesPerSecond, at: .zero)

    init(_ context: MeshContext, _ directory: Directory, _ reach: Reach, _ dialBacks: DialBacks) {
        self.context = context
        self.directory = directory
        self.reach = reach
        self.dialBacks = dialBacks
    }

    /// Whether a node has shown lately that it belongs to the mesh, by keys that count now.
    func isMember(_ key: NodeKey) -> Bool {
        members.change(to: context.host.knownMeshKeys)
        return members.has(key, at: context.now)
    }

    /// - Parameter reply: called once, on the control loop; a dial-back takes seconds.
    func asked(_ question: MeshQuestion, _ reply: @escaping (MeshResponse) -> Void) {
        // Who brings a nonce that this node waits for was asked to, and needs no other right.
        if let delivery = NonceDelivery(question.body), reach.arrived(nonce: delivery.nonce, from: question.key) {
            return reply(.answer([], proof: nil))
        }
        guard admits(question) else { return reply(.stranger) }
        guard callers.take(from: question.source.host, at: context.now) else { return reply(.busy) }
        switch question.body.first {
        case GossipDigest.kind: reply(digestAnswer(question))
        case GossipDifference.kind: recordsAnswer(question, reply)
        case DialBackRequest.kind: dialBack(question, reply)
        case MeshProbe.requestKind: reply(probeAnswer(question))
        case Vouch.requestKind: reply(vouchAnswer(question))
        case MeshMirror.requestKind: reply(answer(MeshMirror.answer(question.source), to: question.key))
        default: reply(.malformed)
        }
        coordinator?.arm()
    }

    /// Asked anew for each question: the connection may be older than the end of a membership.
    private func admits(_ question: MeshQuestion) -> Bool {
        if context.host.hasSession(with: question.key) || isMember(question.key) { return true }
        guard let proof = question.proof,
            MemberProof.isValid(proof, of: question.key, to: context.own, with: members.keys)
        else { return false }
        members.remember(question.key, at: context.now)
        return true
    }

    private func answer(_ bytes: [UInt8], to key: NodeKey) -> MeshResponse {
        .answer(bytes, proof: MemberProof.text(of: context.own, to: key, with: context.host.knownMeshKeys))
    }

    // MARK: Gossip

    private func digestAnswer(_ question: MeshQuestion) -> MeshResponse {
        guard let digest = try? GossipDigest(question.body) else { return .malformed }
        return response(directory.answer(digest, to: Gossip.Caller(question)), to: question.key)
    }

    private func recordsAnswer(_ question: MeshQuestion, _ reply: @escaping (MeshResponse) -> Void) {
        directory.answer(records: question.body, to: Gossip.Caller(question)) { [weak self] answer in
            guard let self else { return reply(.busy) }
            guard let answer else { return reply(.malformed) }
            reply(response(answer, to: question.key))
        }
    }

    private func response(_ answer: Gossip.Answer, to key: NodeKey) -> MeshResponse {
        guard case .difference(let difference) = answer else { return .busy }
        return self.answer(difference.bytes, to: key)
    }

    // MARK: The rest

    private func probeAnswer(_ question: MeshQuestion) -> MeshResponse {
        guard let (wanted, padding) = MeshProbe.read(request: question.body) else { return .malformed }
        let load = context.host.load
        if wanted + padding > 0 {
            guard load < Self.busyLoad, bulk.take(wanted + padding, at: context.now) else { return .busy }
        }
        return answer(MeshProbe.answer(load: load, wanted: wanted), to: question.key)
    }

    private func dialBack(_ question: MeshQuestion, _ reply: @escaping (MeshResponse) -> Void) {
        guard let request = DialBackRequest(question.body) else { return reply(.malformed) }
        let isMet = directory.gossip.hosts.isThere(question.key, at: question.source.host, context.now)
        let asker = DialBackResponder.Asker(
            key: question.key, observed: question.source,
            isDirect: !context.dialGuard.isOwn(question.source.host), isMet: isMet)
        dialBacks.asked(request, by: asker) { [weak self] answer in
            guard let self, let answer else { return reply(.busy) }
            reply(self.answer(answer.bytes, to: question.key))
        }
    }

    private func vouchAnswer(_ question: MeshQuestion) -> MeshResponse {
        guard let vouch = Vouch(question.body) else { return .malformed }
        guard vouches.take(1, at: context.now) else { return .busy }
        let statement = vouch.statement
        // Through a tunnel everybody is this machine itself, and whoever has no session has not been here before.
        guard context.setup.isRelay, context.host.isPeerHere(question.key),
            !context.dialGuard.isOwn(question.source.host),
            context.dialGuard.isDialledByOthers(statement.address.host)
        else { return answer(Vouch.answer(counts: false), to: question.key) }
        let counts = reach.vouched(statement, by: question.key, from: question.source.host)
        return answer(Vouch.answer(counts: counts), to: question.key)
    }
}

extension Gossip.Caller {
    fileprivate init(_ question: MeshQuestion) { self.init(key: question.key, host: question.source.host) }
}

/// Who showed lately that it belongs to the mesh, and by which mesh keys.
struct Members {
    /// For how long a proof of membership counts without being shown again.
    private static let span = Instant.Span.seconds(600)
    /// Members that are remembered; more show their proof each time.
    private static let limit = 4_096

    private(set) var keys: [MeshKey] = []
    private var until: [NodeKey: Instant] = [:]

    /// One of the former keys may have leaked: whoever came by it shows another one.
    mutating func change(to keys: [MeshKey]) {
        if keys != self.keys { (until, self.keys) = ([:], keys) }
    }

    func has(_ key: NodeKey, at now: Instant) -> Bool { until[key].map { now < $0 } ?? false }

    mutating func remember(_ key: NodeKey, at now: Instant) {
        if until.count >= Self.limit { until = until.filter { $0.value > now } }
        if until.count < Self.limit { until[key] = now + Self.span }
    }
}
