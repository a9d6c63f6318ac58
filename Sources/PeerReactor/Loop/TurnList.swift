/// Sources that go on in later turns of a loop, the first to come first.
struct TurnList {
    private var sources: [EventSource] = []
    /// What is before has had its turn.
    private var start = 0
    /// So many that have had their turn are kept before the rest moves up.
    private static let slack = 1_024

    var count: Int { sources.count - start }
    var isEmpty: Bool { start == sources.count }

    mutating func append(_ source: EventSource) { sources.append(source) }

    /// Takes the first one out; `nil` when there is none.
    mutating func next() -> EventSource? {
        guard start < sources.count else { return nil }
        let source = sources[start]
        start += 1
        if start == sources.count {
            sources.removeAll(keepingCapacity: true)
            start = 0
        } else if start > Self.slack {
            sources.removeFirst(start)
            start = 0
        }
        return source
    }
}
