internal import Logging
internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerWire

/// Whether other nodes reach this one: runs `Reachability`, and asks those that can tell. Belongs to the control loop,
/// and to one `MeshService`.
final class Reach {
    /// Until there is somebody to ask, it is looked for once a second.
    static let lookForContacts = Instant.Span.seconds(1)
    /// While it is asked anew, what was found out last still holds so long: each record goes to everybody, and there
    /// are four a minute at most.
    private static let lastWordSpan = Instant.Span.seconds(60)

    private let context: MeshContext
    private let client: MeshClient
    private let directory: Directory
    private let contacts: Contacts
    /// Set as long as the mesh runs.
    weak var coordinator: (any MeshCoordinator)?

    private var machine: Reachability
    private var random: SeededGenerator
    /// Somebody to ask is looked for then.
    private var nextLook = Instant.zero
    private var lastTold = Reachability.Standing.unknown
    private var lastReachable: (addresses: [NodeAddress], statements: [DialBackStatement], at: Instant)?

    init(_ context: MeshContext, _ directory: Directory, _ contacts: Contacts) {
        self.context = context
        client = directory.client
        self.directory = directory
        self.contacts = contacts
        machine = Self.machine(context)
        random = SeededGenerator(seed: context.setup.seed &+ 1)
    }

    private static func machine(_ context: MeshContext) -> Reachability {
        let signatures = context.signatures
        return Reachability(
            own: context.own, port: context.setup.port, isGenuine: { signatures.isGenuine($0, of: $1) })
    }

    func keyRotated() { machine = Self.machine(context) }

    var standing: Reachability.Standing { machine.standing }
    /// When `turn` is due.
    var nextDeadline: Instant { max(machine.nextDeadline, nextLook) }

    func networksChanged(at now: Instant) { run(machine.networkChanged(at: now)) }

    /// A nonce that this node waits for, from whoever was asked to bring it.
    func arrived(nonce: [UInt8], from witness: NodeKey) -> Bool { machine.arrived(nonce: nonce, from: witness) }

    /// A node with a session says where it reached this one.
    ///
    /// - Returns: whether that counts.
    func vouched(_ statement: DialBackStatement, by key: NodeKey, from source: HostAddress) -> Bool {
        let (counts, actions) = machine.vouched(statement, by: key, from: source, at: context.now)
        run(actions)
        return counts
    }

    // MARK: Asking

    func turn(at now: Instant) {
        let known = contacts.known(at: now)
        // Whoever makes up rows must not decide how many are asked that answer nothing: one of them at a time.
        let mayAskStranger = machine.nextDeadline <= now
        let stranger =
            mayAskStranger ? contacts.stranger(at: now, besides: Set(known.map(\.key)), using: &random) : nil
        let all = known + [stranger].compactMap { $0 }
        guard !all.isEmpty else {
            nextLook = now + Self.lookForContacts
            return run(machine.expire(at: now))
        }
        let byKey = Dictionary(all.map { ($0.key, $0) }) { first, _ in first }
        let available = max(1, contacts.sources(of: known.filter { !machine.isSilent($0.key) }))
        machine.knows(available: available, at: now)
        let partners = byKey.keys.sorted { $0.tag < $1.tag }
        for action in machine.timePassed(at: now, partners: partners, using: &random) {
            guard case .ask(let key, let request) = action, let contact = byKey[key] else {
                run([action])
                continue
            }
            ask(contact, request, available: available)
        }
    }

    private func ask(_ contact: Contact, _ request: DialBackRequest, available: Int) {
        let key = contact.key
        if let address = contact.stranger { directory.gossip.hosts.begun(key, at: address, context.now) }
        // The witness dials for four seconds.
        var limits = NodeRequest.Limits()
        if contact.stranger != nil { limits.connect = MeshClient.firstConnect }
        let question = client.request(request.bytes, to: contact.endpoint, key, limits: limits)
        client.ask(question, on: contact.word) { [weak self] result in
            guard let self else { return }
            if let address = contact.stranger, case .failure = result {
                directory.gossip.hosts.failed(key, at: address, context.now)
            }
            answered(result, by: key, available: available)
        }
    }

    private func answered(_ result: Result<NodeAnswer, NodeFailure>, by key: NodeKey, available: Int) {
        guard case .success(let answer) = result, answer.status == 200, client.isMember(answer),
            let document = DialBackAnswer(answer.body)
        else { return machine.failed(key) }
        let source = context.setup.isWidened ? nil : answer.remote.host
        run(machine.answered(document, by: key, from: source, available: available, at: context.now))
        coordinator?.arm()
    }

    /// More nodes that can be asked may have come.
    func noticeContacts(at now: Instant) {
        guard case .reachable = standing, machine.nextDeadline > now + Self.lookForContacts else { return }
        machine.knows(available: max(contacts.sources(of: contacts.witnesses(at: now).values), 1), at: now)
    }

    // MARK: What was found out

    private func run(_ actions: [Reachability.Action]) {
        for case .changed(let standing) in actions {
            if case .reachable(let addresses) = standing {
                lastReachable = (addresses, machine.statements, context.now)
            }
            tell(standing)
            coordinator?.publishSoon()
            context.host.changed()
        }
    }

    /// Once, until it is something else; while it is asked anew, nothing.
    private func tell(_ standing: Reachability.Standing) {
        guard standing != .unknown, standing != lastTold else { return }
        lastTold = standing
        guard case .reachable(let addresses) = standing else {
            guard context.setup.isRelay else { return context.log.info("other nodes cannot reach this node") }
            return context.log.warning(
                "other nodes cannot reach this node, so none uses it as a reverse proxy: open TCP port "
                    + "\(context.setup.port) in its firewall, or have it forwarded"
            )
        }
        let places = addresses.map(\.description).joined(separator: ", ")
        context.log.info("other nodes reach this node at \(places)")
    }
}

extension Reach: OwnRecordSource {
    var isUndecided: Bool { standing == .unknown }

    var witnessed: (addresses: [NodeAddress], statements: [DialBackStatement]) {
        switch standing {
        case .reachable(let addresses): return (addresses, machine.statements)
        case .notReachable: return ([], [])
        case .unknown:
            guard let last = lastReachable, context.now - last.at < Self.lastWordSpan else { return ([], []) }
            return (last.addresses, last.statements)
        }
    }
}
