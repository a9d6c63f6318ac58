public import PeerWire

/// Spreads signed records: every few seconds a node compares what it has with a few others and both take what they
/// lack. No I/O, no clock; bodies come in and go out, exchanges are carried by whoever runs this.
///
/// ```
/// timePassed ──▶ exchange(partner, digest) ──answered(lists)──▶ send(records, wants) ──answered(records)──▶ over
///                                   │ failed, too long, nothing to say: over
/// ```
/// The answering side keeps no state of an exchange: each step is a question with one answer.
public struct Gossip: Sendable {
    public typealias Partner = PartnerBook.Partner

    public enum Action: Hashable, Sendable {
        /// Connect to the partner and post this digest; then `answered` or `failed`, with the number.
        case exchange(UInt64, Partner, GossipDigest)
        /// Post this to the same partner, in the same exchange.
        case send(UInt64, GossipDifference)
        /// The exchange is over; its connection may be closed or kept for the next.
        case finish(UInt64)
    }

    /// What the answering side says.
    public enum Answer: Hashable, Sendable {
        case difference(GossipDifference)
        /// Asked too often; nothing was done.
        case busy
    }

    /// A record that came or went, for whoever keeps them over a restart.
    public enum Change: Hashable, Sendable {
        case stored(SignedRecord)
        case removed(NodeKey)
    }

    /// Who is at the other end: the key is proven, the host is where the connection comes from or goes to.
    public struct Caller: Hashable, Sendable {
        public var key: NodeKey
        public var host: HostAddress

        public init(key: NodeKey, host: HostAddress) {
            self.key = key
            self.host = host
        }
    }

    /// What was counted since the start.
    public struct Counts: Hashable, Sendable {
        public var rounds = 0
        public var accepted = 0
        /// Signatures that were judged.
        public var judged = 0
        public var refused: [RecordTable.Refusal: Int] = [:]

        public init() {}
    }

    struct Exchange: Sendable {
        var partner: Partner
        var started: Instant
        /// Set once the first answer has come.
        var key: NodeKey?
    }

    public let own: NodeKey
    public let limits: GossipLimits
    public internal(set) var table: RecordTable
    public internal(set) var clock = MeshClock()
    public var book: PartnerBook
    /// What became of dials to nodes that this one knows by their rows.
    public var hosts: DialledHosts
    public internal(set) var counts = Counts()
    /// The number of the own record that is out, if there is one.
    public internal(set) var ownRecord: SignedRecord?
    /// A genuine record of the own key that this process did not write (`RecordAuthor.found`).
    public internal(set) var foreignOwn: SignedRecord?

    let mayDial: @Sendable (HostAddress) -> Bool
    let isGenuine: @Sendable (SignedRecord) -> Bool
    var random: SeededGenerator
    var exchanges: [UInt64: Exchange] = [:]
    var changes: [Change] = []
    /// Records that were renewed lately.
    var news = RecentNews()
    private var nextNumber: UInt64 = 1
    private var nextRound = Instant.zero
    private var replacementsLeft = 0
    /// Much was missing in the last answer.
    var isCatchingUp = false
    private var intake: Intake

    /// - Parameters:
    ///   - seed: random; partners are drawn from it.
    ///   - hosts: nobody has been dialled yet.
    ///   - mayDial: whether others' word is enough to dial a host (`DialPolicy`).
    ///   - isGenuine: judges a signature; simulations have cheaper ones.
    public init(
        own: NodeKey, limits: GossipLimits = GossipLimits(), hosts: DialledHosts = DialledHosts(), seed: UInt64,
        mayDial: @escaping @Sendable (HostAddress) -> Bool,
        isGenuine: @escaping @Sendable (SignedRecord) -> Bool = { $0.isGenuine }
    ) {
        self.own = own
        self.limits = limits
        self.hosts = hosts
        self.mayDial = mayDial
        self.isGenuine = isGenuine
        table = RecordTable(limits)
        book = PartnerBook(limits)
        random = SeededGenerator(seed: seed)
        intake = Intake(
            steps: FairRate(perSource: limits.stepsPerSource, perSecond: limits.stepsPerSecond),
            posted: RateBucket(perSecond: limits.postedPerSecond, burst: limits.postedAtOnce, at: .zero))
    }

    /// Whether the system keeps the own clock in step with a source of time: then nobody else's counts.
    public mutating func isClockSynchronized(_ isSynchronized: Bool) { clock.isSynchronized = isSynchronized }

    /// When `timePassed` is due.
    public var nextDeadline: Instant {
        let oldest = exchanges.values.map { $0.started + limits.exchangeLimit }.min() ?? nextRound
        return min(nextRound, oldest)
    }

    /// Exchanges that this node has begun and that are not over.
    public var exchangeCount: Int { exchanges.count }

    /// Changes since the last call.
    public mutating func takeChanges() -> [Change] {
        defer { changes = [] }
        return changes
    }

    /// The own record, written anew. The next round follows at once.
    public mutating func publish(_ record: SignedRecord, at now: Instant, wall: WallTime) {
        guard record.key == own else { return }
        ownRecord = record
        _ = table.takeOwn(record, from: Self.here, time: clock.time(at: wall), at: now) { _ in true }
        nextRound = min(nextRound, now)
    }

    /// Records that were kept over a restart.
    ///
    /// - Parameter areJudged: their signatures were judged by whoever read them; else each is judged anew.
    public mutating func restore(
        _ records: [SignedRecord], areJudged: Bool = false, at now: Instant, wall: WallTime
    ) {
        let time = clock.time(at: wall)
        for record in records {
            if areJudged, record.key != own {
                _ = table.take(record, from: Self.here, time: time, at: now) { _ in true }
            } else {
                _ = take(record, from: Self.here, time, now)
            }
        }
        changes = []
    }

    /// The next round begins at once.
    public mutating func hurry(at now: Instant) { nextRound = min(nextRound, now) }

    /// A round, where one is due, and the end of exchanges that take too long.
    public mutating func timePassed(at now: Instant, wall: WallTime) -> [Action] {
        var actions: [Action] = []
        for number in exchanges.keys.sorted() {
            guard let exchange = exchanges[number], now >= exchange.started + limits.exchangeLimit else { continue }
            actions += failed(number, at: now, wall: wall)
        }
        guard now >= nextRound else { return actions }
        clock.forget(at: now)
        let time = clock.time(at: wall)
        for key in table.removeExpired(time: time) { changes.append(.removed(key)) }
        counts.rounds += 1
        let isFast = counts.rounds < limits.fastRounds || isCatchingUp
        let interval = isFast ? limits.fastInterval : limits.roundInterval
        nextRound = now + interval * UInt64.random(in: 80...120, using: &random) / 100
        replacementsLeft = limits.replacements
        // An exchange that is still under way has its partner's place.
        let free = (isCatchingUp ? 1 : limits.partners) - exchanges.count
        guard free > 0 else { return actions }
        return actions + begin(free, wantsSeed: counts.rounds % limits.seedRounds == 0, now, time)
    }

    private mutating func begin(_ count: Int, wantsSeed: Bool, _ now: Instant, _ time: Int64) -> [Action] {
        let partners = book.choose(
            count, from: table, own: own, wantsSeed: wantsSeed, hosts: &hosts, at: now, mayDial: mayDial,
            using: &random)
        guard !partners.isEmpty, let digest = digest(time) else { return [] }
        return partners.map { partner in
            exchanges[nextNumber] = Exchange(partner: partner, started: now)
            defer { nextNumber += 1 }
            return .exchange(nextNumber, partner, digest)
        }
    }

    /// Records of an answer that would be taken if their signatures are right.
    public mutating func unjudged(
        _ number: UInt64, _ difference: GossipDifference, by caller: Caller, at now: Instant, wall: WallTime
    ) -> [SignedRecord] {
        guard exchanges[number] != nil else { return [] }
        return unjudged(difference.records, from: caller, clock.time(at: wall), now)
    }

    /// An answer came, from the node with this key at this host.
    ///
    /// - Parameter judged: which of its records are genuine, as far as that was judged before; others are judged now.
    public mutating func answered(
        _ number: UInt64, _ difference: GossipDifference, by caller: Caller, judged: [SignedRecord: Bool] = [:],
        at now: Instant, wall: WallTime
    ) -> [Action] {
        guard var exchange = exchanges[number] else { return [] }
        if exchange.key == nil { clock.heard(difference.time, at: caller.host, own: wall, now: now) }
        let time = clock.time(at: wall)
        noteAnswer(exchange.partner, caller, now)
        guard take(difference.records, from: caller, judged, time, now) else {
            return failed(number, at: now, wall: wall)
        }
        meet(caller)
        guard exchange.key == nil else {
            exchanges[number] = nil
            book.answered(exchange.partner)
            return [.finish(number)]
        }
        exchange.key = caller.key
        exchanges[number] = exchange
        let reply = reply(to: difference, time: time)
        guard !reply.isEmpty else {
            exchanges[number] = nil
            book.answered(exchange.partner)
            return [.finish(number)]
        }
        return [.send(number, reply)]
    }

    private mutating func noteAnswer(_ partner: Partner, _ caller: Caller, _ now: Instant) {
        switch partner {
        case .node(_, let address): hosts.answered(caller.key, at: address, now)
        case .seed: NodeAddress(host: caller.host, port: 1).map { hosts.answered(caller.key, at: $0, now) }
        }
    }

    /// No answer, or none that can be used; `busy` counts as none. Somebody else is tried, so many times a round.
    public mutating func failed(_ number: UInt64, at now: Instant, wall: WallTime) -> [Action] {
        guard let exchange = exchanges.removeValue(forKey: number) else { return [] }
        book.failed(exchange.partner, at: now)
        if exchange.key == nil, case .node(let key, let address) = exchange.partner {
            hosts.failed(key, at: address, now)
        }
        guard exchange.key == nil, replacementsLeft > 0 else { return [.finish(number)] }
        replacementsLeft -= 1
        return [.finish(number)] + begin(1, wantsSeed: false, now, clock.time(at: wall))
    }

    // MARK: Answering

    public mutating func asked(
        _ digest: GossipDigest, by caller: Caller, at now: Instant, wall: WallTime
    ) -> Answer {
        guard admits(caller, at: now) else { return .busy }
        return .difference(lists(for: digest, from: caller.key, time: clock.time(at: wall)))
    }

    public mutating func asked(
        _ difference: GossipDifference, by caller: Caller, at now: Instant, wall: WallTime
    ) -> Answer {
        guard admits(caller, at: now) else { return .busy }
        let posted = posted(difference, by: caller, looksAtSignatures: false, at: now, wall: wall)
        return asked(posted, judged: [:], at: now, wall: wall)
    }

    /// Whether somebody may ask for one more step; it is counted. To be asked before what was posted is read, so that
    /// whoever is told `busy` costs no more than that.
    public mutating func admits(_ caller: Caller, at now: Instant) -> Bool {
        caller.key != own && !isBarred(caller, now) && intake.steps.take(from: caller.host, at: now)
    }

    /// Records that somebody posted, and what is wanted for them; to be answered once the signatures are judged.
    public struct Posted: Sendable {
        let caller: Caller
        let wanted: GossipDifference
        let records: [SignedRecord]
        /// Records that would be taken if their signatures are right.
        public let unjudged: [SignedRecord]
    }

    /// What was posted by somebody who was admitted (`admits`).
    ///
    /// - Parameter looksAtSignatures: whether it is looked for `unjudged` ones.
    public mutating func posted(
        _ difference: GossipDifference, by caller: Caller, looksAtSignatures: Bool = true, at now: Instant,
        wall: WallTime
    ) -> Posted {
        var wanted = difference
        wanted.records = []
        let records = offered(in: difference, now)
        return Posted(
            caller: caller, wanted: wanted, records: records,
            unjudged: looksAtSignatures ? unjudged(records, from: caller, clock.time(at: wall), now) : [])
    }

    /// - Parameter judged: which of the records are genuine, as far as that was judged before; others are judged now.
    public mutating func asked(
        _ posted: Posted, judged: [SignedRecord: Bool], at now: Instant, wall: WallTime
    ) -> Answer {
        let time = clock.time(at: wall)
        guard take(posted.records, from: posted.caller, judged, time, now) else {
            bar(posted.caller, now)
            return .busy
        }
        meet(posted.caller)
        return .difference(records(for: posted.wanted, time: time))
    }

    /// What is taken of records that were posted: as much as was offered room for, and as all of them together may
    /// cost.
    private mutating func offered(in difference: GossipDifference, _ now: Instant) -> [SignedRecord] {
        var room = limits.recordBytes
        let fitting = difference.records.prefix { record in
            room -= record.bytes.count + 2
            return room >= 0
        }
        return Array(fitting.prefix(intake.posted.take(upTo: fitting.count, at: now)))
    }

    /// How much of what others ask is done.
    private struct Intake: Sendable {
        var steps: FairRate
        var posted: RateBucket
        /// Sources that forged, and until when nothing is heard of them.
        var barred: [Forger: Instant] = [:]
    }

    /// Who sends forged records is not heard for a while.
    private enum Forger: Hashable, Sendable {
        /// Keys cost nothing, so all that comes from there is meant.
        case source(Network)
        /// Where the user has many nodes behind one address.
        case key(NodeKey)
    }

    private func forger(_ caller: Caller) -> Forger {
        hosts.byPort ? .key(caller.key) : .source(SourceGate.source(of: caller.host))
    }

    private mutating func bar(_ caller: Caller, _ now: Instant) {
        if intake.barred.count >= limits.barred { intake.barred = intake.barred.filter { now < $0.value } }
        if intake.barred.count < limits.barred { intake.barred[forger(caller)] = now + limits.barredSpan }
    }

    private func isBarred(_ caller: Caller, _ now: Instant) -> Bool {
        !intake.barred.isEmpty && intake.barred[forger(caller)].map { now < $0 } ?? false
    }
}
