/// What other relays say of a mapping's ports that this node reaches. Its own address is the one address that says
/// nothing of others: a firewall may let in the peers of a relay alone. So where there is another relay to ask, the own
/// check says that the port answers, and the other's word that it is verified. One that cannot be asked (it is busy,
/// has not met the other relay yet, or is an older one) is not waited for. No I/O, no clock.
///
/// A word that a port cannot be reached may be a lie: it counts where nobody else says that it can, and where two say
/// so, or there is only one to ask.
struct OthersWord: Sendable {
    /// Longer than a check that nobody answers: for so long the own check waits for somebody else's.
    static let patience = Instant.Span.seconds(4)
    /// Relays whose last word is remembered: more than are held at once.
    static let capacity = 8
    /// A word holds for so long; who is there is asked again every two minutes.
    static let lifetime = Instant.Span.seconds(600)

    enum Verdict: Hashable, Sendable {
        /// The own check is all there is to go by, or somebody else came through too.
        case good
        case awaited
        /// Reached by nobody but this node.
        case denied(by: String)
    }

    private struct Word: Sendable {
        var relay: String
        var name: String
        var isGood: Bool
        var at: Instant
    }

    /// The last one last.
    private var words: [Word] = []
    private(set) var awaitedUntil: Instant?
    private var hasWaited = false
    private var denier: String?
    /// Grows with the verdict.
    private(set) var changes = 0

    var verdict: Verdict { denier.map { .denied(by: $0) } ?? (awaitedUntil == nil ? .good : .awaited) }

    private mutating func change(_ body: (inout Self) -> Void) {
        let before = verdict
        body(&self)
        if verdict != before { changes += 1 }
    }

    /// This node came through, and another relay is asked. Later on, what was verified stays so until that one has said
    /// no.
    mutating func awaits(at now: Instant) {
        guard !hasWaited else { return }
        hasWaited = true
        change { $0.awaitedUntil = now + Self.patience }
    }

    /// There is nobody who could say anything.
    mutating func cannotBeAsked() { change { $0.awaitedUntil = nil } }

    mutating func timePassed(at now: Instant) {
        if let until = awaitedUntil, now >= until { cannotBeAsked() }
    }

    /// - Parameters:
    ///   - relay: who says so; `name`: the same for people.
    ///   - isLast: no other relay is asked, whatever this one says.
    mutating func said(_ isGood: Bool, by relay: String, name: String, isLast: Bool, at now: Instant) {
        change { word in
            word.words.removeAll { $0.relay == relay || now - $0.at > Self.lifetime }
            word.words.append(Word(relay: relay, name: name, isGood: isGood, at: now))
            if word.words.count > Self.capacity { word.words.removeFirst() }
            if word.words.contains(where: \.isGood) {
                (word.denier, word.awaitedUntil) = (nil, nil)
            } else if isLast || word.words.count > 1 {
                (word.denier, word.awaitedUntil) = (name, nil)
            } else if word.awaitedUntil != nil {
                word.awaitedUntil = now + Self.patience
            }
        }
    }
}
