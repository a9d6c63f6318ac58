/// Other relays are asked to look at a public port, one after the other, until one has come through. Where one says no
/// it may lie, or something may have been lost: another one is asked, or the same once more. No I/O, no clock.
public struct VerifierRound<Verifier: Hashable & Sendable>: Sendable {
    /// One that dialled last, and did not come through.
    public struct Denier: Hashable, Sendable {
        public var name: String
        /// Its address, as this node dials it.
        public var place: String

        public init(name: String, place: String) {
            self.name = name
            self.place = place
        }
    }

    public enum Answer: Hashable, Sendable {
        case passed
        /// It says no, so long after it was asked.
        case failed(after: Instant.Span)
        /// It said nothing.
        case silence
    }

    /// A no that comes sooner was not dialled for: one that does not dial says so at once, and one that did not come
    /// through says so when its dial would have ended.
    public static var shortestDial: Instant.Span { .milliseconds(2_900) }
    /// A relay that does not know the other one yet hears of it through the mesh, which takes some seconds.
    public static var pause: Instant.Span { .seconds(5) }
    /// After so many rounds it is asked with each check of this node's own, once.
    public static var maximumRepetitions: Int { 4 }

    /// How often there was such a round before.
    public let repetitions: Int
    private var asked: [Verifier] = []
    public private(set) var denier: Denier?

    public init(repetitions: Int = 0) { self.repetitions = repetitions }

    /// Who is asked now; `nil`: there is nobody left.
    ///
    /// - Parameter others: that could look, the first choice first.
    public mutating func next(among others: [Verifier]) -> Verifier? {
        let isAgain = asked.count == 1 && denier != nil && others.count == 1
        guard let verifier = others.first(where: { isAgain || !asked.contains($0) }) else { return nil }
        asked.append(verifier)
        return verifier
    }

    /// - Parameter isForEverybody: from where another relay dials is not known here, so where a mapping is not for
    ///   everybody its no says nothing.
    public mutating func heard(_ answer: Answer, from verifier: Denier, isForEverybody: Bool) {
        if case .failed(let span) = answer, span >= Self.shortestDial, isForEverybody { denier = verifier }
    }

    /// When there is a further round, after this one came to nothing; `nil`: there is none.
    public var nextRound: (after: Instant.Span, VerifierRound)? {
        guard repetitions < Self.maximumRepetitions else { return nil }
        return (Self.pause * (1 << UInt64(repetitions)), VerifierRound(repetitions: repetitions + 1))
    }
}
