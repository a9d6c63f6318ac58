internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// A lane's pools by membership. Where descriptors are short, the membership with the most unused channels gives some
/// up.
struct MembershipPools {
    /// Channels that go at once.
    private static let shedding = 16

    private var members: [Grant.Membership: ChannelPool.Member] = [:]
    /// Nothing was left to shed; looked for anew with the next tick.
    private var hasShedAll = false

    mutating func add(_ pool: ChannelPool, to membership: Grant.Membership) {
        let member = members[membership] ?? ChannelPool.Member()
        members[membership] = member
        member.pools[pool.session] = pool
        pool.member = member
        pool.membership = membership
    }

    mutating func remove(_ pool: ChannelPool) {
        guard let membership = pool.membership, let member = members[membership] else { return }
        member.pools[pool.session] = nil
        if member.pools.isEmpty { members[membership] = nil }
    }

    mutating func timePassed() { hasShedAll = false }

    /// Closes channels that nobody uses or wants, where descriptors are short: the oldest ones of the membership that
    /// has most of them on this lane.
    ///
    /// - Returns: the load after that.
    mutating func shed(_ reserve: ReserveGate, at load: ReserveGate.Load) -> ReserveGate.Load {
        guard !hasShedAll, reserve.isShortOfDescriptors(at: load) else { return load }
        let most = members.values.map { (member: $0, surplus: $0.surplus) }.max { $0.surplus < $1.surplus }
        guard let most, most.surplus > 0 else {
            hasShedAll = true
            return load
        }
        for _ in 0..<Self.shedding {
            let pools = most.member.pools.values.filter { $0.surplus > 0 }
            guard let pool = pools.max(by: { $0.ready[0].age < $1.ready[0].age }) else { break }
            pool.ready.removeFirst().close()
        }
        // Who came got a high number, and lower ones are free by now.
        return ReserveGate.Load(descriptors: Descriptor.openCount, buffered: load.buffered)
    }
}
