import Testing

@testable import PeerCore

@Suite struct TargetPlanTests {
    /// Looks every 500 ms from `start` until `end`; how often each port was connected to, and when the last time was.
    static func run(
        _ plan: inout TargetPlan, from start: Instant, to end: Instant, isUp: (UInt16) -> Bool
    ) -> [UInt16: Int] {
        var tries: [UInt16: Int] = [:]
        var now = start
        while now < end {
            for offset in plan.next(at: now) {
                tries[offset, default: 0] += 1
                _ = isUp(offset) ? plan.answered(offset, at: now) : plan.silent(offset, "silent", at: now)
            }
            now = now + TargetPlan.interval
        }
        return tries
    }

    @Test func `nothing is known at first, and somebody waits for it`() {
        var plan = TargetPlan(count: 2)
        #expect(plan.states == TargetStates() && plan.isAsked)
        accepted(plan.next(at: .zero) == [0, 1])
        accepted(plan.next(at: .zero).isEmpty)
        let (first, second) = (plan.answered(0, at: .zero), plan.silent(1, "silent", at: .zero))
        #expect(first && second && !plan.isAsked)
        #expect(plan.states == TargetStates(answering: [0], silent: [1: "silent"]))
    }

    @Test func `what answers is connected to ever less, from ten seconds to ten minutes`() {
        var plan = TargetPlan(count: 1)
        let hour = Instant.zero + .seconds(3_600)
        let tries = Self.run(&plan, from: .zero, to: hour) { _ in true }
        // At 0, 10, 30, 70, 150, 310, 630, 1230, 1830, 2430 and 3030 s. It used to be 360 in an hour.
        #expect(tries == [0: 11])
    }

    @Test func `a visitor who failed ends the pause`() {
        var plan = TargetPlan(count: 1)
        _ = Self.run(&plan, from: .zero, to: .at(60_000)) { _ in true }
        let isNews = plan.visitorFailed(0, "refused", at: .at(60_000))
        #expect(isNews && plan.states.silent == [0: "refused"])
        let again = plan.visitorFailed(0, "refused", at: .at(60_001))
        #expect(!again)
        accepted(plan.next(at: .at(60_499)).isEmpty)
        accepted(plan.next(at: .at(60_500)) == [0])
        accepted(plan.answered(0, at: .at(60_510)))
        accepted(plan.next(at: .at(70_509)).isEmpty)
        accepted(plan.next(at: .at(70_510)) == [0])
    }

    @Test func `what is down is tried again within five seconds, and of very many some at a time`() {
        var one = TargetPlan(count: 1)
        let alone = Self.run(&one, from: .zero, to: .at(60_000)) { _ in false }
        #expect((12...30).contains(alone[0] ?? 0), "\(alone)")

        var many = TargetPlan(count: 1_000)
        var known = 0
        while many.isAsked { known += many.next(at: .zero).count { many.silent($0, "silent", at: .zero) } }
        #expect(known == 1_000)
        let tries = Self.run(&many, from: .at(500), to: .at(60_500)) { _ in false }
        #expect(tries.values.reduce(0, +) <= 120 * 32)
        #expect(tries.count == 1_000, "each has its turn")
    }

    @Test func `a first look at many ports that swallow everything ends within twenty seconds, and tries leave room`() {
        var plan = TargetPlan(count: 1_024)
        var now = Instant.zero
        while plan.isAsked {
            let looked = plan.next(at: now)
            #expect(looked.count <= TargetPlan.atOnce)
            now = now + .seconds(2)
            for offset in looked { _ = plan.silent(offset, "silent", at: now) }
        }
        #expect(now <= .at(18_000))
        var underWay = 0
        for turn in 0..<10 { underWay += plan.next(at: now + .seconds(10 + UInt64(turn))).count }
        #expect(underWay == TargetPlan.atOnce / 2, "half of the places are left")
    }

    @Test func `the system's table is believed, unless a visitor found it wrong`() {
        var plan = TargetPlan(count: 3)
        let came = plan.listed(at: .zero) { $0 == 1 }
        #expect(came && plan.states.answering == [1])
        accepted(plan.next(at: .zero) == [0, 2])
        _ = (plan.silent(0, "silent", at: .zero), plan.silent(2, "silent", at: .zero))
        // It goes: only a connection is proof of that.
        _ = plan.listed(at: .at(500)) { _ in false }
        #expect(plan.states.answering == [1])
        accepted(plan.next(at: .at(500)).contains(1))
        let gone = plan.silent(1, "silent", at: .at(500))
        #expect(gone)
        let back = plan.listed(at: .at(1_000)) { $0 == 1 }
        #expect(back)
        _ = plan.visitorFailed(1, "refused", at: .at(1_100))
        let still = plan.listed(at: .at(1_200)) { $0 == 1 }
        #expect(!still && plan.states.silent[1] == "refused")
    }

    @Test func `one that the table has no more, and that answers all the same, is looked at ever more rarely`() {
        var plan = TargetPlan(count: 1)
        _ = plan.listed(at: .zero) { _ in true }
        _ = plan.listed(at: .at(500)) { _ in false }
        var looks: [Instant] = []
        for step in UInt64(1)...140 {
            let now = Instant.at(step * 500)
            while !plan.next(at: now).isEmpty, looks.count < 100 {
                looks.append(now)
                let isNews = plan.answered(0, at: now)
                #expect(!isNews)
            }
        }
        #expect(looks == [.at(500), .at(10_500), .at(30_500)])
    }

    @Test func `a shortage of this node's own says nothing of the target`() {
        var plan = TargetPlan(count: 1)
        _ = plan.next(at: .zero)
        plan.givenBack(0, at: .zero)
        #expect(plan.states == TargetStates())
        accepted(plan.next(at: .at(500)) == [0])
    }

    @Test func `whoever asks has everything that is down looked at now`() {
        var plan = TargetPlan(count: 2)
        _ = Self.run(&plan, from: .zero, to: .at(30_000)) { $0 == 0 }
        #expect(!plan.isAsked)
        plan.ask(at: .at(30_100))
        #expect(plan.isAsked && plan.isAsked(1) && !plan.isAsked(0))
        accepted(plan.next(at: .at(30_100)).contains(1))
    }
}
