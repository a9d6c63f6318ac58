import PeerCore
import Testing

/// Whom a peer asks to look at one of its ports, and what it makes of the answers.
@Suite struct VerifierRoundTests {
    private typealias Round = VerifierRound<String>
    private let denier = Round.Denier(name: "somebody", place: "192.0.2.1:8088")
    private let no = Round.Answer.failed(after: .seconds(3))

    @Test func `each is asked once, in the order of the offer, until nobody is left`() {
        var round = Round()
        #expect(round.next(among: ["a", "b", "c"]) == "a")
        round.heard(.silence, from: denier, isForEverybody: true)
        #expect(round.next(among: ["a", "b", "c"]) == "b")
        #expect(round.next(among: ["c", "a", "b"]) == "c")
        #expect(round.next(among: ["a", "b", "c"]) == nil)
    }

    @Test func `where there is one alone, a no of it is asked about once more`() {
        var round = Round()
        #expect(round.next(among: ["a"]) == "a")
        round.heard(no, from: denier, isForEverybody: true)
        #expect(round.denier == denier)
        #expect(round.next(among: ["a"]) == "a")
        round.heard(no, from: denier, isForEverybody: true)
        #expect(round.next(among: ["a"]) == nil)
    }

    @Test func `one that is silent is not asked again in this round`() {
        var round = Round()
        #expect(round.next(among: ["a"]) == "a")
        round.heard(.silence, from: denier, isForEverybody: true)
        #expect(round.next(among: ["a"]) == nil)
        #expect(round.denier == nil)
    }

    @Test func `a no that comes sooner than a dial takes says nothing`() {
        var round = Round()
        _ = round.next(among: ["a"])
        round.heard(.failed(after: .milliseconds(2_899)), from: denier, isForEverybody: true)
        #expect(round.denier == nil)
        round.heard(.failed(after: .milliseconds(2_900)), from: denier, isForEverybody: true)
        #expect(round.denier == denier)
    }

    @Test func `a no about a mapping that is not for everybody says nothing`() {
        var round = Round()
        _ = round.next(among: ["a"])
        round.heard(no, from: denier, isForEverybody: false)
        #expect(round.denier == nil)
    }

    @Test func `a round that came to nothing is followed by others, each after twice the pause, and then by none`() {
        var round = Round()
        var pauses: [Instant.Span] = []
        while let (pause, next) = round.nextRound {
            pauses.append(pause)
            round = next
        }
        #expect(pauses == [5, 10, 20, 40].map { .seconds($0) })
        #expect(round.repetitions == Round.maximumRepetitions)
    }
}
