import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct RankingTests {
    /// A relay whose latency is a function of time, measured five times every `interval` milliseconds.
    static func log(
        _ milliseconds: Double, from start: UInt64 = 0, to end: UInt64 = 60_000, every interval: UInt64 = 10_000,
        jitter: Double = 0, loss: Double = 0, load: Double = 0, seed: UInt64 = 1
    ) -> SampleLog {
        var log = SampleLog()
        add(
            &log, milliseconds, from: start, to: end, every: interval, jitter: jitter, loss: loss, load: load,
            seed: seed)
        return log
    }

    static func add(
        _ log: inout SampleLog, _ milliseconds: Double, from start: UInt64, to end: UInt64, every interval: UInt64,
        samples: Int = 5, jitter: Double = 0, loss: Double = 0, load: Double = 0, seed: UInt64 = 1
    ) {
        var random = SeededGenerator(seed: seed &+ start)
        for at in stride(from: start, through: end, by: Int(interval)) {
            for _ in 0..<samples {
                let isLost = Double.random(in: 0..<1, using: &random) < loss
                let extra = jitter == 0 ? 0 : Double.random(in: 0...jitter, using: &random)
                log.add(
                    ProbeSample(
                        at: .at(at), roundTrip: isLost ? nil : .microseconds(UInt64((milliseconds + extra) * 1_000)),
                        load: load))
            }
        }
    }

    static func candidate(_ number: UInt8, _ log: SampleLog, proven: Bool = true) -> Ranking.Candidate {
        Ranking.Candidate(
            key: .number(number), name: "relay-\(number)",
            proof: proven ? .proven(.number(Int(number))) : .tooFewWitnesses(0, of: 2), log: log)
    }

    static let now = Instant.at(60_000)

    @Test func `of relays at 5, 20, 40, 80 and 150 ms the nearest is chosen, whatever jitters and is lost`() {
        var nearest = 0
        for seed in UInt64(0)..<100 {
            let latencies: [Double] = [150, 40, 5, 80, 20]
            let candidates = latencies.enumerated().map { index, latency in
                Self.candidate(
                    UInt8(index + 1), Self.log(latency, jitter: 8, loss: 0.05, seed: seed * 100 + UInt64(index)))
            }
            if Ranking(candidates, current: nil, at: Self.now).chosen == .number(3) { nearest += 1 }
        }
        #expect(nearest >= 99)
    }

    @Test func `two that are alike take turns at most once in ten minutes`() {
        for seed in UInt64(0)..<20 {
            var logs = [SampleLog(), SampleLog()]
            var current: NodeKey?
            var changes = 0
            for second in stride(from: UInt64(0), to: 600, by: 10) {
                for index in 0...1 {
                    Self.add(
                        &logs[index], index == 0 ? 22 : 18, from: second * 1_000, to: second * 1_000, every: 1,
                        jitter: 12, seed: seed * 7 + UInt64(index))
                }
                let candidates = logs.enumerated().map { Self.candidate(UInt8($0.offset + 1), $0.element) }
                let chosen = Ranking(candidates, current: current, at: .at(second * 1_000)).chosen
                if current != nil, chosen != current { changes += 1 }
                current = chosen
            }
            #expect(changes <= 1, "seed \(seed)")
        }
    }

    @Test func `what was asked before a relay was there is no loss, and what is lost later is`() {
        var log = SampleLog()
        for at in UInt64(0)..<10 { log.add(ProbeSample(at: .at(at), roundTrip: nil)) }
        #expect(RelayFigures(log, at: Self.now).loss == 1 && RelayFigures(log, at: Self.now).isSilent)
        for at in UInt64(5_000)..<5_010 { log.add(ProbeSample(at: .at(at), roundTrip: .milliseconds(12))) }
        let figures = RelayFigures(log, at: Self.now)
        #expect(figures.loss == 0 && figures.cost == .milliseconds(12))
        for at in UInt64(6_000)..<6_010 { log.add(ProbeSample(at: .at(at), roundTrip: nil)) }
        #expect(RelayFigures(log, at: Self.now).loss == 0.5)
    }

    @Test func `it takes 10 ms and a third to leave the current relay`() {
        func chosen(_ current: Double, _ other: Double) -> NodeKey? {
            Ranking(
                [Self.candidate(1, Self.log(current)), Self.candidate(2, Self.log(other))], current: .number(1),
                at: Self.now
            ).chosen
        }
        #expect(chosen(20, 11) == .number(1))
        #expect(chosen(20, 10) == .number(2))
        #expect(chosen(100, 70) == .number(1))
        #expect(chosen(100, 66) == .number(2))
        #expect(chosen(9, 0.2) == .number(1))
        #expect(chosen(10.3, 0.2) == .number(2))
    }

    @Test func `a relay at 0.2 ms is not dropped`() throws {
        let ranking = Ranking(
            [Self.candidate(1, Self.log(5)), Self.candidate(2, Self.log(0.2))], current: nil, at: Self.now)
        #expect(ranking.chosen == .number(2))
        #expect(ranking.rows[0].figures.latency == .microseconds(200))
        let none = Ranking([Self.candidate(1, Self.log(0))], current: nil, at: Self.now)
        #expect(none.chosen == .number(1))
    }

    @Test func `the chosen relay slowed by 60 ms is left within 30 s, and not come back to`() {
        var slow = Self.log(5, to: 300_000)
        Self.add(&slow, 5, from: 0, to: 300_000, every: 500, samples: 1)
        var other = Self.log(20, to: 300_000, every: 20_000)
        var current: NodeKey? = .number(1)
        var left: UInt64?
        for at in stride(from: UInt64(300_500), to: 660_000, by: 500) {
            // Measured often while it is in use, rarely afterwards.
            if current == .number(1) || at % 20_000 == 0 {
                Self.add(&slow, 65, from: at, to: at, every: 1, samples: current == .number(1) ? 1 : 5)
            }
            if at % 10_000 == 0 { Self.add(&other, 20, from: at, to: at, every: 1) }
            current =
                Ranking([Self.candidate(1, slow), Self.candidate(2, other)], current: current, at: .at(at)).chosen
            if current == .number(2), left == nil { left = at }
            if left != nil { #expect(current == .number(2), "at \(at)") }
        }
        #expect(left.map { $0 - 300_000 <= 30_000 } == true, "\(left ?? 0)")
    }

    @Test func `a single slow answer changes nothing`() {
        var log = Self.log(5)
        log.add(ProbeSample(at: .at(59_000), roundTrip: .milliseconds(900)))
        #expect(RelayFigures(log, at: Self.now).latency == .milliseconds(5))
    }

    @Test func `samples older than five minutes no longer count`() {
        let log = Self.log(5)
        #expect(RelayFigures(log, at: .at(60_000 + 299_000)).latency == .milliseconds(5))
        let figures = RelayFigures(log, at: .at(60_000 + 301_000))
        #expect(figures.latency == nil && figures.cost == nil && figures.samples == 0)
    }

    @Test func `loss and load count`() {
        func chosen(_ one: SampleLog, _ other: SampleLog) -> NodeKey? {
            Ranking([Self.candidate(1, one), Self.candidate(2, other)], current: nil, at: Self.now).chosen
        }
        #expect(chosen(Self.log(10, loss: 0.4), Self.log(30)) == .number(2))
        #expect(chosen(Self.log(10, load: 0.9), Self.log(15)) == .number(2))
        #expect(chosen(Self.log(10), Self.log(30)) == .number(1))
    }

    @Test func `claims choose nobody`() {
        // Unproven, full, going away, silent, never measured; and a load that is no number.
        let silent: SampleLog = {
            var log = Self.log(1, to: 40_000)
            for at in 50..<60 { log.add(ProbeSample(at: .at(UInt64(at) * 1_000), roundTrip: nil)) }
            return log
        }()
        var draining = Self.candidate(5, Self.log(1))
        draining.isDraining = true
        let ranking = Ranking(
            [
                Self.candidate(1, Self.log(40, load: .nan)), Self.candidate(2, Self.log(1), proven: false),
                Self.candidate(3, Self.log(1, load: 1)), Self.candidate(4, silent), draining,
                Self.candidate(6, SampleLog()),
            ], current: nil, at: Self.now)
        #expect(ranking.chosen == .number(1))
        #expect(ranking.usable.map(\.key) == [.number(1)])
        let verdicts = Dictionary(uniqueKeysWithValues: ranking.rows.map { ($0.key, $0.verdict) })
        #expect(verdicts[.number(2)] == .notProven(.tooFewWitnesses(0, of: 2)))
        #expect(verdicts[.number(3)] == .full)
        #expect(verdicts[.number(4)] == .silent)
        #expect(verdicts[.number(5)] == .draining)
        #expect(verdicts[.number(6)] == .notMeasured(answers: 0))
    }

    @Test func `nothing to choose from is nothing chosen`() {
        let ranking = Ranking([Self.candidate(1, SampleLog())], current: .number(1), at: Self.now)
        #expect(ranking.chosen == nil)
        #expect(Ranking([], current: nil, at: .zero).rows.isEmpty)
    }

    @Test func `each candidate is explained in a sentence`() {
        let ranking = Ranking(
            [
                Self.candidate(1, Self.log(18)), Self.candidate(2, Self.log(12)), Self.candidate(3, Self.log(80)),
                Self.candidate(4, Self.log(0.2), proven: false), Self.candidate(5, SampleLog()),
            ], current: .number(1), at: Self.now)
        #expect(
            ranking.explanation == [
                "relay-2: 12 ms at best of 35, jitter 0 µs, loss 0 %, load 0 %; not chosen: 6.0 ms better than the "
                    + "chosen one, too little to move (10 ms and a third).",
                "relay-1: 18 ms at best of 35, jitter 0 µs, loss 0 %, load 0 %; kept: nobody is better by 10 ms and by "
                    + "a third.",
                "relay-3: 80 ms at best of 35, jitter 0 µs, loss 0 %, load 0 %; not chosen: it costs 62 ms more than "
                    + "the chosen one.",
                "relay-4: 0.2 ms at best of 35, jitter 0 µs, loss 0 %, load 0 %; no candidate: 0 of 2 other nodes say "
                    + "that it can be reached.",
                "relay-5: never measured; no candidate yet: 3 more answers needed.",
            ])
    }

    @Test func `the order stays as it is but for what is clearly better`() {
        let keys = (1...4).map { NodeKey.number($0) }
        func order(_ costs: [UInt64?]) -> [NodeKey] {
            var known: [NodeKey: Instant.Span] = [:]
            for (key, cost) in zip(keys, costs) { known[key] = cost.map { .milliseconds($0) } }
            return Ranking.order(keys, costs: known)
        }
        #expect(order([20, 15, 18, 12]) == keys)
        #expect(order([80, 15, 18, 12]) == [keys[1], keys[2], keys[3], keys[0]])
        #expect(order([nil, 15, nil, 100]) == [keys[1], keys[3], keys[0], keys[2]])
    }

    @Test func `a log keeps so many samples and no more`() {
        var log = SampleLog()
        for at in 0..<10_000 { log.add(ProbeSample(at: .at(UInt64(at)), roundTrip: .milliseconds(1))) }
        #expect(log.samples.count < SampleLog.maximumSamples)
        #expect(log.samples.last?.at == .at(9_999))
        log.add(ProbeSample(at: .at(9_500), roundTrip: nil))
        #expect(zip(log.samples, log.samples.dropFirst()).allSatisfy { $0.at <= $1.at })
    }
}

@Suite struct ProbePlanTests {
    @Test func `a new candidate is measured at once and again soon, and then as it deserves`() {
        var plan = ProbePlan(seed: 1)
        let keys = (1...10).map { NodeKey.number($0) }
        var probes: [NodeKey: Int] = [:]
        for second in stride(from: UInt64(0), to: 600_000, by: 500) {
            let now = Instant.at(second)
            plan.update(keys, held: [keys[0], keys[1]], at: now)
            for probe in plan.timePassed(at: now) {
                probes[probe.key, default: 0] += 1
                plan.ended(probe.key, answered: true, at: now)
            }
            if second == 3_000 { #expect(probes.count == 10) }
            if second == 10_000 { #expect(probes.values.allSatisfy { $0 >= 2 }) }
        }
        #expect((45...75).contains(probes[keys[0]] ?? 0))
        #expect((25...37).contains(probes[keys[3]] ?? 0))
        #expect((5...8).contains(probes[keys[9]] ?? 0))
    }

    @Test func `what does not answer is asked ever less`() {
        var plan = ProbePlan(seed: 1)
        var times: [UInt64] = []
        for second in UInt64(0)..<3_600 {
            plan.update([.number(1)], held: [], at: .at(second * 1_000))
            for probe in plan.timePassed(at: .at(second * 1_000)) {
                times.append(second)
                plan.ended(probe.key, answered: false, at: .at(second * 1_000))
            }
        }
        #expect((8...18).contains(times.count), "\(times)")
    }

    @Test func `what is waited for is asked every two seconds until it answers`() {
        var plan = ProbePlan(seed: 1)
        var times: [UInt64] = []
        for tick in UInt64(0)..<120 {
            let now = Instant.at(tick * 500)
            plan.update([.number(1)], held: [], awaited: tick < 40 ? [.number(1)] : [], at: now)
            for probe in plan.timePassed(at: now) {
                times.append(tick * 500)
                plan.ended(probe.key, answered: tick >= 20, at: now)
            }
        }
        let silent = times.filter { $0 <= 12_000 }
        #expect((5...7).contains(silent.count) && zip(silent, silent.dropFirst()).allSatisfy { $1 - $0 <= 2_500 })
        #expect((1...3).contains(times.count - silent.count), "\(times)")
    }

    @Test func `candidates and probes at once are bounded, and everybody's turn comes`() {
        var plan = ProbePlan(seed: 1)
        let keys = (0..<250).map { NodeKey(bytes: .seed(UInt64($0)))! }
        var open: Set<NodeKey> = []
        var seen: Set<NodeKey> = []
        for second in UInt64(0)..<9_000 {
            let now = Instant.at(second * 1_000)
            if second % 60 == 0 { plan.update(keys, held: [], at: now) }
            for key in open { plan.ended(key, answered: true, at: now) }
            open = Set(plan.timePassed(at: now).map(\.key))
            seen.formUnion(open)
            #expect(open.count <= plan.limits.atOnce)
            #expect(plan.planned <= plan.limits.candidates)
        }
        #expect(seen.count == 250)
    }

    @Test func `a probe that never ends makes room after its time`() {
        var plan = ProbePlan(seed: 1)
        plan.update([.number(1)], held: [], at: .zero)
        #expect(plan.timePassed(at: .zero).count == 1)
        #expect(plan.timePassed(at: .at(1_000)).isEmpty)
        #expect(plan.nextDeadline == .at(3_000))
        #expect(plan.timePassed(at: .at(3_000)).isEmpty)
        #expect(plan.timePassed(at: .at(12_000)).count == 1)
    }

    @Test func `when the relay in use gets worse the alternates are measured at once`() {
        var plan = ProbePlan(seed: 1)
        let keys = (1...8).map { NodeKey.number($0) }
        for second in UInt64(0)..<60 {
            plan.update(keys, held: [keys[0]], at: .at(second * 1_000))
            for probe in plan.timePassed(at: .at(second * 1_000)) {
                plan.ended(probe.key, answered: true, at: .at(second * 1_000))
            }
        }
        plan.update(keys, held: [keys[0]], isUrgent: true, at: .at(60_000))
        let due = Set(plan.timePassed(at: .at(60_000)).map(\.key))
        #expect(due.isSuperset(of: keys[1...4].prefix(plan.limits.atOnce)))
    }
}
