import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct GossipTests {
    static let wall = WallTime.start

    static func gossip(_ number: Int, _ limits: GossipLimits = GossipLimits()) -> Gossip {
        Gossip(
            own: Seal(number).key, limits: limits, seed: UInt64(number), mayDial: { _ in true },
            isGenuine: Seal.isGenuine)
    }

    static func fill(_ gossip: inout Gossip, _ numbers: Range<Int>, at now: Instant = .zero) {
        gossip.restore(numbers.map { Seal($0).record(addresses: [.number($0)]) }, at: now, wall: wall)
    }

    /// All exchanges that are due at `asker`, with `answerer` at the other end whomever they go to; bytes that passed.
    @discardableResult
    static func exchange(_ asker: inout Gossip, _ answerer: inout Gossip, at now: Instant) -> Int {
        var bytes = 0
        var actions = asker.timePassed(at: now, wall: wall)
        let callers = (Gossip.Caller(key: asker.own, host: .v4(1)), Gossip.Caller(key: answerer.own, host: .v4(2)))
        while !actions.isEmpty {
            let action = actions.removeFirst()
            var answer = Gossip.Answer.busy
            var number: UInt64 = 0
            switch action {
            case .exchange(let which, _, let digest):
                number = which
                bytes += digest.bytes.count
                answer = answerer.asked(digest, by: callers.0, at: now, wall: wall)
            case .send(let which, let difference):
                number = which
                bytes += difference.bytes.count
                answer = answerer.asked(difference, by: callers.0, at: now, wall: wall)
            case .finish: continue
            }
            switch answer {
            case .busy: actions += asker.failed(number, at: now, wall: wall)
            case .difference(let difference):
                bytes += difference.bytes.count
                actions += asker.answered(number, difference, by: callers.1, at: now, wall: wall)
            }
        }
        return bytes
    }

    @Test func `two that compare have the same in the end, and little passes once they do`() {
        var (one, other) = (Self.gossip(1), Self.gossip(2))
        Self.fill(&one, 100..<300)
        Self.fill(&other, 250..<500)
        _ = one.book.add(seed: "other")
        var bytes = 0
        for second in UInt64(1)...120 { bytes = Self.exchange(&one, &other, at: .at(second * 5_000)) }
        #expect(Set(one.table.records) == Set(other.table.records))
        #expect(one.table.count == 400)
        // Three digests, three lists of a bucket that is drawn.
        #expect(bytes < 3 * (14 + 8 * 64 + 400), "\(bytes)")
    }

    @Test func `a round of a table with ten thousand rows stays below 100 KiB`() {
        var (one, other) = (Self.gossip(1), Self.gossip(2))
        Self.fill(&one, 10_000..<20_000)
        Self.fill(&other, 10_900..<20_900)
        var largest = 0
        for second in UInt64(1)...6 { largest = max(largest, Self.exchange(&one, &other, at: .at(second * 5_000))) }
        #expect(largest < 100 * 1_024, "\(largest)")
        #expect(largest > 3 * GossipDigest.maximumByteCount)
        #expect(one.table.count > 10_000)
    }

    @Test(arguments: [500, 4_000, 12_000])
    func `a newcomer is known to whoever has thousands of rows after its first exchange`(_ count: Int) {
        for newcomer in 1...8 {
            var (new, full) = (Self.gossip(newcomer), Self.gossip(9))
            Self.fill(&full, 100..<(100 + count))
            // What it has heard elsewhere makes its buckets narrower.
            Self.fill(&new, 30_000..<(30_000 + newcomer * 40))
            new.publish(Seal(newcomer).record(), at: .zero, wall: Self.wall)
            _ = new.book.add(seed: "full")
            Self.exchange(&new, &full, at: .at(5_000))
            #expect(full.table.isMet(Seal(newcomer).key), "\(newcomer) at \(full.table.count) rows")
        }
    }

    @Test func `whoever asks too often is told so, and nothing is done for him`() {
        var gossip = Self.gossip(1)
        let digest = GossipDigest(time: Self.wall.seconds, records: 0, sums: [0])!
        func busy(_ host: Int, _ count: Int, at now: Instant) -> Int {
            (0..<count).count { number in
                gossip.asked(
                    digest, by: .init(key: Seal(number + 50).key, host: .v4(host)), at: now, wall: Self.wall) == .busy
            }
        }
        #expect(busy(7, 100, at: .at(1_000)) == 80)
        #expect(busy(8, 20, at: .at(1_000)) == 0)
        #expect(busy(7, 20, at: .at(2_000)) == 0)
        #expect((9..<60).reduce(0) { $0 + busy($1, 20, at: .at(2_000)) } >= 51 * 20 - 400)
    }

    @Test func `what does not answer is left alone for a while, and seeds are never told`() {
        var gossip = Self.gossip(1)
        _ = gossip.book.add(seed: "192.0.2.1:8088")
        var attempts: [UInt64] = []
        for second in UInt64(0)..<3_600 {
            for action in gossip.timePassed(at: .at(second * 1_000), wall: Self.wall) {
                guard case .exchange(let number, let partner, _) = action else { continue }
                #expect(partner == .seed("192.0.2.1:8088"))
                attempts.append(second)
                _ = gossip.failed(number, at: .at(second * 1_000), wall: Self.wall)
            }
        }
        // An hour long, at least every 20 s: it is there again when the seed is.
        #expect((200...400).contains(attempts.count), "\(attempts.count)")
        #expect(zip(attempts, attempts.dropFirst()).allSatisfy { $1 - $0 <= 20 })
        #expect(gossip.table.count == 0)
    }

    @Test func `an exchange that takes too long has failed`() {
        var gossip = Self.gossip(1)
        _ = gossip.book.add(seed: "a")
        let actions = gossip.timePassed(at: .zero, wall: Self.wall)
        guard case .exchange(let number, _, _) = actions.first else {
            Issue.record("no exchange")
            return
        }
        #expect(gossip.timePassed(at: .at(6_000), wall: Self.wall).contains(.finish(number)))
        let late = GossipDifference(time: 0, room: 0, records: [Seal(3).record()])
        let caller = Gossip.Caller(key: Seal(2).key, host: .v4(2))
        #expect(gossip.answered(number, late, by: caller, at: .at(10_001), wall: Self.wall).isEmpty)
        #expect(gossip.table.count == 0)
    }

    @Test func `hosts that are not dialled on others' word are nobody's partners`() {
        var gossip = Gossip(
            own: Seal(1).key, seed: 1, mayDial: { $0 != .v4(7) }, isGenuine: Seal.isGenuine)
        gossip.restore([Seal(7).record(addresses: [.number(7)])], at: .zero, wall: Self.wall)
        for second in UInt64(0)..<60 {
            #expect(gossip.timePassed(at: .at(second * 1_000), wall: Self.wall).isEmpty)
        }
    }

    @Test func `many rows that name one host bring it no more dials than one row would`() {
        var gossip = Self.gossip(1)
        let flood = (0..<500).map { Seal(1_000 + $0).record(addresses: [.number(9, port: UInt16(1_000 + $0))]) }
        let others = (0..<50).map { Seal(100 + $0).record(addresses: [.number(100 + $0)]) }
        gossip.restore(flood + others, at: .zero, wall: Self.wall)
        var dials: [HostAddress: Int] = [:]
        for second in UInt64(0)..<2_000 {
            for action in gossip.timePassed(at: .at(second * 5_000), wall: Self.wall) {
                guard case .exchange(let number, .node(_, let address), let digest) = action else { continue }
                dials[address.host, default: 0] += 1
                guard address.host != .v4(9) else {
                    // Nobody of that name is there. Whom it tries instead is no part of this.
                    _ = gossip.failed(number, at: .at(second * 5_000), wall: Self.wall)
                    continue
                }
                let empty = GossipDifference(time: digest.time, room: 0)
                let caller = Gossip.Caller(key: Seal(100).key, host: address.host)
                _ = gossip.answered(number, empty, by: caller, at: .at(second * 5_000), wall: Self.wall)
            }
        }
        let total = dials.values.reduce(0, +)
        #expect(total > 2_000)
        #expect((dials[.v4(9)] ?? 0) * 20 < total, "\(dials[.v4(9)] ?? 0) of \(total)")
    }

    @Test func `a second process with the own key shows in the records of others`() {
        var gossip = Self.gossip(1)
        gossip.publish(Seal(1).record(issue: 1_800_000_000_000), at: .zero, wall: Self.wall)
        let foreign = Seal(1).record(issue: 1_800_000_000_500)
        let forged = try! SignedRecord(Seal(1).record(issue: 1_800_000_000_900).record) { _ in
            [UInt8](repeating: 1, count: 64)
        }
        for (host, record) in [(2, forged), (3, foreign)] {
            _ = gossip.asked(
                GossipDifference(time: Self.wall.seconds, room: 0, records: [record]),
                by: Gossip.Caller(key: Seal(2).key, host: .v4(host)), at: .zero, wall: Self.wall)
        }
        #expect(gossip.foreignOwn == foreign)
        #expect(gossip.table[Seal(1).key]?.issue == 1_800_000_000_000)
    }

    @Test func `records with real signatures are judged`() throws {
        let identity = NodeIdentity(seed: .seed(77))!
        var gossip = Gossip(own: Seal(1).key, seed: 1, mayDial: { _ in true })
        var record = Seal(5).record().record
        record.key = identity.key
        let genuine = try SignedRecord(record, by: identity)
        let forged = try SignedRecord(record) { _ in [UInt8](repeating: 9, count: 64) }
        gossip.restore([forged], at: .zero, wall: Self.wall)
        #expect(gossip.table.count == 0 && gossip.counts.refused == [.forged: 1])
        gossip.restore([genuine], at: .zero, wall: Self.wall)
        #expect(gossip.table.records == [genuine])
    }

    @Test func `of a body no more is taken than was offered room for, and nothing behind a forged record`() throws {
        let caller = Gossip.Caller(key: Seal(9).key, host: .v4(9))
        func post(_ records: [SignedRecord], to gossip: inout Gossip, at now: Instant = .zero) {
            let body = GossipDifference(time: Self.wall.seconds, room: 0, records: records)
            _ = gossip.asked(body, by: caller, at: now, wall: Self.wall)
        }
        var gossip = Self.gossip(1)
        let many = (100..<400).map { Seal($0).record() }
        post(many, to: &gossip)
        let room = GossipLimits().recordBytes
        #expect(gossip.counts.judged == room / (many[0].bytes.count + 2) && gossip.counts.judged > 10)

        let identity = NodeIdentity(seed: .seed(77))!
        var other = Gossip(own: Seal(1).key, seed: 1, mayDial: { _ in true })
        let forged = (5..<15).map { Seal($0).record() }
        var genuine = forged[0].record
        genuine.key = identity.key
        post([try SignedRecord(genuine, by: identity)] + forged, to: &other)
        #expect(other.counts.judged == 2 && other.counts.refused == [.forged: 1] && other.table.count == 1)
        // Nothing more is heard of that source for a minute, whatever key it has next.
        let digest = GossipDigest(time: Self.wall.seconds, records: 0, sums: [0])!
        func isHeard(_ key: Int, at host: Int, _ milliseconds: UInt64) -> Bool {
            let caller = Gossip.Caller(key: Seal(key).key, host: .v4(host))
            return other.asked(digest, by: caller, at: .at(milliseconds), wall: Self.wall) != .busy
        }
        #expect(!isHeard(9, at: 9, 1) && !isHeard(10, at: 9, 59_999))
        #expect(isHeard(9, at: 10, 2) && isHeard(9, at: 9, 60_000))

        var limits = GossipLimits()
        (limits.postedPerSecond, limits.postedAtOnce) = (5, 20)
        var slow = Self.gossip(1, limits)
        for round in UInt64(0)..<10 { post(many, to: &slow, at: .at(round)) }
        #expect(slow.counts.judged == 20)
        post(Array(many.suffix(3)), to: &slow, at: .at(2_000))
        #expect(slow.counts.judged == 23)
    }

    @Test func `a bucket that is listed again and again is looked at once`() throws {
        var gossip = Self.gossip(1)
        Self.fill(&gossip, 100..<1_100)
        _ = gossip.book.add(seed: "other")
        let actions = gossip.timePassed(at: .at(5_000), wall: Self.wall)
        guard case .exchange(let number, _, _)? = actions.first else {
            Issue.record("no exchange")
            return
        }
        let list = GossipDifference.List(bits: 0, bucket: 0, isWhole: true, entries: [])
        let lists =
            [list] + [GossipDifference.List](repeating: list, count: 1_024)
            + (0..<64).map { GossipDifference.List(bits: 6, bucket: $0, isWhole: true, entries: []) }
        let answer = GossipDifference(time: Self.wall.seconds, room: 6_144, lists: lists)
        let caller = Gossip.Caller(key: Seal(9).key, host: .v4(9))
        let time = ContinuousClock().measure {
            let sent = gossip.answered(number, answer, by: caller, at: .at(5_001), wall: Self.wall)
            guard case .send(_, let reply)? = sent.first else {
                Issue.record("nothing is sent")
                return
            }
            #expect(Set(reply.records).count == reply.records.count && !reply.records.isEmpty)
        }
        // Each list would cost as much as the first: seconds.
        #expect(time < .milliseconds(300), "\(time)")
    }

    @Test func `what was judged by its reader is not judged again, and counts only as long as it lives`() throws {
        var gossip = Gossip(own: Seal(1).key, seed: 1, mayDial: { _ in true }, isGenuine: { _ in false })
        let old = Seal(6).record(issued: Self.wall.seconds - 9_000, lifetime: 3_600)
        gossip.restore([Seal(5).record(), old], areJudged: true, at: .zero, wall: Self.wall)
        #expect(gossip.table.records.map(\.key) == [Seal(5).key] && gossip.takeChanges().isEmpty)
    }

    @Test func `a round that is hurried begins at once`() {
        var gossip = Self.gossip(1)
        _ = gossip.timePassed(at: .zero, wall: Self.wall)
        #expect(gossip.nextDeadline > .at(100))
        gossip.hurry(at: .at(100))
        #expect(gossip.nextDeadline == .at(100))
    }
}
