import PeerCore
import PeerWire
import SimulationSupport

@testable import PeerServices

/// A mesh under virtual time, from one seed: nodes that run the shells that ship, and a network between them that
/// loses, delays and is cut in two (`MeshWorld+Network`). Everything that is said goes through here.
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

    static let meshKey = MeshKey(bytes: [UInt8](repeating: 7, count: MeshKey.byteCount))!
    static let dialGuard = DialGuard(widened: [])

    let seed: UInt64
    let plan: Plan
    var random: SeededGenerator
    private var queue = EventQueue()
    private(set) var now = Instant.zero
    private(set) var nodes: [MeshNode] = []
    private(set) var steps = 0
    private(set) var violation: String?
    /// What went over the network.
    var traffic = Traffic()
    /// Made-up records that are left to be told.
    var flood: Int
    private(set) var byTag: [UInt64: MeshNode] = [:]
    private(set) var byHost: [HostAddress: MeshNode] = [:]
    /// Every record that a node has really signed.
    var published: [UInt64: [UInt64: SignedRecord]] = [:]
    var connectedToPretender = false
    var isCut = false

    init(seed: UInt64, plan: Plan) {
        self.seed = seed
        self.plan = plan
        flood = plan.flood
        random = SeededGenerator(seed: seed)
        nodes = (0..<plan.nodes).map(node)
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

    private func node(_ number: Int) -> MeshNode {
        let isPublic = number == 0 || number % 100 < plan.publicShare
        let kinds: [MeshNode.Kind] = [.forger, .pretender, .forger, .flooder, .pretender]
        let isLiar = number > 0 && number % 100 >= 100 - plan.liarShare
        let isBoaster = !isLiar && number % 100 == 11
        let isHollow = isPublic && number > 0 && number % 100 == plan.publicShare - 1 && number / 100 < plan.hollow
        let kind: MeshNode.Kind =
            isHollow ? .hollow : isLiar ? kinds[(number / 100 + number) % kinds.count] : isBoaster ? .boaster : .honest
        return MeshNode(
            number: number, kind: kind, isPublic: isPublic,
            isPeer: !isPublic && !isLiar && (number + 13) % (plan.nodes / plan.peers) == 0,
            place: isHollow ? (75, 75) : (Double(any(150)), Double(any(150))),
            address: plan.isSpread ? NodeAddress(host: Self.spread(number), port: 8_088)! : .number(number), in: self)
    }

    private static func spread(_ number: Int) -> HostAddress {
        HostAddress(bytes: [UInt8(50 + number % 60), UInt8(number / 60 % 256), UInt8(number / 15_360), 7])!
    }

    var wall: WallTime { WallTime.start + Int64(now.nanoseconds / 1_000_000_000) }
    /// Those that say the truth, and are there.
    var honest: [MeshNode] { nodes.filter { !$0.isLiar && $0.isUp } }
    var peers: [MeshNode] { nodes.filter { $0.isPeer && $0.isUp } }

    func any(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }

    func fail(_ text: String) {
        if violation == nil {
            violation = "seed \(seed), after \(now.nanoseconds / 1_000_000_000) s and \(steps) steps: \(text)"
        }
    }

    // MARK: Time

    func after(_ span: Instant.Span, _ body: @escaping () -> Void) { queue.add(now + span, body) }

    func advance(seconds: Int) {
        let end = now + .seconds(UInt64(seconds))
        while violation == nil, let (instant, body) = queue.next(until: end) {
            now = instant
            steps += 1
            body()
        }
        now = end
    }

    /// From now on, with the number of the second.
    func eachSecond(_ number: Int = 0, _ body: @escaping (Int) -> Void) {
        after(.seconds(1)) { [unowned self] in
            body(number)
            eachSecond(number + 1, body)
        }
    }

    // MARK: Life

    /// Everybody, spread over so many seconds, with one seed and nothing else.
    func startAll(within seconds: Int) {
        for node in nodes {
            after(.milliseconds(UInt64(node.number == 0 ? 0 : any(seconds * 1_000)))) { node.start() }
            if plan.isNamed, node.isLiar { lieAboutRelay(node) }
        }
    }

    /// What liars say that they reached node 0 at, again and again.
    private func lieAboutRelay(_ node: MeshNode) {
        after(.seconds(10)) { [unowned self] in
            vouchFalsely(node)
            lieAboutRelay(node)
        }
    }

    func isPublisher(_ node: MeshNode) -> Bool {
        node.isPublic || node.isLiar || node.number % plan.publishers == 0
    }
}

// MARK: What must hold

extension MeshWorld {
    func isServing(_ key: NodeKey) -> Bool {
        relay(key).map { $0.isUp && $0.isPublic && $0.kind != .hollow } ?? false
    }

    /// The share of honest nodes that have this record or a newer one of its key.
    func spread(of record: SignedRecord) -> Double {
        let all = honest
        let have = all.count { ($0.gossip?.table[record.key]?.issue ?? 0) >= record.issue }
        return Double(have) / Double(all.count)
    }

    /// Pairs of an honest node and an honest row that it lacks, or has in an older form than `since`.
    func missing(since rows: [GossipDifference.Entry]) -> Int {
        honest.reduce(0) { $0 + missing(since: rows, at: $1) }
    }

    private func missing(since rows: [GossipDifference.Entry], at node: MeshNode) -> Int {
        guard let table = node.gossip?.table else { return rows.count }
        return rows.count { (table.record(tag: $0.tag)?.issue ?? 0) < $0.issue }
    }

    /// Nodes that lack rows, for whoever looks for the reason.
    func losers(since rows: [GossipDifference.Entry]) -> [String] {
        honest.compactMap { node in
            let lacks = missing(since: rows, at: node)
            return lacks > 0 ? "  \(node.number) lacks \(lacks) rows; \(facts(of: node))" : nil
        }
    }

    /// Nodes whose tables differ most, for whoever looks for the reason.
    var stragglers: [String] {
        let worst = honest.sorted { ($0.gossip?.table.count ?? 0) < ($1.gossip?.table.count ?? 0) }.prefix(3)
        return worst.map { "  \($0.number): \(facts(of: $0))" }
    }

    private func facts(of node: MeshNode) -> String {
        guard let gossip = node.gossip else { return "down" }
        return "\(gossip.table.count) rows, \(gossip.table.metCount) met, \(gossip.book.proven.count) partners, "
            + "\(gossip.exchangeCount) exchanges, \(gossip.counts)"
    }

    /// The rows of all honest nodes as they are now.
    var rows: [GossipDifference.Entry] {
        honest.filter(isPublisher).map { .init(tag: $0.key.tag, issue: $0.gossip?.ownRecord?.issue ?? 0) }
    }

    /// Invariants of every table; `everyNth` of them, for there are many.
    func check(everyNth: Int = 1) {
        for node in honest where node.number % max(1, everyNth) == 0 {
            guard let table = node.gossip?.table else { continue }
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
