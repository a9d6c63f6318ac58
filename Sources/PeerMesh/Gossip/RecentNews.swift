/// Tags of records that were renewed lately, the latest first: a few of each network that records came from, so that who
/// renews his own without end takes no other's place.
struct RecentNews: Sendable {
    static let capacity = 64
    static let ofNetwork = 8

    private var entries: [(tag: UInt64, near: SourceKey)] = []

    var tags: [UInt64] { entries.reversed().map(\.tag) }

    mutating func add(_ tag: UInt64, from source: SourceKey) {
        entries.removeAll { $0.tag == tag }
        let alike = entries.indices.filter { entries[$0].near == source.near }
        if alike.count >= Self.ofNetwork { entries.remove(at: alike[0]) }
        if entries.count >= Self.capacity { entries.removeFirst() }
        entries.append((tag, source.near))
    }
}
