/// Tags of records that were renewed lately. A node that renews its own record without end takes no other's place, and
/// neither does a network with many such nodes.
struct RecentNews: Sendable {
    static let capacity = 64

    private struct Entry: Sendable {
        var tag: UInt64
        var near: SourceKey
        /// How often the record was renewed in the minute that this renewal is in.
        var renewals: UInt16
        /// Entries of the same network, this one included.
        var count: UInt8
        /// Of these, those that are later.
        var rank: UInt8 = 0
    }

    /// The latest last.
    private var entries: [Entry] = []

    /// What is renewed seldom comes first; of what is renewed as often, the latest of each network before any network's
    /// second one.
    var tags: [UInt64] {
        // One number for each to go by: how often it is renewed, its rank, its age and where it stands.
        let last = UInt64(entries.count)
        let order = entries.enumerated().map { place, entry in
            UInt64(entry.renewals) << 32 | UInt64(entry.rank) << 16 | (last - UInt64(place))
        }
        return order.sorted().map { entries[Int(last - $0 & 0xffff)].tag }
    }

    mutating func add(_ tag: UInt64, from source: SourceKey, renewals: UInt16) {
        if let place = entries.firstIndex(where: { $0.tag == tag }) { remove(at: place) }
        let near = source.near
        var count: UInt8 = 1
        for place in entries.indices where entries[place].near == near {
            entries[place].count += 1
            entries[place].rank += 1
            count = entries[place].count
        }
        entries.append(Entry(tag: tag, near: near, renewals: renewals, count: count))
        guard entries.count > Self.capacity else { return }
        // Of the network with most, and there of what is renewed most often, the oldest goes.
        var leaving = (place: 0, count: UInt8(0), renewals: UInt16(0))
        for place in entries.indices {
            let entry = entries[place]
            guard (entry.count, entry.renewals) > (leaving.count, leaving.renewals) else { continue }
            leaving = (place, entry.count, entry.renewals)
        }
        remove(at: leaving.place)
    }

    private mutating func remove(at place: Int) {
        let near = entries.remove(at: place).near
        for other in entries.indices where entries[other].near == near {
            entries[other].count -= 1
            if other < place { entries[other].rank -= 1 }
        }
    }
}
