import PeerCore
import PeerWire

/// A mesh under virtual time, from one seed: nodes with their cores, and a network between them that loses, delays and
/// is cut in two. Everything that is said goes through here.
final class MeshWorld {
    struct Plan {
        var nodes = 1_000
        /// Of a hundred, each.
        var publicShare = 12
        var liarShare = 10
        var loss = 0.05
        /// Peers whose ranking and failover run too.
        var peers = 40
        /// One in so many of those that are neither public nor liars has a record; the others listen only.
        var publishers = 1
        /// Made-up records, in all.
        var flood = 600
        /// All hold a session to node 0 from the start, as their users said.
        var isNamed = false
        /// Each node is in a network of its own.
        var isSpread = false
        /// Of the public nodes, relays that take sessions and carry nothing; in the middle of all.
        var hollow = 0
        var limits = GossipLimits()
    }

    let seed: UInt64
    let plan: Plan
    var random: SeededGenerator
    private var queue = EventQueue()
    private(set) var now = Instant.zero
    private(set) var nodes: [MeshNode] = []
    private(set) var steps = 0
    /// Bytes that went over the network, and exchanges begun.
    private(set) var bytes = 0
    private(set) var exchanges = 0
    /// The largest sum of bytes that one asker's round took.
    private(set) var largestRound = 0
    private var roundBytes: [Int: Int] = [:]
    private(set) var violation: String?
    private var flood: Int
    var byTag: [UInt64: MeshNode] = [:]
    var byHost: [HostAddress: MeshNode] = [:]
    /// When nodes dialled hosts where nobody is, by node and host; seconds.
    private(set) var dials: [String: [Int]] = [:]
    /// Every record that a node has really signed.
    var published: [UInt64: [UInt64: SignedRecord]] = [:]
    var connectedToPretender = false
    var isCut = false

    init(seed: UInt64, plan: Plan) {
        self.seed = seed
        self.plan = plan
        flood = plan.flood
        random = SeededGenerator(seed: seed)
        for number in 0..<plan.nodes {
            let isPublic = number == 0 || number % 100 < plan.publicShare
            let kinds: [MeshNode.Kind] = [.forger, .pretender, .forger, .flooder, .pretender]
            let isLiar = number > 0 && number % 100 >= 100 - plan.liarShare
            let isBoaster = !isLiar && number % 100 == 11
            let isHollow = isPublic && number > 0 && number % 100 == plan.publicShare - 1 && number / 100 < plan.hollow
            let kind: MeshNode.Kind =
                isHollow
                ? .hollow : isLiar ? kinds[(number / 100 + number) % kinds.count] : isBoaster ? .boaster : .honest
            let isPeer = !isPublic && !isLiar && (number + 13) % (plan.nodes / plan.peers) == 0
            let place = isHollow ? (75, 75) : (Double(any(150)), Double(any(150)))
            let address = plan.isSpread ? NodeAddress(host: Self.spread(number), port: 8_088)! : .number(number)
            nodes.append(
                MeshNode(
                    number: number, kind: kind, isPublic: isPublic, isPeer: isPeer, place: place, address: address,
                    limits: plan.limits))
        }
        byHost = Dictionary(nodes.map { ($0.address.host, $0) }) { first, _ in first }
        byTag = Dictionary(uniqueKeysWithValues: nodes.map { ($0.key.tag, $0) })
        let pretenders = nodes.filter { $0.kind == .pretender }
        for node in pretenders {
            node.bought = pretenders.filter { $0 !== node }.prefix(3).map { witness in
                witness.seal.sign(
                    .init(subject: node.key, witness: witness.key, time: wall.seconds + 60, address: node.address))
            }
        }
    }

    var wall: WallTime { WallTime.start + Int64(now.nanoseconds / 1_000_000_000) }
    var honest: [MeshNode] { nodes.filter { !$0.isLiar && $0.isUp } }
    var peers: [MeshNode] { nodes.filter { $0.isPeer && $0.isUp } }

    func wall(of node: MeshNode) -> WallTime { wall + node.clockError }
    func any(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
    private func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &random) < share }

    func fail(_ text: String) {
        if violation == nil {
            violation = "seed \(seed), after \(now.nanoseconds / 1_000_000_000) s and \(steps) steps: \(text)"
        }
    }

    private static func spread(_ number: Int) -> HostAddress {
        HostAddress(bytes: [UInt8(50 + number % 60), UInt8(number / 60 % 256), UInt8(number / 15_360), 7])!
    }

    func noteDial(_ node: MeshNode, _ host: HostAddress) {
        dials["\(node.number) \(host)", default: []].append(Int(now.nanoseconds / 1_000_000_000))
    }

    /// Seconds at which anybody dialled that host.
    func strangersDials(_ host: HostAddress) -> [Int] {
        dials.filter { $0.key.hasSuffix(" \(host)") }.flatMap(\.value).sorted()
    }

    /// From now on, with the number of the second.
    func eachSecond(_ number: Int = 0, _ body: @escaping (Int) -> Void) {
        after(.seconds(1)) { [unowned self] in
            body(number)
            eachSecond(number + 1, body)
        }
    }

    /// Somebody posts records to a public node, drawn at random. Returns whether they were looked at.
    func call(_ records: [SignedRecord], from caller: Gossip.Caller) -> Bool {
        let publics = nodes.count(where: \.isPublic)
        var index = any(publics)
        guard
            let node = nodes.first(where: { node in
                defer { if node.isPublic { index -= 1 } }
                return node.isPublic && index == 0
            }), node.isUp
        else { return false }
        let difference = GossipDifference(time: wall.seconds, room: 0, records: records)
        let answer = node.gossip.asked(difference, by: caller, at: now, wall: wall(of: node))
        noticeRelays(node)
        if case .busy = answer { return false }
        return true
    }

    // MARK: Life

    /// Everybody, spread over so many seconds, with one seed and nothing else.
    func startAll(within seconds: Int) {
        for node in nodes {
            _ = node.gossip.book.add(seed: "node-0")
            after(.milliseconds(UInt64(node.number == 0 ? 0 : any(seconds * 1_000)))) { [unowned self] in start(node) }
        }
    }

    func start(_ node: MeshNode) {
        guard !node.isUp else { return }
        node.isUp = true
        publish(node, force: true)
        tick(node)
    }

    func crash(_ node: MeshNode) { node.isUp = false }

    func restart(_ node: MeshNode) {
        node.restart(keeping: node.gossip.table.records, at: now, wall: wall(of: node))
        start(node)
    }

    func advance(seconds: Int) {
        let end = now + .seconds(UInt64(seconds))
        while violation == nil, let (instant, body) = queue.next(until: end) {
            now = instant
            steps += 1
            body()
        }
        now = end
    }

    /// Once a second what is not gossip.
    private func tick(_ node: MeshNode) {
        let epoch = node.epoch
        guard node.isUp else { return }
        // Nothing is new at a node that nobody dials.
        if node.isPublic || now.nanoseconds / 1_000_000_000 % 60 == UInt64(node.number % 60) {
            publish(node, force: false)
        }
        runGossip(node)
        if node.isPublic || node.isPeer { runReachability(node) }
        if node.isPeer { runPeer(node) }
        if plan.isNamed { runVouching(node) }
        after(.seconds(1)) { [unowned self] in if node.epoch == epoch { tick(node) } }
    }

    private func isPublisher(_ node: MeshNode) -> Bool {
        node.isPublic || node.isLiar || node.number % plan.publishers == 0
    }

    func publish(_ node: MeshNode, force: Bool) {
        guard isPublisher(node) else { return }
        let time = node.gossip.clock.time(at: wall(of: node))
        guard let record = node.author.write(node.content, time: time, force: force) else { return }
        let signed = node.seal.sign(record)
        published[signed.tag, default: [:]][signed.issue] = signed
        node.gossip.publish(signed, at: now, wall: wall(of: node))
    }

    // MARK: The network

    func distance(_ one: MeshNode, _ other: MeshNode) -> Double {
        let (x, y) = (one.place.x - other.place.x, one.place.y - other.place.y)
        return 1 + (x * x + y * y).squareRoot() + other.slowdown
    }

    /// One way; `nil` where it is lost.
    func passage(_ one: MeshNode, _ other: MeshNode) -> Instant.Span? {
        guard !isCut || one.side == other.side, !chance(plan.loss) else { return nil }
        return .microseconds(UInt64(distance(one, other) * 500) + UInt64(any(5_000)))
    }

    /// A body on a connection: whatever segment is lost comes again 200 ms later, twice as late each time, until
    /// nobody waits any more.
    private func transfer(_ bytes: Int, _ one: MeshNode, _ other: MeshNode) -> Instant.Span? {
        guard !isCut || one.side == other.side else { return nil }
        var span = Instant.Span.microseconds(UInt64(distance(one, other) * 500) + UInt64(any(5_000)))
        for _ in 0...(bytes / 1_400) {
            var pause: UInt64 = 200
            while chance(plan.loss) {
                guard pause < 5_000 else { return nil }
                span = span + .milliseconds(pause)
                pause *= 2
            }
        }
        return span
    }

    func after(_ span: Instant.Span, _ body: @escaping () -> Void) { queue.add(now + span, body) }

    /// A message from one to the other, if both live as long as it takes.
    func carry(_ bytes: Int, _ one: MeshNode, _ other: MeshNode, _ arrive: @escaping () -> Void) {
        self.bytes += bytes
        guard let span = transfer(bytes, one, other) else { return }
        let epochs = (one.epoch, other.epoch)
        after(span) { if one.isUp, other.isUp, (one.epoch, other.epoch) == epochs { arrive() } }
    }

    func node(at partner: Gossip.Partner) -> MeshNode? {
        switch partner {
        case .seed(let name): return nodes.first { "node-\($0.number)" == name }
        case .node(let key, let address):
            guard let node = byHost[address.host], node.key == key, node.isPublic else { return nil }
            return node
        }
    }

    // MARK: Gossip

    private func runGossip(_ node: MeshNode) {
        guard node.isUp, node.gossip.nextDeadline <= now else { return }
        roundBytes[node.number] = 0
        perform(node.gossip.timePassed(at: now, wall: wall(of: node)), node)
    }

    func perform(_ actions: [Gossip.Action], _ node: MeshNode, with partner: MeshNode? = nil) {
        for action in actions {
            switch action {
            case .exchange(let number, let partner, let digest):
                exchanges += 1
                guard let other = self.node(at: partner), other.isUp, other !== node else {
                    if case .node(_, let address) = partner, byHost[address.host] == nil {
                        noteDial(node, address.host)
                    }
                    // Nobody there: a connection is refused.
                    after(.milliseconds(100)) { [unowned self] in
                        perform(node.gossip.failed(number, at: now, wall: wall(of: node)), node)
                    }
                    continue
                }
                count(digest.byteCount, node)
                carry(digest.byteCount, node, other) { [unowned self] in
                    let caller = Gossip.Caller(key: node.key, host: node.address.host)
                    answer(other.gossip.asked(digest, by: caller, at: now, wall: wall(of: other)), number, node, other)
                }
            case .send(let number, var difference):
                guard let other = partner else { continue }
                lie(&difference, node)
                count(difference.byteCount, node)
                checkBytes(difference)
                carry(difference.byteCount, node, other) { [unowned self] in
                    let caller = Gossip.Caller(key: node.key, host: node.address.host)
                    let answered = other.gossip.asked(difference, by: caller, at: now, wall: wall(of: other))
                    noticeRelays(other)
                    answer(answered, number, node, other)
                }
            case .finish: break
            }
        }
        noticeRelays(node)
    }

    func answer(_ answer: Gossip.Answer, _ number: UInt64, _ node: MeshNode, _ other: MeshNode) {
        guard case .difference(var difference) = answer else {
            carry(40, other, node) { [unowned self] in
                perform(node.gossip.failed(number, at: now, wall: wall(of: node)), node)
            }
            return
        }
        lie(&difference, other)
        count(difference.byteCount, node)
        carry(difference.byteCount, other, node) { [unowned self] in
            let caller = Gossip.Caller(key: other.key, host: other.address.host)
            let actions = node.gossip.answered(number, difference, by: caller, at: now, wall: wall(of: node))
            perform(actions, node, with: other)
        }
    }

    func count(_ bytes: Int, _ node: MeshNode) {
        roundBytes[node.number, default: 0] += bytes
        largestRound = max(largestRound, roundBytes[node.number] ?? 0)
    }

    private func lie(_ difference: inout GossipDifference, _ node: MeshNode) {
        guard node.isLiar else { return }
        difference.records += node.lies(
            among: difference.records, &random, time: wall.seconds, left: &flood)
    }

    /// What is said comes through as bytes too; seldom, for it is the codec's own tests' business.
    private func checkBytes(_ difference: GossipDifference) {
        guard any(200) == 0 else { return }
        do {
            if try GossipDifference(difference.bytes) != difference { fail("a difference comes back as another") }
        } catch { fail("a difference is not understood: \(error)") }
        if difference.bytes.count != difference.byteCount { fail("a difference has another length than it says") }
    }

    // MARK: What must hold

    func isServing(_ key: NodeKey) -> Bool {
        relay(key).map { $0.isUp && $0.isPublic && $0.kind != .hollow } ?? false
    }

    /// The share of honest nodes that have this record or a newer one of its key.
    func spread(of record: SignedRecord) -> Double {
        let all = honest
        let have = all.count { ($0.gossip.table[record.key]?.issue ?? 0) >= record.issue }
        return Double(have) / Double(all.count)
    }

    /// Pairs of an honest node and an honest row that it lacks, or has in an older form than `since`.
    func missing(since rows: [GossipDifference.Entry]) -> Int {
        var missing = 0
        for node in honest {
            for row in rows where (node.gossip.table.record(tag: row.tag)?.issue ?? 0) < row.issue { missing += 1 }
        }
        return missing
    }

    /// Nodes that lack rows, for whoever looks for the reason.
    func losers(since rows: [GossipDifference.Entry]) -> [String] {
        honest.compactMap { node in
            let lacks = rows.count { (node.gossip.table.record(tag: $0.tag)?.issue ?? 0) < $0.issue }
            guard lacks > 0 else { return nil }
            return "  \(node.number) lacks \(lacks) rows; \(node.gossip.table.count) rows, "
                + "\(node.gossip.table.metCount) met, \(node.gossip.counts)"
        }
    }

    /// Nodes whose tables differ most, for whoever looks for the reason.
    var stragglers: [String] {
        let worst = honest.sorted { $0.gossip.table.count < $1.gossip.table.count }.prefix(3)
        return worst.map { node in
            let busy = node.gossip.exchangeCount
            return "  \(node.number): \(node.gossip.table.count) rows, \(node.gossip.book.proven.count) partners, "
                + "\(busy) under way, \(node.gossip.counts)"
        }
    }

    /// The rows of all honest nodes as they are now.
    var rows: [GossipDifference.Entry] {
        honest.filter(isPublisher).map { .init(tag: $0.key.tag, issue: $0.gossip.ownRecord?.issue ?? 0) }
    }

    /// Invariants of every table; `everyNth` of them, for there are many.
    func check(everyNth: Int = 1) {
        for node in honest where node.number % everyNth == 0 {
            let table = node.gossip.table
            if table.count > plan.limits.table.capacity { fail("\(node.number) has \(table.count) records") }
            for record in table.records {
                if let known = published[record.tag], known[record.issue] != record {
                    fail("\(node.number) has a record that \(record.key.short) did not sign")
                }
                if record.expires <= wall.seconds - 30 { fail("\(node.number) keeps \(record), which is over") }
            }
        }
        if connectedToPretender { fail("a session to a node that only says that it can be reached") }
    }
}
