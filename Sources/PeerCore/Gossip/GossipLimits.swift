/// Every number that gossip depends on, on one page. What each is good for stands in docs/mesh.md.
public struct GossipLimits: Hashable, Sendable {
    /// The table of records.
    public struct Table: Hashable, Sendable {
        /// Records, at most. About 0.5 KiB each, with all that is kept beside them.
        public var capacity = 16_384
        /// Of these, places that nodes have that were met, and no others: who talked to this node with their own key.
        public var reserved = 4_096
        /// A record that was there so long when all places were taken keeps its place.
        public var steadyAfter = Instant.Span.seconds(30)
        /// From then on a record that is still renewed keeps its place whatever comes.
        public var settlesAfter = Instant.Span.seconds(600)
        /// New records of one key that are taken within `renewalSpan`: as many as two processes with it may write.
        public var renewals = 2 * (RecordAuthor.perMinute + RecordAuthor.answersPerMinute)
        public var renewalSpan = Instant.Span.seconds(60)
        /// Seconds that a record may be issued in the future.
        public var clockTolerance: Int64 = 300
    }

    /// How long partners that do not answer are left alone.
    public struct Pauses: Hashable, Sendable {
        /// An address that did not answer is left alone, twice as long each time, up to the second.
        public var firstPause = Instant.Span.seconds(5)
        public var longestPause = Instant.Span.seconds(60)
        /// Addresses that did not answer, remembered at most.
        public var failures = 1_024
    }

    public var table = Table()
    public var pauses = Pauses()

    // MARK: Rounds

    /// Partners of a round.
    public var partners = 3
    /// Others that are tried in a round in the place of those that do not answer: while most rows are made up, one
    /// attempt in ten meets somebody.
    public var replacements = 8
    public var roundInterval = Instant.Span.seconds(5)
    /// The first rounds of a process, and those in which much is missing, follow faster.
    public var fastInterval = Instant.Span.seconds(1)
    public var fastRounds = 8
    /// Every so many rounds a seed is asked, whatever else is known: so a mesh that was cut in two finds together.
    public var seedRounds = 12
    /// An exchange that takes longer has failed.
    public var exchangeLimit = Instant.Span.seconds(6)

    // MARK: Bytes

    /// Entries listed in the answer to a digest.
    public var listedEntries = 256
    /// Of these, nodes that have answered, for who knows few.
    public var contactsForNewcomers = 32
    /// Of records, in one step of an exchange.
    public var recordBytes = 6_144
    /// What is asked for while much is missing, in rounds that have one partner then.
    public var catchUpBytes = 49_152
    /// So many records missing at once are much.
    public var muchMissing = 64

    // MARK: Answering

    /// Steps of exchanges that one source may ask for in a second, and all of them together.
    public var stepsPerSource = 20
    public var stepsPerSecond = 400
    /// Questions of other nodes, of whatever kind, that the API takes in a second: of one source, and of all.
    public static let questionsPerSource = 100
    public static let questionsPerSecond = 1_600
    /// Records that are taken in a second out of what others post, and at once: each may cost a signature.
    public var postedPerSecond = 1_000
    public var postedAtOnce = 4_000
    /// For so long nothing is heard of a source that sent a forged record; and so many are remembered.
    public var barredSpan = Instant.Span.seconds(60)
    public var barred = 1_024

    public init() {}
}
