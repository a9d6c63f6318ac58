internal import Logging
public import PeerCore
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
        /// The same, where it is known by its row and has not answered this node yet.
        var stranger: NodeAddress?
        var word = Word.others
    }

    /// Until there is somebody to ask, it is looked for once a second.
    static let lookForContacts = Instant.Span.seconds(1)

    func runReachability(_ now: Instant) {
        let known = contacts
        // Whoever makes up rows must not decide how many are asked that answer nothing: one of them at a time.
        let contacts = known + [stranger(now, besides: Set(known.map(\.key)))].compactMap { $0 }
        guard !contacts.isEmpty else {
            nextReach = now + Self.lookForContacts
            return run(reach.expire(at: now))
        }
        let byKey = Dictionary(contacts.map { ($0.key, $0) }) { first, _ in first }
        let there = known.filter { !reach.isSilent($0.key) }
        let available = max(1, setup.isWidened ? there.count : Set(there.map(\.endpoint.host)).count)
        reach.knows(available: available, at: now)
        for action in reach.timePassed(at: now, partners: Array(byKey.keys), using: &random) {
            guard case .ask(let key, let request) = action, let contact = byKey[key] else {
                run([action])
                continue
            }
            if let address = contact.stranger { gossip.hosts.begun(key, at: address, now) }
            // The witness dials for four seconds.
            var limits = NodeRequest.Limits()
            if contact.stranger != nil { limits.connect = Self.firstConnect }
            ask(self.request(request.bytes, to: contact.endpoint, key, limits: limits), on: contact.word) {
                [weak self] result in
                guard let self else { return }
                if let address = contact.stranger, case .failure = result {
                    gossip.hosts.failed(key, at: address, loop.clock())
                }
                answered(result, by: key, available: available)
            }
        }
    }

    func run(_ actions: [Reachability.Action]) {
        for case .changed(let standing) in actions {
            if case .reachable(let addresses) = standing {
                lastReachable = (addresses, reach.statements, loop.clock())
            }
            tell(standing)
            publishSoon()
            host.changed()
        }
    }

    /// Once, until it is something else; while it is asked anew, nothing.
    private func tell(_ standing: Reachability.Standing) {
        guard standing != .unknown, standing != lastTold else { return }
        lastTold = standing
        guard case .reachable(let addresses) = standing else {
            guard setup.isRelay else { return log.info("other nodes cannot reach this node") }
            return log.warning(
                "other nodes cannot reach this node, so none uses it as a reverse proxy: open TCP port \(setup.port) "
                    + "in its firewall, or have it forwarded"
            )
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
            guard let last = lastReachable, loop.clock() - last.at < .seconds(60) else { return ([], []) }
            return (last.addresses, last.statements)
        }
    }

    private func answered(_ result: Result<NodeAnswer, NodeFailure>, by key: NodeKey, available: Int) {
        guard case .success(let answer) = result, answer.status == 200, isMember(answer),
            let document = DialBackAnswer(answer.body)
        else { return reach.failed(key) }
        run(
            reach.answered(
                document, by: key, from: setup.isWidened ? nil : answer.remote.host, available: available,
                at: loop.clock()))
        arm()
    }

    /// More nodes that can be asked may have come.
    func noticeContacts(_ now: Instant) {
        guard case .reachable = reach.standing, reach.nextDeadline > now + Self.lookForContacts else { return }
        reach.knows(available: max(sources(of: witnesses(now).values), 1), at: now)
    }

    /// Nodes that could bear witness, and where: they answer this node, and others have reached them. Counted anew
    /// every few seconds.
    func witnesses(_ now: Instant) -> [NodeKey: HostAddress] {
        if let witnessedNodes, now - witnessedNodes.at < .seconds(3) { return witnessedNodes.places }
        var places: [NodeKey: HostAddress] = [:]
        for tag in gossip.table.contacts {
            guard let record = gossip.table.record(tag: tag), record.key != identity.key,
                let address = provenAddress(of: record, now), gossip.hosts.isThere(record.key, at: address.host, now),
                isWitnessed(record)
            else { continue }
            places[record.key] = address.host
        }
        witnessedNodes = (places, now)
        return places
    }

    /// How many different ones there are, where keys alone say nothing; each node where the user has many at one
    /// address.
    func sources(of hosts: some Collection<HostAddress>) -> Int {
        setup.isWidened ? hosts.count : Set(hosts.map(SourceGate.source)).count
    }

    /// Where a node of the table has answered this one.
    private func provenAddress(of record: SignedRecord, _ now: Instant) -> NodeAddress? {
        record.record.addresses.first { gossip.hosts.isProven(record.key, at: $0.host, now) && judge.allows($0.host) }
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

    /// Those that answer questions: seeds whose keys are known, and nodes that others have reached and this one has
    /// dialled. What rows say alone makes nobody a contact; otherwise whoever makes them up decides how many witnesses
    /// are asked for.
    private var contacts: [Contact] {
        var contacts: [Contact] = []
        let now = loop.clock()
        for seed in gossip.book.seeds {
            guard let key = host.pinnedKey(of: seed) ?? seedKeys[seed], key != identity.key,
                let endpoint = Endpoint(seed)
            else {
                continue
            }
            contacts.append(Contact(key: key, endpoint: endpoint, word: word(of: seed)))
        }
        for tag in gossip.table.contacts {
            guard let record = gossip.table.record(tag: tag), record.key != identity.key,
                let address = provenAddress(of: record, now), isWitnessed(record)
            else { continue }
            contacts.append(
                Contact(key: record.key, endpoint: Endpoint(host: address.host.description, port: address.port)))
        }
        return contacts
    }

    /// One that others say they have reached, and that has not answered this node yet.
    private func stranger(_ now: Instant, besides known: Set<NodeKey>) -> Contact? {
        guard reach.nextDeadline <= now, !gossip.table.contacts.isEmpty else { return nil }
        for _ in 0..<24 {
            let tag = gossip.table.contacts[Int.random(in: gossip.table.contacts.indices, using: &random)]
            guard let record = gossip.table.record(tag: tag), record.key != identity.key, !known.contains(record.key),
                isWitnessed(record), let address = record.record.addresses.first(where: { judge.allows($0.host) }),
                gossip.hosts.mayDial(record.key, at: address, rows: gossip.table.count, at: now, using: &random)
            else { continue }
            return Contact(
                key: record.key, endpoint: Endpoint(host: address.host.description, port: address.port),
                stranger: address)
        }
        return nil
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
