/// What a relay says of letting its peers go, as a peer takes it up: twice at once, and then the latest word once in
/// ten seconds. A relay that says yes and no by turns would otherwise fill the log, and have the published order change
/// with each word.
public struct DrainWord: Sendable {
    public static let pace = Instant.Span.seconds(10)

    private var taken = false
    private var latest = false
    private var turns = Allowance(burst: 2, pause: DrainWord.pace)

    public init() {}

    /// Whether something was heard that is not taken up yet.
    public var isWaiting: Bool { latest != taken }

    /// In a new session a relay stays, unless it says otherwise.
    public mutating func sessionBegan() { (taken, latest) = (false, false) }

    /// What is to be taken up now, if anything.
    public mutating func heard(_ isDraining: Bool, at now: Instant) -> Bool? {
        latest = isDraining
        return due(at: now)
    }

    /// The same once more, some time after it was heard.
    public mutating func due(at now: Instant) -> Bool? {
        guard isWaiting, turns.take(at: now) else { return nil }
        taken = latest
        return taken
    }
}
