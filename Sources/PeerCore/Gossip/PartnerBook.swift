public import PeerWire

/// Whom to exchange records with, and who did not answer lately. Seeds are in here and nowhere else: they are dialled,
/// and never told to others.
public struct PartnerBook: Sendable {
    /// Where an exchange goes.
    public enum Partner: Hashable, Sendable {
        /// What was added by hand, as it was written: host:port. Who is there shows when it is dialled.
        case seed(String)
        case node(NodeKey, NodeAddress)
    }

    /// Seeds, at most; more are left out.
    public static let maximumSeeds = 256

    private struct Failure: Sendable {
        var count: UInt64
        var until: Instant
    }

    /// Partners that answered, remembered at most; the one that answered longest ago goes.
    public static let maximumProven = 64
    /// One that fails so often in a row is forgotten.
    static let patience: UInt64 = 12

    public private(set) var seeds: [String] = []
    /// Nodes that answered, also those whose records have expired since: after a long cut they are the way back.
    public private(set) var proven: [Partner] = []
    var provenKeys: [NodeKey] {
        proven.compactMap { if case .node(let key, _) = $0 { key } else { nil } }
    }
    private var hasSeedAnswered = false
    private var failures: [Partner: Failure] = [:]
    private var nextSeed = 0
    private let limits: GossipLimits

    init(_ limits: GossipLimits) { self.limits = limits }

    /// `false` when there are too many.
    public mutating func add(seed: String) -> Bool {
        guard !seeds.contains(seed) else { return true }
        guard seeds.count < Self.maximumSeeds else { return false }
        seeds.append(seed)
        return true
    }

    public mutating func remove(seed: String) {
        seeds.removeAll { $0 == seed }
        failures[.seed(seed)] = nil
    }

    mutating func answered(_ partner: Partner) {
        failures[partner] = nil
        guard case .node = partner else {
            hasSeedAnswered = true
            return
        }
        proven.removeAll { $0 == partner }
        proven.append(partner)
        if proven.count > Self.maximumProven { proven.removeFirst() }
    }

    mutating func failed(_ partner: Partner, at now: Instant) {
        let count = (failures[partner]?.count ?? 0) + 1
        if failures[partner] == nil, failures.count >= limits.pauses.failures {
            // Those whose time is over first; where there is none, the one that is over soonest.
            failures = failures.filter { $0.value.until > now }
            if failures.count >= limits.pauses.failures,
                let soonest = failures.min(by: { $0.value.until < $1.value.until })
            {
                failures[soonest.key] = nil
            }
        }
        if count >= Self.patience { proven.removeAll { $0 == partner } }
        // Without a partner there is nothing but the seeds.
        let longest =
            proven.isEmpty && seeds.contains(where: { partner == .seed($0) })
            ? limits.pauses.firstPause * 2 : limits.pauses.longestPause
        let pause = min(longest, limits.pauses.firstPause * (1 << min(count - 1, 16)))
        failures[partner] = Failure(count: count, until: now + pause)
    }

    private func isResting(_ partner: Partner, _ now: Instant) -> Bool {
        failures[partner].map { $0.until > now } ?? false
    }

    /// Partners for one round, no two the same. All but the last are nodes that have answered before, where there are
    /// any; the last is anybody. So rows that somebody made up get a third of a node's attention at most.
    mutating func choose(
        _ count: Int, from table: RecordTable, own: NodeKey, wantsSeed: Bool, hosts: inout DialledHosts,
        at now: Instant, mayDial: (HostAddress) -> Bool, using random: inout SeededGenerator
    ) -> [Partner] {
        var chosen: [Partner] = []
        // A newcomer keeps to its seed until others have answered: rows alone may all be made up. But not for every
        // question, for there may be a thousand newcomers with that one seed.
        let isNew = proven.count < limits.partners
        let hasChoice = hasSeedAnswered && !table.contacts.isEmpty
        let asksSeed = wantsSeed || (isNew && (!hasChoice || random.next() % 8 == 0))
        if asksSeed, let seed = seed(now) { chosen.append(seed) }
        while chosen.count < count - 1, let partner = provenPartner(now, chosen, &random) { chosen.append(partner) }
        while chosen.count < count, let partner = node(table, own, &hosts, now, mayDial, chosen, &random) {
            chosen.append(partner)
        }
        if chosen.isEmpty, let partner = provenPartner(now, chosen, &random) ?? seed(now) { chosen.append(partner) }
        return chosen
    }

    private func provenPartner(
        _ now: Instant, _ chosen: [Partner], _ random: inout SeededGenerator
    ) -> Partner? {
        for _ in 0..<min(8, proven.count) {
            let partner = proven[Int(random.next() % UInt64(proven.count))]
            if !chosen.contains(partner), !isResting(partner, now) { return partner }
        }
        return nil
    }

    /// One after the other.
    private mutating func seed(_ now: Instant) -> Partner? {
        for _ in seeds {
            nextSeed = (nextSeed + 1) % seeds.count
            let seed = Partner.seed(seeds[nextSeed])
            if !isResting(seed, now) { return seed }
        }
        return nil
    }

    /// Each host is as likely as any other, however many rows name it: who fills tables with rows that point to
    /// somebody else's host gets no more dials there than one row would.
    private func node(
        _ table: RecordTable, _ own: NodeKey, _ hosts: inout DialledHosts, _ now: Instant,
        _ mayDial: (HostAddress) -> Bool, _ chosen: [Partner], _ random: inout SeededGenerator
    ) -> Partner? {
        guard !table.contacts.isEmpty else { return nil }
        for _ in 0..<24 {
            let tag = table.contacts[Int(random.next() % UInt64(table.contacts.count))]
            guard let record = table.record(tag: tag), record.key != own else { continue }
            let addresses = record.record.addresses
            let address = addresses[Int(random.next() % UInt64(addresses.count))]
            let sharers = UInt64(table.hosts[address.host] ?? 1)
            guard sharers == 1 || random.next() % sharers == 0 else { continue }
            let partner = Partner.node(record.key, address)
            guard mayDial(address.host), !chosen.contains(partner), !isResting(partner, now),
                hosts.mayDial(record.key, at: address, rows: table.count, at: now, using: &random)
            else { continue }
            hosts.begun(record.key, at: address, now)
            return partner
        }
        return nil
    }
}
