internal import Logging
public import PeerMesh
internal import PeerProbing
internal import PeerReactor
internal import PeerWire

/// Whether this node can be reached, by asking others.
extension MeshService {
    /// Nodes that are asked how this end looks.
    private static let mirrors = 4
    /// Where ports of connections usually come from (RFC 6335, section 6).
    private static let dynamicPorts: ClosedRange<UInt16> = 49_152...65_535

    /// A node that can be asked at all, and where.
    private struct Contact {
        var key: NodeKey
        var endpoint: Endpoint
        var word = Word.others
    }

    /// Until there is somebody to ask, it is looked for once a second.
    static let lookForContacts = Instant.Span.seconds(1)

    func runReachability(_ now: Instant) {
        let contacts = contacts
        guard !contacts.isEmpty else {
            nextReach = now + Self.lookForContacts
            return run(reach.expire(at: now))
        }
        let byKey = Dictionary(contacts.map { ($0.key, $0) }) { first, _ in first }
        reach.knows(available: byKey.count, at: now)
        for action in reach.timePassed(at: now, partners: Array(byKey.keys), using: &random) {
            guard case .ask(let key, let request) = action, let contact = byKey[key] else {
                run([action])
                continue
            }
            let available = byKey.count
            // The witness dials for four seconds.
            ask(self.request(request.bytes, to: contact.endpoint, key), on: contact.word) { [weak self] result in
                self?.answered(result, by: key, available: available)
            }
        }
    }

    func run(_ actions: [Reachability.Action]) {
        for case .changed(let standing) in actions {
            if case .reachable(let addresses) = standing {
                lastReachable = (addresses, reach.statements, EventLoop.clock())
            }
            tell(standing)
            publishSoon()
            onChange?()
        }
    }

    /// Once, until it is something else; while it is asked anew, nothing.
    private func tell(_ standing: Reachability.Standing) {
        guard standing != .unknown, standing != lastTold else { return }
        lastTold = standing
        guard case .reachable(let addresses) = standing else {
            guard setup.isRelay else { return log.info("other nodes cannot reach this node") }
            return log.warning(
                "other nodes cannot reach this node, so none uses it as a reverse proxy: open TCP port \(setup.port) in its firewall, or have it forwarded")
        }
        let places = addresses.map(\.description).joined(separator: ", ")
        log.info("other nodes reach this node at \(places)")
    }

    /// What stands in the record. While it is asked anew, what was found out last still holds for a minute: each record
    /// goes to everybody, and there are four a minute at most.
    var witnessed: (addresses: [NodeAddress], statements: [DialBackStatement]) {
        switch reach.standing {
        case .reachable(let addresses): return (addresses, reach.statements)
        case .notReachable: return ([], [])
        case .unknown:
            guard let last = lastReachable, EventLoop.clock() - last.at < .seconds(60) else { return ([], []) }
            return (last.addresses, last.statements)
        }
    }

    private func answered(_ result: Result<NodeAnswer, NodeFailure>, by key: NodeKey, available: Int) {
        guard case .success(let answer) = result, answer.status == 200, isMember(answer),
            let document = DialBackAnswer(answer.body)
        else { return reach.failed(key) }
        run(reach.answered(document, by: key, available: available, at: EventLoop.clock()))
        arm()
    }

    /// More nodes that can be asked may have come.
    func noticeContacts(_ now: Instant) {
        guard case .reachable = reach.standing, reach.nextDeadline > now + Self.lookForContacts else { return }
        reach.knows(available: max(witnesses(now).count, 1), at: now)
    }

    /// Nodes that could bear witness: others have reached them. Counted anew every few seconds.
    func witnesses(_ now: Instant) -> Set<NodeKey> {
        if let witnessedNodes, now - witnessedNodes.at < .seconds(3) { return witnessedNodes.keys }
        var keys: Set<NodeKey> = []
        for record in gossip.table.records
        where record.key != identity.key && !record.record.addresses.isEmpty && isWitnessed(record) {
            keys.insert(record.key)
        }
        witnessedNodes = (keys, now)
        return keys
    }

    /// What several nodes see of one port of this machine, all at once.
    public func observe(_ done: @escaping ([NATKind.Observation]) -> Void) {
        var hosts: Set<String> = []
        // Different hosts, for a NAT may treat each differently.
        let contacts = contacts.shuffled(using: &random)
        let chosen = contacts.filter { hosts.insert($0.endpoint.host).inserted }.prefix(Self.mirrors)
        guard !chosen.isEmpty else { return done([]) }
        let port = UInt16.random(in: Self.dynamicPorts, using: &random)
        let gathering = Gathering(chosen.count, done)
        for contact in chosen {
            var question = request(MeshMirror.request, to: contact.endpoint, contact.key, isAlone: true)
            question.localPort = port
            ask(question, on: contact.word) { result in
                guard case .success(let answer) = result, let seen = MeshMirror.read(answer: answer.body) else {
                    return gathering.add(nil)
                }
                gathering.add(
                    NATKind.Observation(witness: contact.key, remote: answer.remote, local: answer.local, seen: seen))
            }
        }
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
            contacts.append(Contact(key: key, endpoint: endpoint, word: word(of: seed)))
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

/// Observations as they come in, some of them not.
private final class Gathering {
    private var left: Int
    private var found: [NATKind.Observation] = []
    private let done: ([NATKind.Observation]) -> Void

    init(_ count: Int, _ done: @escaping ([NATKind.Observation]) -> Void) {
        left = count
        self.done = done
    }

    func add(_ observation: NATKind.Observation?) {
        left -= 1
        if let observation { found.append(observation) }
        if left == 0 { done(found) }
    }
}
