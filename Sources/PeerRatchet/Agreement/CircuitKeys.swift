public import PeerCore
public import PeerWire

/// A node's own keys for circuits: the one that lasts as long as the process, the prekey of the day, the former ones as
/// long as others may still have read of them, and which first messages have come for each. Nothing of it is ever
/// written down: after a restart there are others.
public struct CircuitKeys: Sendable {
    /// So long one is told to others.
    public static let lifetime = Instant.Span.seconds(86_400)
    /// So long it serves after that.
    public static let afterlife = Instant.Span.seconds(2 * 86_400)
    /// First messages that are remembered for one. A prekey that has had so many serves no longer, and another one is
    /// told: what is forgotten could be played again.
    public static let maximumFirstMessages = 16_384
    /// With those that are gone before their time, for they were full.
    private static let maximumCount = 8

    struct Prekey: Sendable {
        let number: UInt32
        let pair: AgreementPair
        let made: Instant
        /// The initiators' keys for one circuit each.
        var seen: Set<AgreementKey> = []

        var isFull: Bool { seen.count >= CircuitKeys.maximumFirstMessages }
    }

    public let identity: SignedIdentity
    let pair: AgreementPair
    /// The oldest first; never empty.
    private var prekeys: [Prekey]

    public init(of node: NodeIdentity, at now: Instant, using random: inout some RandomNumberGenerator) {
        pair = AgreementPair(using: &random)
        identity = SignedIdentity(pair.key, of: node)
        prekeys = [Prekey(number: random.next(), pair: AgreementPair(using: &random), made: now)]
    }

    /// What others are to be told.
    public func bundle(of node: NodeIdentity) -> PrekeyBundle {
        let latest = prekeys[prekeys.count - 1]
        return PrekeyBundle(identity, number: latest.number, prekey: latest.pair.key, of: node)
    }

    /// When `renew` should be called at the latest.
    public var nextDeadline: Instant {
        let latest = prekeys[prekeys.count - 1]
        return latest.isFull ? latest.made : latest.made + Self.lifetime
    }

    /// - Returns: whether there is another one to be told.
    public mutating func renew(at now: Instant, using random: inout some RandomNumberGenerator) -> Bool {
        let latest = prekeys[prekeys.count - 1].number
        prekeys.removeAll { $0.number != latest && now >= $0.made + Self.lifetime + Self.afterlife }
        guard now >= nextDeadline else { return false }
        let number = latest &+ 1
        prekeys.append(Prekey(number: number, pair: AgreementPair(using: &random), made: now))
        if prekeys.count > Self.maximumCount { prekeys.removeFirst() }
        return true
    }

    /// - Throws: `prekeyGone`, `replayed`.
    func pair(for number: UInt32, ephemeral: AgreementKey) throws(RatchetError) -> AgreementPair {
        guard let prekey = prekeys.first(where: { $0.number == number }), !prekey.isFull else { throw .prekeyGone }
        guard !prekey.seen.contains(ephemeral) else { throw .replayed }
        return prekey.pair
    }

    /// Only what has proven genuine is remembered: nothing else takes up room.
    mutating func remember(_ ephemeral: AgreementKey, for number: UInt32) {
        guard let index = prekeys.firstIndex(where: { $0.number == number }) else { return }
        prekeys[index].seen.insert(ephemeral)
    }
}
