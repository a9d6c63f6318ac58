/// Lines that take turns: one element of each party that waits, and then again. A party with many in its line waits for
/// its own, and no party for another's.
public struct FairQueue<Party: Hashable & Sendable, Element> {
    private var lines: [Party: Line<Element>] = [:]
    /// Each party with a line once, in the order of their turns.
    private var turns = Line<Party>()

    public init() {}

    public var isEmpty: Bool { lines.isEmpty }
    public func count(of party: Party) -> Int { lines[party]?.count ?? 0 }

    public mutating func append(_ element: Element, for party: Party) {
        if lines[party] == nil { turns.append(party) }
        lines[party, default: Line()].append(element)
    }

    /// The first one of the party whose turn it is.
    public mutating func popFirst() -> Element? {
        guard let party = turns.popFirst(), let element = lines[party]?.popFirst() else { return nil }
        // Nothing is kept of those that wait for nothing: there may be many of them.
        if lines[party]?.count == 0 { lines[party] = nil } else { turns.append(party) }
        return element
    }
}

extension FairQueue: Sendable where Element: Sendable {}

/// First in, first out; what is before `start` is gone.
struct Line<Entry> {
    private var entries: [Entry?] = []
    private var start = 0

    var count: Int { entries.count - start }

    mutating func append(_ entry: Entry) { entries.append(entry) }

    mutating func popFirst() -> Entry? {
        guard start < entries.count else { return nil }
        defer {
            entries[start] = nil
            start += 1
            if start == entries.count || start > 1_024 {
                entries.removeFirst(start)
                start = 0
            }
        }
        return entries[start]
    }
}

extension Line: Sendable where Entry: Sendable {}

/// Two such queues, of which the first goes first: of eight turns the second has one, as long as both have something.
public struct RankedQueue<Party: Hashable & Sendable, Element> {
    public enum Rank: Hashable, Sendable { case first, second }

    private static var turnsOfFirst: Int { 7 }

    private var first = FairQueue<Party, Element>()
    private var second = FairQueue<Party, Element>()
    /// Turns that the first had in a row.
    private var row = 0

    public init() {}

    /// What waits in the first one.
    public func count(of party: Party) -> Int { first.count(of: party) }

    public mutating func append(_ element: Element, for party: Party, _ rank: Rank) {
        switch rank {
        case .first: first.append(element, for: party)
        case .second: second.append(element, for: party)
        }
    }

    public mutating func popFirst() -> Element? {
        if row < Self.turnsOfFirst || second.isEmpty, let element = first.popFirst() {
            row += 1
            return element
        }
        row = 0
        return second.popFirst()
    }
}

extension RankedQueue: Sendable where Element: Sendable {}
