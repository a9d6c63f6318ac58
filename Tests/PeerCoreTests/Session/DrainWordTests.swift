import PeerCore
import Testing

@Suite struct DrainWordTests {
    @Test
    func `a relay that goes and one that stays after all are believed at once, and what is said twice is no news`() {
        var word = DrainWord()
        #expect(word.heard(false, at: .at(100_000)) == nil)
        #expect(word.heard(true, at: .at(100_000)) == true)
        #expect(word.heard(true, at: .at(100_001)) == nil && !word.isWaiting)
        #expect(word.heard(false, at: .at(100_002)) == false)
    }

    @Test func `of yes and no without end one word counts in ten seconds, the latest`() {
        var word = DrainWord()
        var taken: [Bool] = []
        for time in UInt64(0)..<60_000 {
            if let said = word.heard(time % 2 == 0, at: .at(100_000 + time)) { taken.append(said) }
        }
        #expect(taken.count >= 2 && taken.count <= 7, "\(taken.count)")
        _ = word.heard(true, at: .at(161_000))
        _ = word.heard(false, at: .at(161_001))
        let waits = word.isWaiting
        #expect(word.due(at: .at(180_000)) == (waits ? false : nil))
        #expect(!word.isWaiting)
    }

    @Test func `a new session begins with a relay that stays`() {
        var word = DrainWord()
        #expect(word.heard(true, at: .at(100_000)) == true)
        word.sessionBegan()
        #expect(word.heard(true, at: .at(100_001)) == true)
    }
}
