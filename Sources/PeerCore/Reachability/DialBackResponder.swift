public import PeerWire

/// The witness's side of a dial-back: whom to dial for whom, and how often. No I/O.
///
/// Nobody can aim it at somebody else. The host that is dialled is the one that the request came from, over a
/// connection whose handshake is done, so the address is not made up; a request that came through a relay's tunnel is
/// refused, for its address is only what the relay says. What is left is that who shares an address with others (a
/// NAT) has some of its ports dialled: four dials a minute at most for each address, a TLS hello each, and never a
/// second one while the first is under way. Hosts that a node does not dial on others' word (`DialPolicy`) are not
/// dialled here either.
///
/// And nobody can keep it busy for the others: places and dials are counted by network in two steps. A network whose
/// last dial ran into its limit has one place at a time for a minute, and all such networks together have few. Whom
/// this node itself has dialled there lately has places of its own: so in an office or a lab, where all share one
/// network, those that cannot be reached keep none of its relays waiting.
public struct DialBackResponder: Sendable {
    public struct Limits: Hashable, Sendable {
        /// Dials for one source address within `span`, and for one key.
        public var dialsPerSource = 4
        public var dialsPerKey = 4
        public var span = Instant.Span.seconds(60)
        /// Dials within `span` for a network and for a wide one (`NetworkSteps`).
        public var dialsPerNear = 64
        public var dialsPerWide = 256
        /// Dials a second, for all.
        public var dialsPerSecond = 16
        /// At once: for all, for a network, for a wide one, and for all those together that are slow.
        public var atOnce = 16
        public var atOnceOfNear = 4
        public var atOnceOfWide = 8
        public var atOnceOfSlow = 4
        /// For nodes that this one has dialled where they ask from: of a network, and of a wide one, besides.
        public var atOnceOfNearMet = 2
        public var atOnceOfWideMet = 4
        /// A dial that takes longer, TLS included, has failed.
        public var dialLimit = Instant.Span.seconds(4)
        /// Sources and keys that are counted each for itself; while there are more, further ones are refused.
        public var counted = 4_096

        public init() {}
    }

    /// What a request came over.
    public struct Asker: Hashable, Sendable {
        /// Proven by the connection.
        public var key: NodeKey
        /// Where the connection comes from.
        public var observed: NodeAddress
        /// Whether it came to this node's own port, not through a relay.
        public var isDirect: Bool
        /// Whether this node has dialled that key at that host lately, and was answered the last time.
        public var isMet: Bool

        public init(key: NodeKey, observed: NodeAddress, isDirect: Bool, isMet: Bool = false) {
            self.key = key
            self.observed = observed
            self.isDirect = isDirect
            self.isMet = isMet
        }
    }

    public enum Action: Hashable, Sendable {
        /// Connect, accept the asker's key and no other, hand over the nonce; then `dialled`.
        case dial(UInt64, NodeAddress, key: NodeKey, nonce: [UInt8])
        /// Say so to the asker.
        case answer(DialBackAnswer.Outcome, observed: NodeAddress)
    }

    /// The end of a dial.
    public enum Result: Hashable, Sendable {
        /// Sign this and send it, with what was observed.
        case attest(DialBackStatement.Content, observed: NodeAddress)
        case answer(DialBackAnswer.Outcome, observed: NodeAddress)
    }

    private enum Payer: Hashable, Sendable {
        case source(Network)
        case near(Network)
        case wide(Network)
        case key(NodeKey)
    }

    private struct Dial: Sendable {
        var asker: Asker
        var address: NodeAddress
        var place: NetworkSteps
        var deadline: Instant
    }

    public let own: NodeKey
    private let limits: Limits
    private let mayDial: @Sendable (HostAddress) -> Bool
    private var dials: [UInt64: Dial] = [:]
    /// When each of the last dials was, for whoever they count against.
    private var recent: [Payer: [Instant]] = [:]
    /// Networks whose last dial ran into its limit, and until when that counts.
    private var slow: [Network: Instant] = [:]
    private var all: RateBucket
    private var nextNumber: UInt64 = 1

    public init(own: NodeKey, limits: Limits = Limits(), mayDial: @escaping @Sendable (HostAddress) -> Bool) {
        self.own = own
        self.limits = limits
        self.mayDial = mayDial
        all = RateBucket(perSecond: limits.dialsPerSecond, at: .zero)
    }

    /// When `timePassed` is due; `nil` while nothing is under way.
    public var nextDeadline: Instant? { dials.values.map(\.deadline).min() }

    /// Those that are counted, for tests of the bound.
    var countedPayers: Int { recent.count }

    public mutating func asked(_ request: DialBackRequest, by asker: Asker, at now: Instant) -> Action {
        guard asker.isDirect, asker.key != own, mayDial(asker.observed.host),
            DialPolicy.allows(port: request.port, for: .node),
            let address = NodeAddress(host: asker.observed.host, port: request.port)
        else { return .answer(.notDialled, observed: asker.observed) }
        let place = NetworkSteps(of: asker.observed.host)
        let payers = [
            Payer.source(SourceGate.source(of: asker.observed.host)), .near(place.near), .wide(place.wide),
            .key(asker.key),
        ]
        guard hasRoom(for: asker, place, now), mayPay(payers, now), all.take(1, at: now) else {
            return .answer(.busy, observed: asker.observed)
        }
        for payer in payers { recent[payer, default: []].append(now) }
        defer { nextNumber += 1 }
        dials[nextNumber] = Dial(asker: asker, address: address, place: place, deadline: now + limits.dialLimit)
        return .dial(nextNumber, address, key: asker.key, nonce: request.nonce)
    }

    /// The dial has ended: `reached` if the asker's key answered and the nonce was handed over.
    public mutating func dialled(_ number: UInt64, reached: Bool, at wall: WallTime) -> Result? {
        guard let dial = dials.removeValue(forKey: number) else { return nil }
        guard reached else { return .answer(.notReached, observed: dial.asker.observed) }
        return .attest(
            DialBackStatement.Content(
                subject: dial.asker.key, witness: own, time: wall.seconds, address: dial.address),
            observed: dial.asker.observed)
    }

    private func isSlow(_ network: Network, _ now: Instant) -> Bool { slow[network].map { now < $0 } ?? false }

    private func hasRoom(for asker: Asker, _ place: NetworkSteps, _ now: Instant) -> Bool {
        guard dials.count < limits.atOnce,
            !dials.values.contains(where: { $0.asker.observed.host == asker.observed.host })
        else { return false }
        let alike = dials.values.filter { $0.asker.isMet == asker.isMet }
        let near = alike.count { $0.place.near == place.near }
        let wide = alike.count { $0.place.wide == place.wide }
        if asker.isMet { return near < limits.atOnceOfNearMet && wide < limits.atOnceOfWideMet }
        guard near < limits.atOnceOfNear, wide < limits.atOnceOfWide else { return false }
        guard isSlow(place.near, now) else { return true }
        return near == 0 && alike.count { isSlow($0.place.near, now) } < limits.atOnceOfSlow
    }

    private mutating func noteSlow(_ network: Network, _ now: Instant) {
        if slow.count >= limits.counted { slow = slow.filter { now < $0.value } }
        if slow.count < limits.counted { slow[network] = now + limits.span }
    }

    /// Dials that took too long: close them, and answer.
    public mutating func timePassed(at now: Instant) -> [(number: UInt64, result: Result)] {
        let late = dials.filter { $0.value.deadline <= now }.keys.sorted()
        for number in late { if let place = dials[number]?.place { noteSlow(place.near, now) } }
        return late.compactMap { number in
            dials.removeValue(forKey: number).map { (number, .answer(.notReached, observed: $0.asker.observed)) }
        }
    }

    private func limit(of payer: Payer) -> Int {
        switch payer {
        case .source: limits.dialsPerSource
        case .near: limits.dialsPerNear
        case .wide: limits.dialsPerWide
        case .key: limits.dialsPerKey
        }
    }

    private mutating func mayPay(_ payers: [Payer], _ now: Instant) -> Bool {
        if recent.count + payers.count > limits.counted {
            recent = recent.filter { $0.value.contains { now - $0 < limits.span } }
        }
        guard recent.count + payers.count <= limits.counted else { return false }
        for payer in payers {
            guard let former = recent[payer] else { continue }
            let left = former.filter { now - $0 < limits.span }
            recent[payer] = left.isEmpty ? nil : left
            guard left.count < limit(of: payer) else { return false }
        }
        return true
    }
}
