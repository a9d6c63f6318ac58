/// Tags of records that were renewed lately. A node that renews its own record without end takes no other's place, and
/// neither does a network with many such nodes.
struct RecentNews: Sendable {
    static let capacity = 64

    private struct Entry: Sendable {
        var tag: UInt64
        var near: SourceKey
        /// How often the record was renewed in the minute that this renewal is in.
        var renewals: UInt16
    }

    /// The latest last.
    private var entries: [Entry] = []

    /// What is renewed seldom comes first; of what is renewed as often, the latest of each network before any network's
    /// second one.
    var tags: [UInt64] {
        var ofNetwork: [SourceKey: Int] = [:]
        let ranked = entries.reversed().enumerated().map { age, entry in
            defer { ofNetwork[entry.near, default: 0] += 1 }
            return (entry: entry, rank: ofNetwork[entry.near] ?? 0, age: age)
        }
        return ranked.sorted { ($0.entry.renewals, $0.rank, $0.age) < ($1.entry.renewals, $1.rank, $1.age) }.map(
            \.entry.tag)
    }

    mutating func add(_ tag: UInt64, from source: SourceKey, renewals: UInt16) {
        if let place = entries.firstIndex(where: { $0.tag == tag }) { entries.remove(at: place) }
        entries.append(Entry(tag: tag, near: source.near, renewals: renewals))
        guard entries.count > Self.capacity else { return }
        // Of the network with most, and there of what is renewed most often, the oldest goes.
        var ofNetwork: [SourceKey: Int] = [:]
        for entry in entries { ofNetwork[entry.near, default: 0] += 1 }
        var leaving = (place: 0, count: 0, renewals: UInt16(0))
        for (place, entry) in entries.enumerated() {
            let count = ofNetwork[entry.near] ?? 0
            if (count, entry.renewals) > (leaving.count, leaving.renewals) { leaving = (place, count, entry.renewals) }
        }
        entries.remove(at: leaving.place)
    }
}
