import PeerCore
import Testing

@Suite struct ReserveGateTests {
    let gate = ReserveGate(
        descriptors: .init(limit: 10_000, reserve: 1_000), buffers: .init(limit: 1_000_000, reserve: 100_000))

    func load(_ descriptors: Int, _ buffered: Int = 0) -> ReserveGate.Load {
        ReserveGate.Load(descriptors: descriptors, buffered: buffered)
    }

    @Test func `sessions use the reserve, visitors and their channels do not`() {
        for (descriptors, visitors, sessions) in [
            (0, true, true), (8_998, true, true), (8_999, false, true),
            (9_000, false, true), (9_999, false, true), (10_000, false, false), (20_000, false, false),
        ] {
            #expect(gate.admits(.visitor(carried: 0), at: load(descriptors)) == visitors, "\(descriptors)")
            #expect(gate.admits(.session, at: load(descriptors)) == sessions, "\(descriptors)")
        }
        #expect(gate.admits(.channel(idle: 0), at: load(8_999)))
        #expect(!gate.admits(.channel(idle: 0), at: load(9_000)))
    }

    @Test func `buffers are kept in reserve likewise`() {
        for (buffered, visitors, sessions) in [
            (899_999, true, true), (900_000, false, true), (999_999, false, true),
            (1_000_000, false, false),
        ] {
            #expect(gate.admits(.visitor(carried: 0), at: load(0, buffered)) == visitors)
            #expect(gate.admits(.channel(idle: 0), at: load(0, buffered)) == visitors)
            #expect(gate.admits(.session, at: load(0, buffered)) == sessions)
        }
    }

    /// Every mapping takes visitors by turns until none gets one more.
    func flood(_ mappings: Int, others: Int = 0) -> [Int] {
        var open = [Int](repeating: 0, count: mappings)
        var moved = true
        while moved {
            moved = false
            for index in open.indices
            where gate.admits(.visitor(carried: open[index]), at: load(others + open.reduce(0, +) * 2)) {
                open[index] += 1
                moved = true
            }
        }
        return open
    }

    @Test func `a flood on one mapping leaves a quarter to the others, and all of the reserve to sessions`() {
        let alone = flood(1)[0]
        #expect((3_370...3_380).contains(alone))
        #expect(gate.admits(.visitor(carried: 0), at: load(alone * 2)))
        #expect(gate.admits(.visitor(carried: 1_000), at: load(alone * 2)))
        #expect(gate.admits(.session, at: load(alone * 2)))
    }

    @Test(arguments: [2, 5, 40]) func `however many are flooded, one more still gets visitors`(mappings: Int) {
        let open = flood(mappings)
        #expect(Set(open).count <= 2, "all have the same, give or take one")
        #expect(gate.admits(.visitor(carried: 0), at: load(open.reduce(0, +) * 2)))
        #expect(open.reduce(0, +) * 2 > 6_700)
    }

    @Test func `a small limit keeps half of itself at most, and none lets nobody in`() {
        let small = ReserveGate(descriptors: .init(limit: 64, reserve: 1_000), buffers: .init(limit: 10, reserve: 99))
        #expect(small.descriptors.reserve == 32 && small.buffers.reserve == 5)
        #expect(small.admits(.visitor(carried: 0), at: load(30)))
        #expect(!small.admits(.visitor(carried: 0), at: load(31)))
        let none = ReserveGate(descriptors: .init(limit: -5, reserve: -5), buffers: .init(limit: 0, reserve: 0))
        #expect(!none.admits(.session, at: load(0)))
        #expect(!none.admits(.visitor(carried: 0), at: load(0)))
    }

    @Test func `channels that nobody uses are as many as what is left, so visitors of others come all the same`() {
        for memberships in [1, 3, 40] {
            var idle = [Int](repeating: 0, count: memberships)
            var moved = true
            while moved {
                moved = false
                for index in idle.indices
                where gate.admits(.channel(idle: idle[index]), at: load(idle.reduce(0, +))) {
                    idle[index] += 1
                    moved = true
                }
            }
            let all = idle.reduce(0, +)
            #expect(idle.allSatisfy { abs($0 - 9_000 / (memberships + 1)) <= 1 }, "\(idle)")
            #expect(gate.admits(.visitor(carried: 12), at: load(all)))
            // What is wanted is not held to it.
            #expect(gate.admits(.channel(idle: 0), at: load(all)))
        }
    }

    @Test func `one relay leaves a peer's descriptors to the others, whatever it sends`() {
        let supply = ReserveGate.Supply(limit: 4_096, reserve: 32)
        var held = 0
        while supply.admits(100 + held, holding: held) { held += 1 }
        #expect((2_960...2_980).contains(held))
        #expect(supply.admits(100 + held, holding: 0) && supply.admits(100 + held, holding: 120))
        #expect(!supply.admits(4_064, holding: 0))
    }
}
