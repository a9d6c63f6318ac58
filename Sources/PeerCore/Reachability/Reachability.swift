public import PeerWire

/// Whether this node can be dialled from elsewhere, by asking others to do so. No I/O.
///
/// ```
///            ask(partner, nonce, port)      dial, nonce
/// this node ────────────────────▶ witness ──────────────▶ this node's port
///           ◀──────────────────── answer: what it saw, and its statement
/// ```
/// The nonce goes to one witness only; when it arrives over a connection from that witness, the dial is a fact and not
/// a word. A witness's "not reached" is a word: it takes more of those than of facts to say that a node is not public.
public struct Reachability: Sendable {
    /// How many witnesses agree before anything is believed, where there are so many.
    public static let witnesses = 2
    /// Witnesses asked in a row, and remembered.
    public static let asked = 4
    public static let remembered = 16
    /// Those that gave no answer, remembered.
    static let maximumSilent = 256
    /// Words that came unasked and are remembered: in all, of one network, of a wide one (`NetworkSteps`).
    public static let maximumVouches = 16
    public static let vouchesOfNear = 4
    public static let vouchesOfWide = 8
    /// After that a witness's word is old. Its statement stands in the record as long (`RelayProof.lifetime`).
    public static let lifetime = Instant.Span.seconds(1_800)
    /// Between two askings while nothing is decided, twice as long each time up to the second one; and afterwards.
    public static let firstPause = Instant.Span.seconds(1)
    public static let undecidedPause = Instant.Span.seconds(20)
    public static let longestPause = Instant.Span.seconds(600)
    /// Who got through is not asked again before: a witness has four dials a minute for each source
    /// (`DialBackResponder`), and after a restart they are needed.
    static let rest = Instant.Span.seconds(60)
    /// A witness that did not answer is given up.
    public static let askLimit = Instant.Span.seconds(8)

    public enum Standing: Hashable, Sendable {
        /// Too few have answered.
        case unknown
        /// Others have dialled these addresses and met this node.
        case reachable([NodeAddress])
        /// Others have tried and did not get through.
        case notReachable
    }

    public enum Action: Hashable, Sendable {
        /// Ask for a dial-back to this port; then `answered` or `failed`.
        case ask(NodeKey, DialBackRequest)
        /// The standing or its witnesses have changed: write the record anew.
        case changed(Standing)
    }

    /// What one witness said.
    struct Word: Sendable {
        var at: Instant
        var observed: NodeAddress
        var statement: DialBackStatement?
        /// It came unasked, from a node that this one cannot dial: where that comes from.
        var voucher: HostAddress?
        /// Where the witness was asked.
        var host: HostAddress?
    }

    private struct Pending: Sendable {
        var nonce: [UInt8]
        var port: UInt16
        var since: Instant
        var hasArrived = false
    }

    public let own: NodeKey
    public let port: UInt16
    public private(set) var standing = Standing.unknown
    private(set) var words: [NodeKey: Word] = [:]
    private var pending: [NodeKey: Pending] = [:]
    private var silent: Set<NodeKey> = []
    private var nextAsking = Instant.zero
    private var pause = Reachability.firstPause
    private let isGenuine: @Sendable (DialBackStatement, NodeKey) -> Bool

    /// - Parameter port: the server port, as others would dial it.
    public init(
        own: NodeKey, port: UInt16,
        isGenuine: @escaping @Sendable (DialBackStatement, NodeKey) -> Bool = { $0.isGenuine(of: $1) }
    ) {
        self.own = own
        self.port = port
        self.isGenuine = isGenuine
    }

    public var nextDeadline: Instant {
        min(nextAsking, pending.values.map { $0.since + Self.askLimit }.min() ?? nextAsking)
    }

    /// Statements for the record, each of an address that counts as reachable. They stay the same until they are half
    /// as old as they may become: each change is a record that goes to everybody.
    public private(set) var statements: [DialBackStatement] = []

    /// Seconds by the witness's clock, after which its newer statement takes the place of the one in the record.
    static let statementRenewal: Int64 = 900

    private func chosenStatements(_ now: Instant) -> [DialBackStatement] {
        guard case .reachable(let addresses) = standing else { return [] }
        let kept = statements.filter { statement in
            guard let word = words[statement.witness] else { return false }
            // A witness says it anew every few minutes: what counts is how old the statement is that the record has.
            let age = (word.statement?.time ?? .max).subtractingReportingOverflow(statement.time).partialValue
            return now - word.at < Self.lifetime / 2 && age < Self.statementRenewal
                && word.statement?.address == statement.address
        }
        if kept.count >= needed, kept.allSatisfy({ addresses.contains($0.address) }) {
            return kept
        }
        let fit = words.values.compactMap(\.statement).filter { addresses.contains($0.address) }
        return Array(
            fit.sorted { ($0.time, $1.witness.tag) > ($1.time, $0.witness.tag) }.prefix(NodeRecord.maximumWitnesses))
    }

    /// Where others see this node, by how many of them: the most first.
    public var observedHosts: [(host: HostAddress, witnesses: Int)] {
        var counts: [HostAddress: Int] = [:]
        for word in words.values { counts[word.observed.host, default: 0] += 1 }
        return counts.map { ($0.key, $0.value) }
            .sorted { ($1.witnesses, $0.host.description) < ($0.witnesses, $1.host.description) }
    }

    /// The address of this machine changed: what was found out holds no longer.
    public mutating func networkChanged(at now: Instant) -> [Action] {
        words = [:]
        pending = [:]
        silent = []
        pause = Self.firstPause
        nextAsking = now
        return judge(now)
    }

    /// There are so many nodes that could be asked. Where it takes more of them than have answered, they are asked at
    /// once instead of at the next turn, which may be ten minutes off.
    public mutating func knows(available count: Int, at now: Instant) {
        askable = max(1, count)
        let reached = words.values.count { $0.statement != nil }
        guard case .reachable = standing, reached < min(Self.witnesses, askable), pending.isEmpty else { return }
        nextAsking = min(nextAsking, now)
        pause = Self.firstPause
    }

    /// - Parameter partners: nodes that can be asked directly, in any order; those that were not asked yet go first.
    public mutating func timePassed(
        at now: Instant, partners: [NodeKey], using random: inout some RandomNumberGenerator
    ) -> [Action] {
        for (late, _) in pending.filter({ now >= $0.value.since + Self.askLimit }) { failed(late) }
        var actions = judge(now)
        guard now >= nextAsking else { return actions }
        // Those that are gone for good make room.
        silent.formIntersection(partners)
        nextAsking = now + pause
        pause = standing == .unknown ? min(pause * 2, Self.undecidedPause) : Self.longestPause
        let rested = partners.filter { partner in
            !(words[partner].map { $0.statement != nil && now - $0.at < Self.rest } ?? false)
        }
        let others = rested.filter { $0 != own && pending[$0] == nil }.shuffled(using: &random)
        let known = Set(words.keys)
        let order = others.filter { !known.contains($0) } + others.filter { known.contains($0) }
        for partner in order.prefix(Self.asked - min(Self.asked, pending.count)) {
            let nonce = (0..<DialBackRequest.nonceByteCount).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
            pending[partner] = Pending(nonce: nonce, port: port, since: now)
            actions.append(.ask(partner, DialBackRequest(nonce: nonce, port: port)))
        }
        return actions
    }

    /// A nonce came in over a connection to the server port, from the node with this key.
    ///
    /// - Returns: whether it was waited for; other dials are nobody's.
    public mutating func arrived(nonce: [UInt8], from witness: NodeKey) -> Bool {
        guard pending[witness]?.nonce == nonce else { return false }
        pending[witness]?.hasArrived = true
        return true
    }

    /// - Parameters:
    ///   - host: where the witness was asked: of each source one word counts, the last; `nil`: it counts by itself.
    ///   - available: sources of nodes that could be asked at all: with a single one, its word has to do.
    public mutating func answered(
        _ answer: DialBackAnswer, by witness: NodeKey, from host: HostAddress? = nil, available: Int, at now: Instant
    ) -> [Action] {
        silent.remove(witness)
        guard let asked = pending.removeValue(forKey: witness) else { return [] }
        askable = available
        switch answer.outcome {
        case .reached:
            guard let statement = answer.statement, asked.hasArrived, statement.witness == witness,
                statement.address.port == asked.port, statement.address.host == answer.observed.host,
                isGenuine(statement, own)
            else { return judge(now) }
            remember(witness, Word(at: now, observed: answer.observed, statement: statement, host: host))
        case .notReached: remember(witness, Word(at: now, observed: answer.observed, statement: nil, host: host))
        case .busy, .notDialled: break
        }
        return judge(now)
    }

    public mutating func failed(_ witness: NodeKey) {
        pending[witness] = nil
        if silent.count < Self.maximumSilent { silent.insert(witness) }
    }

    /// Whether that one was asked, and last time gave no answer: it is not waited for.
    public func isSilent(_ witness: NodeKey) -> Bool { silent.contains(witness) }

    /// A node that holds a session here says where it reached this one. It counts only as long as nobody who was asked
    /// has said anything: those were chosen by this node, and these come by themselves.
    ///
    /// - Parameter source: where the connection came from; words are counted by that, whatever keys they have.
    /// - Returns: whether it counts.
    public mutating func vouched(
        _ statement: DialBackStatement, by witness: NodeKey, from source: HostAddress, at now: Instant
    ) -> (counts: Bool, actions: [Action]) {
        let expired = judge(now)
        guard witness != own, statement.witness == witness, statement.address.port == port, vouches == words.count,
            words[witness] != nil || hasRoomForVouch(from: source), isGenuine(statement, own)
        else { return (false, expired) }
        words[witness] = Word(at: now, observed: statement.address, statement: statement, voucher: source)
        return (true, expired + judge(now))
    }

    private func hasRoomForVouch(from source: HostAddress) -> Bool {
        let others = words.values.compactMap(\.voucher)
        let (place, network) = (NetworkSteps(of: source), SourceGate.source(of: source))
        return others.count < Self.maximumVouches && !others.contains { SourceGate.source(of: $0) == network }
            && others.count { NetworkSteps(of: $0).near == place.near } < Self.vouchesOfNear
            && others.count { NetworkSteps(of: $0).wide == place.wide } < Self.vouchesOfWide
    }

    /// Words grow old also while there is nobody to ask.
    public mutating func expire(at now: Instant) -> [Action] { judge(now) }

    /// Nodes that can be asked, as far as is known.
    private var askable = Reachability.witnesses
    private var vouches: Int { words.values.count { $0.voucher != nil } }

    /// How many have to agree: two, where there are two. Where none of them was asked, those are meant that came.
    private var needed: Int { max(1, min(Self.witnesses, vouches > 0 ? vouches : askable)) }

    private mutating func remember(_ witness: NodeKey, _ word: Word) {
        let source = word.host.map(SourceGate.source)
        words = words.filter {
            $0.value.voucher == nil && (source == nil || $0.value.host.map(SourceGate.source) != source)
        }
        words[witness] = word
        if words.count > Self.remembered, let oldest = words.min(by: { $0.value.at < $1.value.at }) {
            words[oldest.key] = nil
        }
    }

    /// Words that came unasked about addresses of that family.
    private func votes(like address: NodeAddress) -> Int {
        words.values.count { $0.voucher != nil && $0.observed.host.isIPv6 == address.host.isIPv6 }
    }

    private mutating func judge(_ now: Instant) -> [Action] {
        words = words.filter { now - $0.value.at < Self.lifetime }
        let former = standing
        var reached: [NodeAddress: Int] = [:]
        for word in words.values { word.statement.map { reached[$0.address, default: 0] += 1 } }
        let failures = words.values.count { $0.statement == nil }
        // Who comes unasked may come with its like: of those, more than half have to agree.
        let proven = reached.filter { $0.value >= needed && $0.value >= failures && $0.value * 2 > votes(like: $0.key) }
        if !proven.isEmpty {
            standing = .reachable(
                proven.keys.sorted { (proven[$1] ?? 0, $0.description) < (proven[$0] ?? 0, $1.description) })
        } else if failures >= needed, failures > reached.values.reduce(0, +) {
            standing = .notReachable
        } else {
            standing = .unknown
        }
        if standing == .unknown, former != .unknown {
            pause = Self.firstPause
            nextAsking = min(nextAsking, now)
        }
        let next = chosenStatements(now)
        guard standing != former || next != statements else { return [] }
        statements = next
        return [.changed(standing)]
    }
}
