import PeerCore
import Testing

@Suite struct ChannelDemandTests {
    @Test func `a growing crowd is told of a few times, with room for all of it`() {
        var demand = ChannelDemand(at: .zero)
        #expect(demand.wanted == ChannelDemand.minimum)
        var told: [Int] = []
        for waiting in 1...60 where demand.look(waiting: waiting, carried: waiting) { told.append(demand.wanted) }
        #expect(told == [6, 10, 18, 34, 66, 127])
        for waiting in 1...60 { refused(demand.look(waiting: waiting, carried: 60)) }
        accepted(demand.look(waiting: 2_000, carried: 0))
        #expect(demand.wanted == ChannelDemand.maximum)
    }

    @Test func `however many visitors stay, sixteen are kept ready for others`() {
        var demand = ChannelDemand(at: .zero)
        accepted(demand.look(waiting: 0, carried: 4_000))
        #expect(demand.wanted == 16)
    }

    @Test func `once nobody waits, an eighth of those that are carried is kept ready, and never less than four`() {
        var demand = ChannelDemand(at: .zero)
        accepted(demand.look(waiting: 60, carried: 4))
        accepted(demand.look(waiting: 0, carried: 64))
        #expect(demand.wanted == 8)
        refused(demand.look(waiting: 0, carried: 64))
        accepted(demand.look(waiting: 0, carried: 3))
        #expect(demand.wanted == ChannelDemand.minimum)
    }

    @Test func `the groups of a session share its minimum, and none goes without`() {
        #expect((0...8).map { ChannelDemand(groups: $0, at: .zero).wanted } == [4, 4, 2, 1, 1, 1, 1, 1, 1])
        var demand = ChannelDemand(groups: 2, at: .zero)
        #expect(unused(6, in: &demand, intervals: 1...6) == [0, 0, 0, 0, 0, 4])
    }

    /// What is said to be unused at the end of each interval, with so many ready all the time.
    private func unused(_ ready: Int, in demand: inout ChannelDemand, intervals: ClosedRange<UInt64>) -> [Int] {
        intervals.map { demand.unused(ready: ready, at: .at($0 * 5_000)) }
    }

    @Test func `of what nobody needed for a whole interval many are closed at once, and the rest after six of them`() {
        var demand = ChannelDemand(at: .zero)
        let surplus = 300 - ChannelDemand.minimum
        #expect(demand.unused(ready: 300, at: .at(4_999)) == 0)
        #expect(demand.unused(ready: 300, at: .at(5_000)) == surplus - 64)
        let left = 300 - surplus + 64
        #expect(unused(left, in: &demand, intervals: 2...6) == [0, 0, 0, 0, 64])
        #expect(unused(ChannelDemand.minimum, in: &demand, intervals: 7...20).allSatisfy { $0 == 0 })
    }

    @Test func `what somebody took in an interval is not unused, and waits from then on`() {
        var demand = ChannelDemand(at: .zero)
        #expect(unused(64, in: &demand, intervals: 1...5) == [0, 0, 0, 0, 0])
        demand.taken(left: 10, carried: 1)
        #expect(unused(64, in: &demand, intervals: 6...6) == [10 - ChannelDemand.minimum])
        #expect(unused(58, in: &demand, intervals: 7...8) == [0, 0])
        demand.taken(left: 0, carried: 1)
        #expect(unused(58, in: &demand, intervals: 9...15) == [0, 0, 0, 0, 0, 0, 58 - ChannelDemand.minimum])
        _ = demand.look(waiting: 1, carried: 70)
        #expect(unused(30, in: &demand, intervals: 16...16) == [0])
        #expect(unused(2, in: &demand, intervals: 17...30).allSatisfy { $0 == 0 })
    }

    @Test func `what is wanted and 64 more are kept, and after many visitors as many as they were, for half a minute`()
    {
        var demand = ChannelDemand(at: .zero)
        #expect(demand.kept == ChannelDemand.minimum + 64)
        demand.taken(left: 0, carried: 200)
        #expect(demand.kept == 264)
        demand.taken(left: 0, carried: 4_000)
        #expect(demand.kept == ChannelDemand.maximumKept)
        _ = unused(64, in: &demand, intervals: 1...11)
        #expect(demand.kept == ChannelDemand.maximumKept)
        _ = unused(64, in: &demand, intervals: 12...12)
        #expect(demand.kept == ChannelDemand.minimum + 64)
        _ = demand.look(waiting: 100, carried: 0)
        #expect(demand.kept == ChannelDemand.minimum + 200 + 64)
    }
}

@Suite struct UsedNumbersTests {
    @Test func `each number counts once`() {
        var used = UsedNumbers()
        accepted(used.use(1))
        refused(used.use(1))
        refused(used.use(0))
    }

    @Test func `numbers may come in any order within the window`() {
        var used = UsedNumbers()
        var random = SeededGenerator(seed: 5)
        for number in (UInt64(1)...1_000).shuffled(using: &random) { accepted(used.use(number)) }
        for number in UInt64(1)...1_000 { refused(used.use(number)) }
    }

    @Test func `what is too old to tell is refused`() {
        var used = UsedNumbers()
        accepted(used.use(5_000))
        refused(used.use(5_000 - 1_024))
        accepted(used.use(5_000 - 1_023))
        accepted(used.use(.max))
        refused(used.use(.max))
        refused(used.use(5_001))
        accepted(used.use(.max - 1))
    }

    @Test func `it agrees with a plain set on random numbers`() {
        for seed in UInt64(0)..<20 {
            var random = SeededGenerator(seed: seed)
            var used = UsedNumbers()
            var model: Set<UInt64> = []
            var highest: UInt64 = 0
            for _ in 0..<1_000 {
                let step = UInt64.random(in: 0...20, using: &random) == 0 ? UInt64(3_000) : 40
                let low = highest > 1_500 ? highest - 1_500 : 0
                let number = UInt64.random(in: low...(highest + step), using: &random)
                let isExpected = number > 0 && !model.contains(number) && number + 1_024 > highest
                let isUsed = used.use(number)
                #expect(isUsed == isExpected, "number \(number), seed \(seed)")
                if isExpected {
                    model.insert(number)
                    highest = max(highest, number)
                }
            }
        }
    }
}
