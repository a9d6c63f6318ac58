import PeerCore
import Testing

@Suite struct ShortageTests {
    @Test func `a shortage is worth one word when it begins and one when it is over, with how many it cost`() {
        var shortage = Shortage()
        let start = Instant.zero + .seconds(100)
        let begins = shortage.noted(1, at: start)
        let repeats = (1...30).map { shortage.noted(2, at: start + .seconds(UInt64($0))) }
        #expect(begins && !repeats.contains(true))
        let early = shortage.timePassed(at: start + .seconds(39)) { false }
        #expect(early == nil && shortage.isThere)
        let still = shortage.timePassed(at: start + .seconds(40)) { true }
        #expect(still == nil && shortage.isThere)
        let over = shortage.timePassed(at: start + .seconds(40)) { false }
        #expect(over == 61 && !shortage.isThere)
        let later = shortage.timePassed(at: start + .seconds(60)) { false }
        let again = shortage.noted(1, at: start + .seconds(61))
        #expect(later == nil && again)
    }
}
