/// Tags of records that were renewed lately, the latest first: a few of each network that records came from, so that who
/// renews his own without end takes no other's place.
struct RecentNews: Sendable {
    static let capacity = 64
    static let ofNetwork = 8

    private var entries: [(tag: UInt64, near: SourceKey)] = []

    var tags: [UInt64] { entries.reversed().map(\.tag) }

    mutating func add(_ tag: UInt64, from source: SourceKey) {
        let near = source.near
        if let place = entries.firstIndex(where: { $0.tag == tag }) { entries.remove(at: place) }
        if entries.count(where: { $0.near == near }) >= Self.ofNetwork,
            let place = entries.firstIndex(where: { $0.near == near })
        {
            entries.remove(at: place)
        }
        if entries.count >= Self.capacity { entries.removeFirst() }
        entries.append((tag, near))
    }
}
