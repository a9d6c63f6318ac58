public import Logging
public import PeerCore
public import PeerProbing
public import PeerReactor
public import PeerStorage
public import PeerWire

/// The shell around gossip, dial-back, reachability, probes and ranking: asks other nodes through `NodeClient`, answers
/// them, and keeps the IP table. Belongs to the control loop.
///
/// 1. A timer runs whatever is due (`turn`); a tick each second writes the own record anew where it changed.
/// 2. `MeshService+Gossip` carries exchanges, `MeshService+Answering` answers, `MeshService+Reachability` asks for
///    dial-backs and makes them, `MeshService+Probing` measures and ranks.
public final class MeshService {
    /// Fixed when it starts.
    public struct Setup: Sendable {
        public var name: String
        public var software: String
        /// The server port, as others would dial it.
        public var port: UInt16
        public var isRelay: Bool
        /// Whether networks are dialled on others' word beyond the usual (`[mesh] dial`).
        public var isWidened: Bool
        /// From the IP table, each judged already.
        public var records: [SignedRecord]
        /// Nodes that a former process met, and where.
        public var met: [(NodeKey, NodeAddress)]
        public var lastIssue: UInt64
        public var process: ProcessStart
        /// What the user says of this node.
        public var note: String

        public init(
            name: String, software: String, port: UInt16, isRelay: Bool, isWidened: Bool, records: [SignedRecord],
            met: [(NodeKey, NodeAddress)], lastIssue: UInt64, process: ProcessStart, note: String
        ) {
            self.name = name
            self.software = software
            self.port = port
            self.isRelay = isRelay
            self.isWidened = isWidened
            self.records = records
            self.met = met
            self.lastIssue = lastIssue
            self.process = process
            self.note = note
        }
    }

    /// A record that offers a relay, and what is thought of it.
    struct Relay {
        var record: SignedRecord
        var verdict: RelayProof.Verdict
        /// Statements of the record whose signatures were judged.
        var statements: [DialBackStatement: Bool] = [:]
        /// When it is to be judged anew.
        var until: Instant
        /// How often it was judged as it is.
        var judged = 0
    }

    static let path = "/v1/mesh"
    private static let tick = Instant.Span.seconds(1)
    private static let networksInterval = Instant.Span.seconds(10)
    private static let firstWord = Instant.Span.seconds(3)

    let loop: EventLoop
    let setup: Setup
    let client: NodeClient
    let judge: DialGuard
    let writer: TableWriter
    let log: Logger
    let keys: KeyRing
    unowned let host: any MeshHost
    var identity: NodeIdentity { keys.identity }
    var gossip: Gossip
    var author: RecordAuthor
    var reach: Reachability
    var responder: DialBackResponder
    var plan: ProbePlan
    var strangerProbes = StrangerProbes()
    let recordJudge = RecordJudge()
    var vouchPlan = VouchPlan()
    /// How often each source may ask.
    private var callers = FairRate(
        perSource: GossipLimits.questionsPerSource, perSecond: GossipLimits.questionsPerSecond)
    var vouches = RateBucket(perSecond: MeshService.vouchesPerSecond, at: .zero)
    var random = SystemRandomNumberGenerator()

    /// Where each exchange goes; set once the other end has proven its key.
    var exchanges: [UInt64: (endpoint: Endpoint, key: NodeKey, word: Word)] = [:]
    /// Keys that seeds proved, by what was written; kept as long as this process runs.
    var seedKeys: [String: NodeKey] = [:]
    /// What seeds last failed by, so that each trouble is told once.
    var troubles: [String: String] = [:]
    /// When it was last written down that a node was met at an address.
    var metAt: [String: Instant] = [:]
    /// Who showed that he belongs to the mesh, and until when that counts; by which mesh keys.
    var members: [NodeKey: Instant] = [:]
    var memberKeys: [MeshKey] = []
    var dialBacks: [UInt64: DialBack] = [:]
    var logs: [NodeKey: SampleLog] = [:]
    var relays: [NodeKey: Relay] = [:]
    /// Nodes that could bear witness and where they are, when that was counted last.
    var witnessedNodes: (places: [NodeKey: HostAddress], at: Instant)?
    var bulk: RateBucket
    var bandwidth: BandwidthPlan
    public internal(set) var ranking = Ranking([], current: nil, at: .zero)
    private var note: String
    /// Names for which there was no room when it was last looked at.
    private var untold: Set<String> = []
    /// Seeds out of the IP table; those besides are relays that were joined.
    private var tableSeeds: Set<String> = []
    /// The rows that these come from, with those that may not be dialled now.
    private var tableRows: [Seed] = []
    var joined: Set<String> = []
    /// Rounds that somebody waits for.
    var refreshes: [Refresh] = []
    private var lastForeign: SignedRecord?
    private var isWriting = false
    private var mustWrite = false
    private var timer: LoopTimer?
    private var nextTick = Instant.zero
    private let started: Instant
    /// Seconds, as the log was told.
    private var toldCorrection: Int64 = 0
    /// Somebody to ask is looked for then.
    var nextReach = Instant.zero
    var lastTold = Reachability.Standing.unknown
    var lastReachable: (addresses: [NodeAddress], statements: [DialBackStatement], at: Instant)?
    private var nextNetworks = Instant.zero
    private(set) var isStopped = false

    /// Peers are being let go.
    public var isDraining = false { didSet { if isDraining != oldValue { publishSoon() } } }
    public init(
        on loop: EventLoop, setup: Setup, keys: KeyRing, client: NodeClient, judge: DialGuard,
        writer: TableWriter, host: any MeshHost, log: Logger
    ) {
        self.loop = loop
        self.setup = setup
        self.keys = keys
        self.host = host
        self.client = client
        self.writer = writer
        self.log = log
        note = setup.note
        self.judge = judge
        bulk = RateBucket(perSecond: Self.bulkBytesPerSecond, at: .zero)
        started = loop.clock()
        bandwidth = BandwidthPlan(at: started)
        let machines = Self.machines(keys.key, setup, judge, lastIssue: setup.lastIssue)
        (gossip, author, reach, responder, plan) = machines
        let now = loop.clock()
        gossip.restore(setup.records, areJudged: true, at: now, wall: loop.wall())
        for (key, address) in setup.met { gossip.hosts.answered(key, at: address, now) }
        noticeRelays(setup.records)
    }

    private static func machines(
        _ own: NodeKey, _ setup: Setup, _ judge: DialGuard, lastIssue: UInt64
    ) -> (Gossip, RecordAuthor, Reachability, DialBackResponder, ProbePlan) {
        let mayDial: @Sendable (HostAddress) -> Bool = { judge.allows($0) }
        var limits = DialBackResponder.Limits()
        // Who widened what is dialled may well have many nodes behind one address; for each key it stays as it is.
        if setup.isWidened {
            limits.dialsPerSource = 32
            limits.atOnceOfNear = limits.atOnce
            limits.atOnceOfWide = limits.atOnce
        }
        return (
            Gossip(
                own: own, hosts: DialledHosts(byPort: setup.isWidened), seed: .random(in: 0 ... .max),
                mayDial: mayDial),
            RecordAuthor(
                key: own, process: setup.process.inRecords, lastIssue: lastIssue, at: .now),
            Reachability(own: own, port: setup.port),
            DialBackResponder(own: own, limits: limits, mayDial: mayDial),
            ProbePlan(seed: .random(in: 0 ... .max))
        )
    }

    public func start() { turn() }

    /// Answers what is open; asks nothing more.
    public func stop() {
        isStopped = true
        timer?.cancel()
        for dialBack in dialBacks.values { dialBack.reply(.busy) }
        dialBacks = [:]
        recordJudge.stop()
        client.stop()
    }

    /// The node has another key (`KeyRing.rotate`): for the mesh it is another node, which takes what was known along.
    public func keyRotated(seed: [UInt8]) {
        let seeds = gossip.book.seeds
        let records = gossip.table.records.filter { $0.key != gossip.own }
        let issue = author.lastIssue
        for dialBack in dialBacks.values { dialBack.reply(.busy) }
        dialBacks = [:]
        exchanges = [:]
        client.renew(seed: seed)
        let hosts = gossip.hosts
        (gossip, author, reach, responder, plan) = Self.machines(keys.key, setup, judge, lastIssue: issue)
        gossip.hosts = hosts
        strangerProbes = StrangerProbes()
        for seed in seeds { _ = gossip.book.add(seed: seed) }
        gossip.restore(records, areJudged: true, at: loop.clock(), wall: loop.wall())
        lastForeign = nil
        publishSoon()
    }

    /// Where the search for others begins: host:port, as a user wrote it.
    public func add(seed: Endpoint) {
        joined.insert(seed.description)
        begin(with: seed.description)
    }

    public func remove(seed: Endpoint) {
        joined.remove(seed.description)
        if !tableSeeds.contains(seed.description) { gossip.book.remove(seed: seed.description) }
    }

    /// Nobody else is known here, and there is nobody to ask.
    public var isAlone: Bool {
        gossip.book.seeds.isEmpty && !gossip.table.records.contains { $0.key != identity.key }
    }

    /// The seeds of the IP table, all there are. What others brought is their word, and dialled as such: an address of
    /// a public network, or of one that this machine is part of now.
    public func seedsChanged(_ seeds: [Seed]) {
        tableRows = seeds
        let wanted = Set(
            seeds.filter { seed in seed.source.isUsers || Endpoint(seed.address).map(isAllowed) ?? false }.map(
                \.address))
        for gone in tableSeeds.subtracting(wanted).subtracting(joined) { gossip.book.remove(seed: gone) }
        let new = wanted.subtracting(tableSeeds)
        tableSeeds = wanted
        let leftOut = seeds.map(\.address).filter { new.contains($0) && !begin(with: $0) }
        guard let first = leftOut.first else { return }
        let others = leftOut.count == 1 ? first : "\(first) and \(leftOut.count - 1) more"
        log.warning("the mesh asks \(PartnerBook.maximumSeeds) addresses at most; left out: \(others)")
    }

    func isAllowed(_ endpoint: Endpoint) -> Bool {
        HostAddress(endpoint.host).map { judge.allows($0, port: endpoint.port, for: .node) } ?? false
    }

    /// Whose word a seed is; relays that the user joined are among them.
    func word(of seed: String) -> Word {
        joined.contains(seed) || tableRows.contains { $0.address == seed && $0.source.isUsers } ? .users : .others
    }

    /// `false` where there are too many.
    @discardableResult
    private func begin(with seed: String) -> Bool {
        let isTaken = gossip.book.add(seed: seed)
        gossip.hurry(at: loop.clock())
        arm()
        return isTaken
    }

    /// The user says something else of this node.
    public func noteChanged(_ note: String) {
        self.note = note
        publishSoon()
    }

    /// Whether others reach this node.
    public var standing: Reachability.Standing { reach.standing }
    /// Addresses of this machine but loopback.
    public var ownHosts: [HostAddress] {
        judge.ownHosts.filter { $0.bytes.count == 4 ? $0.bytes[0] != 127 : $0.bytes.dropLast().contains { $0 != 0 } }
    }
    /// Nodes that have a record here, this one too.
    public var recordCount: Int { gossip.table.count }

    /// Whether somebody at this host may ask now.
    func mayAsk(_ host: HostAddress) -> Bool { callers.take(from: host, at: loop.clock()) }

    // MARK: Time

    /// Whether the mesh's clocks are needed at all, and one line when they begin to count, or count no more.
    private func lookAtClock() {
        gossip.isClockSynchronized(SystemClock.isSynchronized)
        let correction = gossip.clock.correction
        guard (correction == 0) != (toldCorrection == 0) else { return }
        toldCorrection = correction
        guard correction != 0 else { return log.info("this machine's clock agrees with those of other nodes again") }
        log.warning(
            "this machine's clock is \(correction.magnitude) s \(correction > 0 ? "behind" : "ahead of") "
                + "those of other nodes, whose time its records go by; set it (timedatectl set-ntp true)"
        )
    }

    /// Seconds since 1970, as the mesh has it.
    var time: Int64 { gossip.clock.time(at: loop.wall()) }

    /// Whatever is due.
    func turn() {
        guard !isStopped else { return }
        let now = loop.clock()
        lookAtClock()
        run(gossip.timePassed(at: now, wall: loop.wall()))
        if now >= nextNetworks {
            nextNetworks = now + Self.networksInterval
            if judge.refresh() {
                run(reach.networkChanged(at: now))
                seedsChanged(tableRows)
            }
        }
        if now >= max(reach.nextDeadline, nextReach) { runReachability(now) }
        for (number, result) in responder.timePassed(at: now) { answerDialBack(number, result) }
        if now >= nextTick {
            nextTick = now + Self.tick
            noticeContacts(now)
            publishIfChanged()
            rank(now)
            probeStrangers(now)
            vouch(now)
            measureBandwidth(now)
        }
        probe(now)
        arm()
    }

    func arm() {
        guard !isStopped else { return }
        var deadline = min(gossip.nextDeadline, nextTick, max(reach.nextDeadline, nextReach))
        for other in [responder.nextDeadline, plan.nextDeadline, strangerProbes.nextDeadline].compactMap({ $0 }) {
            deadline = min(deadline, other)
        }
        timer?.cancel()
        // A machine whose deadline has passed must not keep the loop busy.
        let span = max(deadline - loop.clock(), .milliseconds(20))
        timer = loop.schedule(after: span) { [weak self] in self?.turn() }
    }

    // MARK: The own record

    /// Looks at once whether it must be written anew, instead of at the next tick.
    func publishSoon() {
        nextTick = .zero
        arm()
    }

    private var content: RecordAuthor.Content {
        let name = String(setup.name.prefixOfBytes(NodeRecord.maximumText))
        var content = RecordAuthor.Content(name: name, software: setup.software, mappings: tellable(), note: note)
        let (addresses, statements) = witnessed
        guard !addresses.isEmpty else { return content }
        content.addresses = Array(addresses.prefix(NodeRecord.maximumAddresses))
        content.witnesses = Array(statements.prefix(NodeRecord.maximumWitnesses))
        // What nobody can reach is no relay, whatever its user wants.
        if setup.isRelay { content.roles.insert(.relay) }
        if isDraining { content.roles.insert(.draining) }
        return content
    }

    /// What the user wants told, as far as a record has room for it.
    private func tellable() -> [NodeRecord.Mapping] {
        let all = host.announced
        let written = NodeRecord.fitting(all)
        let leftOut = Set(all.map(\.name)).subtracting(written.map(\.name))
        for name in leftOut.subtracting(untold).sorted() {
            let room = "\(NodeRecord.maximumMappings) mappings of \(NodeRecord.maximumMappingBytes) bytes in all"
            let host = "hosts of \(NodeRecord.maximumText) bytes"
            log.warning("\"\(name)\" is not told to others: a record has room for \(room), and for \(host)")
        }
        untold = leftOut
        return written
    }

    private func publishIfChanged() {
        // A relay's first record says where it is, if that shows soon: there are four a minute at most.
        let isEarly = setup.isRelay && reach.standing == .unknown && loop.clock() - started < Self.firstWord
        guard !isEarly || gossip.ownRecord != nil else { return }
        guard !isWriting, let record = author.write(content, time: time, own: loop.wall().seconds, force: mustWrite)
        else { return }
        mustWrite = false
        let signed: SignedRecord
        do throws(WireError) { signed = try SignedRecord(record, by: identity) } catch {
            return log.error("the record of this node cannot be signed: \(error)")
        }
        isWriting = true
        let bound = LoopBound(self, on: loop)
        // On the disk before anybody has it: a process that forgot its number would write below it.
        writer.write(
            "the own record", { table throws(StorageError) in try table.save(own: signed) },
            done: { [loop] error in loop.execute { bound.value.publish(signed, isSaved: error == nil) } })
    }

    private func publish(_ record: SignedRecord, isSaved: Bool) {
        isWriting = false
        guard isSaved, !isStopped, record.key == identity.key else { return }
        gossip.publish(record, at: loop.clock(), wall: loop.wall())
        arm()
    }

    /// After others were heard: a record of this node's key that it did not write.
    func lookForForeignOwn() {
        guard let foreign = gossip.foreignOwn, foreign != lastForeign else { return }
        lastForeign = foreign
        switch author.found(foreign.record) {
        case .own: break
        case .writeAnew:
            mustWrite = true
            publishSoon()
        case .superseded:
            let advice = PeerService.afterSupersession
            log.error("superseded: another process with this node's key began later, and the mesh knows it; \(advice)")
            host.superseded()
        }
    }
}

extension String {
    /// As many whole characters as fit into so many bytes.
    fileprivate func prefixOfBytes(_ limit: Int) -> Substring {
        var end = startIndex
        while end < endIndex {
            let next = index(after: end)
            guard self[..<next].utf8.count <= limit else { break }
            end = next
        }
        return self[..<end]
    }
}
