public import PeerWire

/// A node key that was handed over to another one, as a relay remembers it.
public struct Retirement: Hashable, Sendable {
    public var former: NodeKey
    public var next: NodeKey
    /// Whose change it was; `nil` where that is not known any more.
    public var account: Grant.Membership?
    /// It had leases or a token here, which somebody who has the former key as well could be after.
    public var hadPossessions: Bool

    public init(former: NodeKey, next: NodeKey, account: Grant.Membership?, hadPossessions: Bool) {
        self.former = former
        self.next = next
        self.account = account
        self.hadPossessions = hadPossessions
    }
}

/// Keys that were handed over, and to which. Changes of key cost nothing to make, so a membership has room for so many,
/// and its own go first: those that had nothing but a session, and then the oldest.
struct RetiredKeys: Sendable {
    /// Of one membership, oldest first.
    private struct Lines: Sendable {
        var plain = Line<NodeKey>()
        var possessed = Line<NodeKey>()

        var count: Int { plain.count + possessed.count }

        mutating func append(_ retirement: Retirement) {
            if retirement.hadPossessions {
                possessed.append(retirement.former)
            } else {
                plain.append(retirement.former)
            }
        }

        mutating func popFirst() -> NodeKey? { plain.popFirst() ?? possessed.popFirst() }
    }

    static let maximum = 16_384
    static let maximumOfAccount = 1_024

    private var nexts: [NodeKey: NodeKey] = [:]
    /// The other way round.
    private var formers: [NodeKey: Set<NodeKey>] = [:]
    private var lines: [Grant.Membership?: Lines] = [:]

    var count: Int { nexts.count }

    /// The key that it was handed over to.
    subscript(former: NodeKey) -> NodeKey? { nexts[former] }

    /// Keys that have become `key`, by however many changes.
    func formers(of key: NodeKey) -> Set<NodeKey> {
        var found: Set<NodeKey> = []
        var fresh: Set<NodeKey> = [key]
        // Each round finds keys that were not found before, so this ends.
        while !fresh.isEmpty {
            let before = fresh.reduce(into: Set<NodeKey>()) { $0.formUnion(formers[$1] ?? []) }
            fresh = before.subtracting(found).subtracting([key])
            found.formUnion(fresh)
        }
        return found
    }

    /// What the key has become, by however many changes.
    func latest(of key: NodeKey) -> NodeKey {
        var (latest, seen) = (key, Set([key]))
        while let next = nexts[latest], seen.insert(next).inserted { latest = next }
        return latest
    }

    /// Takes one in whose former key is not there yet.
    ///
    /// - Returns: the key that is forgotten for it, and whose it was, where there is no room.
    mutating func add(_ retirement: Retirement) -> (former: NodeKey, account: Grant.Membership?)? {
        guard nexts[retirement.former] == nil else { return nil }
        nexts[retirement.former] = retirement.next
        formers[retirement.next, default: []].insert(retirement.former)
        lines[retirement.account, default: Lines()].append(retirement)
        // What an earlier version wrote down is on nobody's account, and may be as many as all together.
        if let account = retirement.account, lines[account]?.count ?? 0 > Self.maximumOfAccount {
            return forget(of: account)
        }
        guard count > Self.maximum, let most = lines.max(by: { $0.value.count < $1.value.count }) else { return nil }
        return forget(of: most.key)
    }

    private mutating func forget(
        of account: Grant.Membership?
    ) -> (former: NodeKey, account: Grant.Membership?)? {
        guard let former = lines[account]?.popFirst() else { return nil }
        if lines[account]?.count == 0 { lines[account] = nil }
        guard let next = nexts.removeValue(forKey: former) else { return nil }
        formers[next]?.remove(former)
        if formers[next]?.isEmpty == true { formers[next] = nil }
        return (former, account)
    }
}
