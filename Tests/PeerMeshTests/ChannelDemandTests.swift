import PeerMesh
import Testing

@Suite struct ChannelDemandTests {
    @Test func `it doubles when a visitor waits, up to its bound`() {
        var demand = ChannelDemand(at: .zero)
        #expect(demand.wanted == ChannelDemand.minimum)
        refused(demand.visitorCame(ready: 3, waiting: 0))
        var seen: [Int] = []
        for _ in 0..<10 where demand.visitorCame(ready: 0, waiting: 1) { seen.append(demand.wanted) }
        #expect(seen == [8, 16, 32, 64, 128, 256])
        #expect(demand.wanted == ChannelDemand.maximum)
    }

    @Test func `a crowd is answered at once`() {
        var demand = ChannelDemand(at: .zero)
        accepted(demand.visitorCame(ready: 0, waiting: 100))
        #expect(demand.wanted == 104)
        accepted(demand.visitorCame(ready: 0, waiting: 2_000))
        #expect(demand.wanted == ChannelDemand.maximum)
    }

    @Test func `it shrinks while channels stay unused, and never below its bound`() {
        var demand = ChannelDemand(at: .zero)
        while demand.visitorCame(ready: 0, waiting: 50) {}
        refused(demand.timePassed(at: .at(1_000)))
        var now = Instant.zero
        var before = demand.wanted
        for _ in 0..<20 {
            now = now + .seconds(10)
            let shrank = demand.timePassed(at: now)
            #expect(shrank == (demand.wanted < before))
            before = demand.wanted
        }
        #expect(demand.wanted == ChannelDemand.minimum)
        refused(demand.timePassed(at: now + .seconds(60)))
    }

    @Test func `it stays while visitors use what is there`() {
        var demand = ChannelDemand(at: .zero)
        _ = demand.visitorCame(ready: 0, waiting: 50)
        let wanted = demand.wanted
        var now = Instant.zero
        for _ in 0..<10 {
            _ = demand.visitorCame(ready: wanted / 4, waiting: 0)
            now = now + .seconds(10)
            refused(demand.timePassed(at: now))
        }
        #expect(demand.wanted == wanted)
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
