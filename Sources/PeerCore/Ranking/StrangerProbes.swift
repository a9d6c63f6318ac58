public import PeerWire

/// Which relays are asked for the first time, and when: those that have not answered this node yet. No I/O.
///
/// Whoever makes up rows must choose neither whom this node dials nor how often. So a relay whose witnesses this node
/// has met goes first, each network of witnesses as likely as any other; the word of a network whose relays did not
/// answer three times counts no more for an hour. Relays without such a witness are drawn now and then. How often a
/// host is dialled at all is up to `DialledHosts`.
public struct StrangerProbes: Sendable {
    public struct Limits: Hashable, Sendable {
        public var atOnce = 4
        /// Dials, and as many at once where there were none for a while.
        public var perSecond = 2
        public var burst = 16
        /// Between two dials without a witness that was met, after the first few.
        public var hearsayPause = Instant.Span.seconds(2)
        public var firstHearsay = 8
        /// A probe that takes longer has failed.
        public var probeLimit = Instant.Span.seconds(3)
        /// Failures after which a network of witnesses is not believed, unless as many answered.
        public var patience = 3
        public var doubtSpan = Instant.Span.seconds(3_600)
        /// Networks of witnesses, remembered.
        public var networks = 1_024

        public init() {}
    }

    public struct Candidate: Hashable, Sendable {
        public var key: NodeKey
        public var address: NodeAddress
        /// Where this node has met its witnesses; empty where it has met none.
        public var witnesses: [NetworkSteps]

        public init(key: NodeKey, address: NodeAddress, witnesses: [NetworkSteps]) {
            self.key = key
            self.address = address
            self.witnesses = witnesses
        }
    }

    private struct Record: Sendable {
        var failures = 0
        var answers = 0
        var last: Instant
    }

    public let limits: Limits
    private var pending: [NodeKey: (candidate: Candidate, since: Instant)] = [:]
    private var records: [Network: Record] = [:]
    private var dials: RateBucket
    private var hearsayLeft: Int
    private var nextHearsay = Instant.zero

    public init(_ limits: Limits = Limits()) {
        self.limits = limits
        dials = RateBucket(perSecond: limits.perSecond, burst: limits.burst, at: .zero)
        hearsayLeft = limits.firstHearsay
    }

    /// When a probe under way has taken too long.
    public var nextDeadline: Instant? { pending.values.map { $0.since + limits.probeLimit }.min() }

    /// Whether there is room for another probe.
    public var hasRoom: Bool { pending.count < limits.atOnce }

    /// Relays to be asked now, each once; then `ended`.
    ///
    /// - Parameter rows: records in the table.
    public mutating func next(
        _ candidates: [Candidate], hosts: inout DialledHosts, rows: Int, at now: Instant,
        using random: inout some RandomNumberGenerator
    ) -> [Candidate] {
        for late in pending.filter({ now - $0.value.since >= limits.probeLimit }).keys.sorted(by: { $0.tag < $1.tag }) {
            ended(late, answered: false, hosts: &hosts, at: now)
        }
        guard hasRoom, !candidates.isEmpty else { return [] }
        var chosen: [Candidate] = []
        var attested = Attested(candidates, isDoubted: { self.isDoubted($0, now) })
        while hasRoom, let candidate = attested.draw(using: &random) {
            guard pending[candidate.key] == nil,
                hosts.mayDial(candidate.key, at: candidate.address, rows: rows, at: now, using: &random)
            else { continue }
            guard dials.take(1, at: now) else { return chosen }
            chosen.append(begin(candidate, &hosts, now))
        }
        for _ in 0..<24 where hasRoom && (hearsayLeft > 0 || now >= nextHearsay) {
            let candidate = candidates[Int.random(in: 0..<candidates.count, using: &random)]
            guard pending[candidate.key] == nil,
                hosts.mayDial(candidate.key, at: candidate.address, rows: rows, at: now, using: &random)
            else { continue }
            guard dials.take(1, at: now) else { return chosen }
            hearsayLeft = max(0, hearsayLeft - 1)
            nextHearsay = now + limits.hearsayPause
            chosen.append(begin(candidate, &hosts, now))
        }
        return chosen
    }

    private mutating func begin(_ candidate: Candidate, _ hosts: inout DialledHosts, _ now: Instant) -> Candidate {
        pending[candidate.key] = (candidate, now)
        hosts.begun(candidate.key, at: candidate.address, now)
        return candidate
    }

    public mutating func ended(_ key: NodeKey, answered: Bool, hosts: inout DialledHosts, at now: Instant) {
        guard let candidate = pending.removeValue(forKey: key)?.candidate else { return }
        if answered {
            hosts.answered(key, at: candidate.address, now)
        } else {
            hosts.failed(key, at: candidate.address, now)
        }
        for network in Set(candidate.witnesses.map(\.near)) {
            if records[network] == nil, records.count >= limits.networks {
                records = records.filter { now - $0.value.last < limits.doubtSpan }
                guard records.count < limits.networks else { continue }
            }
            var record = records[network] ?? Record(last: now)
            if answered { record.answers += 1 } else { record.failures += 1 }
            record.last = now
            records[network] = record
        }
    }

    /// Whether a network of witnesses is not believed now.
    func isDoubted(_ network: Network, _ now: Instant) -> Bool {
        guard let record = records[network], now - record.last < limits.doubtSpan else { return false }
        return record.failures >= limits.patience && record.failures > record.answers
    }
}

/// Candidates by the networks of their witnesses, drawn so that each wide network is as likely as any other, and within
/// it each near one.
private struct Attested {
    private var wides: [Network] = []
    private var nears: [Network: [Network]] = [:]
    private var candidates: [Network: [StrangerProbes.Candidate]] = [:]

    init(_ all: [StrangerProbes.Candidate], isDoubted: (Network) -> Bool) {
        var doubted: [Network: Bool] = [:]
        for candidate in all {
            for place in candidate.witnesses {
                let isDoubted = doubted[place.near] ?? isDoubted(place.near)
                doubted[place.near] = isDoubted
                guard !isDoubted else { continue }
                if nears[place.wide] == nil { wides.append(place.wide) }
                if candidates[place.near] == nil { nears[place.wide, default: []].append(place.near) }
                candidates[place.near, default: []].append(candidate)
            }
        }
    }

    /// Each candidate of each network once at most.
    mutating func draw(using random: inout some RandomNumberGenerator) -> StrangerProbes.Candidate? {
        guard let wideIndex = wides.indices.randomElement(using: &random) else { return nil }
        let wide = wides[wideIndex]
        guard let nearIndex = nears[wide]?.indices.randomElement(using: &random), let near = nears[wide]?[nearIndex],
            var left = candidates.removeValue(forKey: near),
            let index = left.indices.randomElement(using: &random)
        else { return nil }
        left.swapAt(index, left.count - 1)
        let drawn = left.removeLast()
        if !left.isEmpty {
            candidates[near] = left
        } else {
            nears[wide]?.remove(at: nearIndex)
            if nears[wide]?.isEmpty == true {
                nears[wide] = nil
                wides.remove(at: wideIndex)
            }
        }
        return drawn
    }
}
