internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// What nodes say of themselves, this one included: runs `Gossip`, carries the exchanges that it begins, answers those
/// of others, and keeps the records in the IP table. Belongs to the control loop, and to one `MeshService`.
///
/// `Directory+Exchanges` asks others, `Directory+Seeds` has the addresses that the search begins with.
final class Directory {
    let context: MeshContext
    let client: MeshClient
    private let judge: any RecordJudging
    /// Set as long as the mesh runs.
    weak var coordinator: (any MeshCoordinator)?

    var gossip: Gossip
    var seeds = Seeds()
    /// Where each exchange goes; set once the other end has proven its key.
    var exchanges: [UInt64: (endpoint: Endpoint, key: NodeKey, word: Word)] = [:]
    var refreshes: [Refresh] = []
    private var metPlaces = MetPlaces()
    /// Seconds, as the log was told.
    private var toldCorrection: Int64 = 0
    private(set) var isStopped = false

    init(_ context: MeshContext, _ client: MeshClient, judge: any RecordJudging) {
        self.context = context
        self.client = client
        self.judge = judge
        gossip = Self.gossip(context)
        gossip.restore(context.setup.records, areJudged: true, at: context.now, wall: context.wall)
        for (key, address) in context.setup.met { gossip.hosts.answered(key, at: address, context.now) }
        client.ledger = self
    }

    private static func gossip(_ context: MeshContext) -> Gossip {
        let (dialGuard, signatures) = (context.dialGuard, context.signatures)
        return Gossip(
            own: context.own, limits: context.setup.limits, hosts: DialledHosts(byPort: context.setup.isWidened),
            seed: context.setup.seed, mayDial: { dialGuard.allows($0) }, isGenuine: { signatures.isGenuine($0) })
    }

    /// Asks nothing more.
    func stop() {
        isStopped = true
        judge.stop()
    }

    /// The node has another key: for the mesh it is another node, which takes what was known along.
    func keyRotated() {
        let (seeds, hosts) = (gossip.book.seeds, gossip.hosts)
        let records = gossip.table.records.filter { $0.key != gossip.own }
        exchanges = [:]
        gossip = Self.gossip(context)
        gossip.hosts = hosts
        for seed in seeds { _ = gossip.book.add(seed: seed) }
        gossip.restore(records, areJudged: true, at: context.now, wall: context.wall)
    }

    var table: RecordTable { gossip.table }
    /// When `turn` is due.
    var nextDeadline: Instant { gossip.nextDeadline }
    /// Seconds since 1970, as the mesh has it.
    var time: Int64 { gossip.clock.time(at: context.wall) }
    /// Nobody else is known here, and there is nobody to ask.
    var isAlone: Bool { gossip.book.seeds.isEmpty && !gossip.table.records.contains { $0.key != context.own } }

    /// Whatever is due.
    func turn(at now: Instant) {
        lookAtClock()
        run(gossip.timePassed(at: now, wall: context.wall))
    }

    /// Whether the mesh's clocks are needed at all, and one line when they begin to count, or count no more.
    private func lookAtClock() {
        gossip.isClockSynchronized(context.time.isSynchronized)
        let correction = gossip.clock.correction
        guard (correction == 0) != (toldCorrection == 0) else { return }
        toldCorrection = correction
        guard correction != 0 else {
            return context.log.info("this machine's clock agrees with those of other nodes again")
        }
        context.log.warning(
            "this machine's clock is \(correction.magnitude) s \(correction > 0 ? "behind" : "ahead of") "
                + "those of other nodes, whose time its records go by; set it (timedatectl set-ntp true)"
        )
    }

    // MARK: Records

    /// The own record, written anew.
    func publish(_ record: SignedRecord) {
        gossip.publish(record, at: context.now, wall: context.wall)
        coordinator?.arm()
    }

    /// To the disk, and to whoever goes by the records.
    func takeChanges() {
        let changes = gossip.takeChanges()
        guard !changes.isEmpty else { return }
        context.store.apply(changes, at: context.moment)
        coordinator?.changed(changes)
    }

    /// Judges signatures on another thread, where it is more than one. `nil`: there is too much to judge already.
    func judge(_ records: [SignedRecord], _ done: @escaping ([SignedRecord: Bool]?) -> Void) {
        guard records.count > 1 else { return done([:]) }
        judge.judge(records, done)
    }

    // MARK: Answering

    func answer(_ digest: GossipDigest, to caller: Gossip.Caller) -> Gossip.Answer {
        gossip.asked(digest, by: caller, at: context.now, wall: context.wall)
    }

    /// - Parameter done: called once, when the signatures are judged; `nil`: the body is none.
    func answer(records body: [UInt8], to caller: Gossip.Caller, _ done: @escaping (Gossip.Answer?) -> Void) {
        guard gossip.admits(caller, at: context.now) else { return done(.busy) }
        // As many records as there was room for; to read four hundred takes a millisecond.
        guard let difference = try? GossipDifference(body, recordBytes: gossip.limits.recordBytes) else {
            return done(nil)
        }
        let posted = gossip.posted(difference, by: caller, at: context.now, wall: context.wall)
        judge(posted.unjudged) { [weak self] judged in
            guard let self, let judged else { return done(.busy) }
            let answer = gossip.asked(posted, judged: judged, at: context.now, wall: context.wall)
            takeChanges()
            coordinator?.heard()
            done(answer)
            coordinator?.arm()
        }
    }

    // MARK: Where nodes are

    /// Whether this node has lately met one there that offers to be a relay.
    func hasMetRelay(at host: HostAddress) -> Bool {
        gossip.hosts.keys(at: host, context.now).contains {
            gossip.table[$0]?.record.roles.contains(.relay) == true
        }
    }

    /// A node was dialled there, proved its key, and answered as a member.
    func met(_ key: NodeKey, at endpoint: Endpoint) {
        guard metPlaces.isWorthWriting(key, endpoint, at: context.now) else { return }
        let moment = context.moment
        context.store.save(MetAddress(node: key, address: endpoint.description, firstSeen: moment, lastSeen: moment))
    }

    /// Whether a node is known by its row alone, and has not answered at that address.
    func isStranger(_ key: NodeKey, at endpoint: Endpoint) -> Bool {
        HostAddress(endpoint.host).map { !gossip.hosts.isProven(key, at: $0, context.now) } ?? false
    }
}

extension Directory: AnswerLedger {
    func answered(_ key: NodeKey, at address: NodeAddress) { gossip.hosts.answered(key, at: address, context.now) }
    func missed(_ key: NodeKey, at host: HostAddress) { gossip.hosts.missed(key, at: host) }
}

/// When it was last written down that a node was met at an address: seldom while that stays the same.
struct MetPlaces {
    private static let interval = Instant.Span.seconds(300)
    /// Places that are remembered; beyond it some are written more often.
    private static let limit = 1_024

    private var writtenAt: [String: Instant] = [:]

    mutating func isWorthWriting(_ key: NodeKey, _ endpoint: Endpoint, at now: Instant) -> Bool {
        let place = "\(key.short) \(endpoint)"
        if let last = writtenAt[place], now - last < Self.interval { return false }
        if writtenAt.count >= Self.limit { writtenAt = writtenAt.filter { now - $0.value < Self.interval } }
        if writtenAt.count < Self.limit { writtenAt[place] = now }
        return true
    }
}
