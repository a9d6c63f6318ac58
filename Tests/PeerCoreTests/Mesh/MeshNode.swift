import PeerCore
import PeerWire

/// A node with all of its cores, as a program would run them; the world around it is `MeshWorld`.
final class MeshNode {
    enum Kind {
        case honest
        /// Passes on records that it forged, and some that have expired.
        case forger
        /// Makes up keys without end.
        case flooder
        /// Cannot be reached, says that it is a relay, and its like bear witness for it.
        case pretender
        /// A relay like others that says that it has no load.
        case boaster
        /// A relay as others see it, that carries nothing.
        case hollow
    }

    let number: Int
    let kind: Kind
    let isPublic: Bool
    let seal: Seal
    let address: NodeAddress
    /// Where it is, in milliseconds.
    let place: (x: Double, y: Double)
    /// Whether its ranking and failover are run too: a part of the peers does for all.
    let isPeer: Bool

    var gossip: Gossip
    var author: RecordAuthor
    var reach: Reachability
    var responder: DialBackResponder
    var failover = Failover()
    var plan: ProbePlan
    var strangers = StrangerProbes()
    var vouchPlan = VouchPlan()
    var logs: [NodeKey: SampleLog] = [:]
    /// Records that offer a relay, with the verdict on them.
    var relays: [NodeKey: (record: SignedRecord, verdict: RelayProof.Verdict, until: Instant)] = [:]
    var sessions: [NodeKey: Int] = [:]
    var chosen: NodeKey?

    var isUp = false
    /// What was under way when it crashed is lost.
    var epoch = 0
    var side = 0
    /// Added to every round trip to it.
    var slowdown = 0.0
    /// Its clock is off by so many seconds.
    var clockError: Int64 = 0
    var gossipWake: Instant?
    /// Statements of its like.
    var bought: [DialBackStatement] = []
    var mappingNumber: UInt16 = 1

    init(
        number: Int, kind: Kind, isPublic: Bool, isPeer: Bool, place: (Double, Double), address: NodeAddress,
        limits: GossipLimits
    ) {
        self.number = number
        self.kind = kind
        self.isPublic = isPublic
        self.isPeer = isPeer
        self.place = (place.0, place.1)
        seal = Seal(number)
        self.address = address
        gossip = Self.gossip(seal.key, number, limits)
        author = RecordAuthor(key: seal.key, process: .init(began: 1, instance: UInt64(number)), lastIssue: 0)
        reach = Reachability(own: seal.key, port: 8_088, isGenuine: Seal.isStatement)
        responder = DialBackResponder(own: seal.key) { _ in true }
        plan = ProbePlan(seed: UInt64(number))
    }

    var key: NodeKey { seal.key }
    var isLiar: Bool { kind != .honest }

    private static func gossip(_ key: NodeKey, _ seed: Int, _ limits: GossipLimits) -> Gossip {
        Gossip(own: key, limits: limits, seed: UInt64(seed), mayDial: { _ in true }, isGenuine: Seal.isGenuine)
    }

    /// Everything that is not on a disk is lost.
    func restart(keeping records: [SignedRecord], at now: Instant, wall: WallTime) {
        epoch += 1
        let seeds = gossip.book.seeds
        gossip = Self.gossip(key, number &+ epoch &* 1_000_003, gossip.limits)
        for seed in seeds { _ = gossip.book.add(seed: seed) }
        gossip.restore(records, at: now, wall: wall)
        let process = NodeRecord.Process(began: UInt64(epoch) + 1, instance: UInt64(number) << 20 | UInt64(epoch))
        author = RecordAuthor(key: key, process: process, lastIssue: author.lastIssue)
        reach = Reachability(own: key, port: 8_088, isGenuine: Seal.isStatement)
        responder = DialBackResponder(own: key) { _ in true }
        failover = Failover()
        plan = ProbePlan(seed: UInt64(number &+ epoch))
        strangers = StrangerProbes()
        logs = [:]
        relays = [:]
        sessions = [:]
        chosen = nil
        gossipWake = nil
        for record in records where record.record.roles.contains(.relay) {
            relays[record.key] = (record, .notOffered, .zero)
        }
    }

    var content: RecordAuthor.Content {
        var content = RecordAuthor.Content(name: "node-\(number)", software: "test")
        if kind == .pretender {
            content.roles = .relay
            content.addresses = [address]
            content.witnesses = bought
        } else if case .reachable(let addresses) = reach.standing {
            content.addresses = addresses
            content.witnesses = reach.statements
            if isPublic { content.roles = .relay }
        }
        content.mappings = [
            .init(name: "web", protocols: .tcp, host: "relay", ports: .only(mappingNumber))
        ]
        return content
    }

    /// What liars add to what they send.
    func lies(among records: [SignedRecord], _ random: inout SeededGenerator, time: Int64, left: inout Int)
        -> [SignedRecord]
    {
        switch kind {
        case .forger:
            var lies: [SignedRecord] = []
            if let victim = records.randomElement(using: &random)?.record {
                var forged = victim
                forged.issue += 5
                forged.roles = []
                forged.addresses = [address]
                lies.append(try! SignedRecord(forged) { _ in [UInt8](repeating: 1, count: 64) })
            }
            // Genuine, and long over.
            lies.append(Seal(5_000_000 + number).record(issued: time - 10_000, lifetime: 3_600))
            return lies
        case .flooder:
            guard left > 0 else { return [] }
            left -= 12
            return (0..<12).map { _ in
                let made = Int(random.next() % 1_000_000_000) + 10_000_000
                return Seal(made).record(
                    issue: UInt64(time) * 1_000, issued: time, roles: .relay, addresses: [.number(made & 0xffffff)])
            }
        case .honest, .pretender, .boaster, .hollow: return []
        }
    }
}
