import PeerCore
import Testing

@Suite struct FairQueueTests {
    @Test func `each party has a turn, however many another one has waiting`() {
        var queue = FairQueue<String, Int>()
        for number in 0..<10_000 { queue.append(number, for: "many") }
        queue.append(-1, for: "few")
        queue.append(-2, for: "few")
        queue.append(-3, for: "other")
        #expect((0..<8).map { _ in queue.popFirst()! } == [0, -1, -3, 1, -2, 2, 3, 4])
        #expect(queue.count(of: "many") == 9_995 && queue.count(of: "few") == 0)
        queue.append(-4, for: "few")
        #expect([queue.popFirst()!, queue.popFirst()!] == [5, -4])
        var rest: [Int] = []
        while let number = queue.popFirst() { rest.append(number) }
        #expect(rest == Array(6..<10_000))
        #expect(queue.isEmpty && queue.popFirst() == nil)
    }

    @Test func `of one party everything comes in its order, with others coming and going`() {
        var random = SeededGenerator(seed: 11)
        var queue = FairQueue<Int, Int>()
        var added = [Int](repeating: 0, count: 7)
        var taken = [Int](repeating: 0, count: 7)
        for _ in 0..<50_000 {
            if Bool.random(using: &random) {
                let party = Int.random(in: 0..<7, using: &random)
                queue.append(party * 1_000_000 + added[party], for: party)
                added[party] += 1
            } else if let element = queue.popFirst() {
                let party = element / 1_000_000
                #expect(element % 1_000_000 == taken[party])
                taken[party] += 1
            }
        }
        for party in 0..<7 { #expect(queue.count(of: party) == added[party] - taken[party]) }
    }

    @Test func `what comes first has seven turns in eight, and all where nothing else waits`() {
        var queue = RankedQueue<String, Int>()
        for number in 0..<100 { queue.append(-number, for: "news", .second) }
        for number in 1...20 { queue.append(number, for: "leases", .first) }
        #expect((0..<9).map { _ in queue.popFirst()! } == [1, 2, 3, 4, 5, 6, 7, 0, 8])
        #expect(queue.count(of: "leases") == 12 && queue.count(of: "news") == 0)
        var rest: [Int] = []
        while let number = queue.popFirst() { rest.append(number) }
        #expect(rest.count == 111 && rest.prefix(8) == [9, 10, 11, 12, 13, 14, -1, 15])
        queue.append(7, for: "leases", .first)
        #expect(queue.popFirst() == 7 && queue.popFirst() == nil)
    }
}
