public import PeerWire

/// How many handshakes one source may begin in a second, and have unfinished at once. A source is an IPv4 address or an
/// IPv6 /64: whoever has one address of a /64 has all of them.
///
/// The table is bounded, and no source can wash off its own count by filling it: a source is forgotten only when that
/// changes nothing, which is when none of its handshakes is open and its bucket is full again (a second after its last
/// one at the latest). While there is no room, a newcomer is counted on one of the shared slots instead, together with
/// the others that fall there. Which slot that is depends on `seed`, so nobody can aim at the slot of somebody else;
/// whoever fills the table slows strangers down, but not the sources that are in it, and never resets itself.
///
/// A source with a live session (`vouch`) opens data channels as fast as its visitors come: no rate counts for it, and
/// four times as many may be unfinished. What its members do is held by the limits of their membership.
public struct SourceGate: Sendable {
    public struct Limits: Hashable, Sendable {
        public var handshakesPerSecond: Int
        public var halfOpen: Int

        /// Numbers below 1 are 1.
        public init(handshakesPerSecond: Int = 50, halfOpen: Int = 64) {
            self.handshakesPerSecond = max(1, handshakesPerSecond)
            self.halfOpen = max(1, halfOpen)
        }
    }

    /// An admitted handshake, to be given back by `finished` exactly once: when it is proven, failed, or closed.
    public struct Ticket: Hashable, Sendable {
        fileprivate let slot: Int
    }

    public enum Verdict: Hashable, Sendable {
        case admitted(Ticket)
        /// Too many in this second.
        case tooFast
        /// Too many are not finished yet.
        case tooManyHalfOpen
    }

    private struct Slot: Sendable {
        /// `nil`: free, or shared.
        var source: Network?
        var bucket: RateBucket
        var halfOpen = 0
    }

    /// Slots that are shared by those that find no room.
    static let sharedSlots = 1_024
    /// How many times as many handshakes a vouched source may have unfinished.
    static let vouchedShare = 4
    /// How many slots are looked at for one that may be forgotten, for each newcomer.
    private static let looks = 8

    public let limits: Limits
    private let capacity: Int
    private let seed: UInt64
    /// The shared ones first, then one for each source.
    private var slots: [Slot]
    private var known: [Network: Int] = [:]
    private var free: [Int] = []
    /// Live sessions of each source.
    private var vouched: [Network: Int] = [:]
    private var hand: Int

    /// - Parameters:
    ///   - capacity: sources that are counted each for itself; about 150 bytes each once they come.
    ///   - seed: random, and known to nobody else.
    public init(_ limits: Limits, capacity: Int = 16_384, seed: UInt64) {
        self.limits = limits
        self.capacity = max(1, capacity)
        self.seed = seed
        let bucket = RateBucket(perSecond: limits.handshakesPerSecond, at: .zero)
        slots = Array(repeating: Slot(bucket: bucket), count: Self.sharedSlots)
        hand = Self.sharedSlots
    }

    /// A connection came in that would begin a handshake.
    public mutating func admit(_ address: HostAddress, at now: Instant) -> Verdict {
        let source = Self.source(of: address)
        let isVouched = vouched[source] != nil
        let index = slot(for: source, now)
        guard slots[index].halfOpen < limits.halfOpen * (isVouched ? Self.vouchedShare : 1) else {
            return .tooManyHalfOpen
        }
        guard slots[index].bucket.take(1, at: now) || isVouched else { return .tooFast }
        slots[index].halfOpen += 1
        return .admitted(Ticket(slot: index))
    }

    public mutating func finished(_ ticket: Ticket) {
        slots[ticket.slot].halfOpen = max(0, slots[ticket.slot].halfOpen - 1)
    }

    /// A session from there stands, until `unvouch` is called as often.
    public mutating func vouch(for address: HostAddress) { vouched[Self.source(of: address), default: 0] += 1 }

    public mutating func unvouch(for address: HostAddress) {
        let source = Self.source(of: address)
        guard let count = vouched[source] else { return }
        vouched[source] = count > 1 ? count - 1 : nil
    }

    public func isVouched(_ address: HostAddress) -> Bool { vouched[Self.source(of: address)] != nil }

    /// Sources that are counted each for itself.
    public var sourceCount: Int { known.count }

    /// What counts as one source: an IPv4 address, an IPv6 /64.
    public static func source(of address: HostAddress) -> Network {
        Network(of: address, prefixLength: address.isIPv6 ? 64 : 32)
    }

    private mutating func slot(for source: Network, _ now: Instant) -> Int {
        if let index = known[source] { return index }
        forgetSome(now)
        let fresh = Slot(source: source, bucket: RateBucket(perSecond: limits.handshakesPerSecond, at: now))
        if let index = free.popLast() {
            slots[index] = fresh
            known[source] = index
            return index
        }
        guard slots.count < Self.sharedSlots + capacity else { return sharedSlot(of: source) }
        slots.append(fresh)
        known[source] = slots.count - 1
        return slots.count - 1
    }

    /// Moves a hand around the table: each newcomer pays for a few slots, nobody for all of them.
    private mutating func forgetSome(_ now: Instant) {
        let end = slots.count
        for _ in 0..<min(Self.looks, end - Self.sharedSlots) {
            hand = hand + 1 < end ? hand + 1 : Self.sharedSlots
            guard let source = slots[hand].source, slots[hand].halfOpen == 0, slots[hand].bucket.isFull(at: now)
            else { continue }
            slots[hand].source = nil
            known[source] = nil
            free.append(hand)
        }
    }

    private func sharedSlot(of source: Network) -> Int {
        // Any mixing that outsiders cannot foretell will do: SplitMix64 over the seed and the address.
        let mixed = source.address.bytes.reduce(seed) { mixed, byte in
            var generator = SeededGenerator(seed: mixed ^ UInt64(byte))
            return generator.next()
        }
        return Int(mixed % UInt64(Self.sharedSlots))
    }
}
