import Testing

@testable import PeerCore

@Suite("Listening for answers from elsewhere than the target")
struct StrayWatchTests {
    private static func flow(_ place: UInt32, _ generation: UInt32 = 0) -> FlowTable.ID {
        FlowTable.ID(place: place, generation: generation)
    }

    @Test("goes on beside a few flows at a time, and a new one has the place of one that is over")
    func few() {
        var watch = StrayWatch()
        let begun = (0..<10).map { watch.began(Self.flow($0), at: 0) }
        #expect(begun.count { $0 } == StrayWatch.places && watch.count == StrayWatch.places)
        // One that was never listened beside frees nothing, nor does one whose place another flow has by now.
        watch.ended(Self.flow(9))
        watch.ended(Self.flow(0, 1))
        let isCrowded = !watch.began(Self.flow(10), at: 0)
        #expect(isCrowded)
        watch.ended(Self.flow(0))
        let hasRoom = watch.began(Self.flow(0, 1), at: 0)
        #expect(hasRoom && watch.count == StrayWatch.places)
    }

    @Test("ends for good at a port that has answered, for all of its flows, and at no other")
    func answered() {
        var watch = StrayWatch()
        let begun = ([(1, 0), (2, 7), (3, 0)] as [(UInt32, UInt16)]).map { watch.began(Self.flow($0), at: $1) }
        #expect(begun == [true, true, true])
        let over = watch.answered(at: 0)
        #expect(Set(over) == [Self.flow(1), Self.flow(3)])
        let again = watch.answered(at: 0)
        #expect(again.isEmpty)
        let later = [watch.began(Self.flow(4), at: 0), watch.began(Self.flow(5), at: 7)]
        #expect(later == [false, true])
        let others = watch.answered(at: 8)
        #expect(others.isEmpty && watch.count == 2)
    }
}
