import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct RecordTableTests {
    static let time: Int64 = 1_800_000_000

    static func take(
        _ table: inout RecordTable, _ record: SignedRecord, from source: Int = 1, time: Int64 = Self.time,
        at now: Instant = .zero
    ) -> RecordTable.Verdict {
        table.take(record, from: .number(source), time: time, at: now, isGenuine: Seal.isGenuine)
    }

    static func small(_ capacity: Int, reserved: Int) -> RecordTable {
        var limits = GossipLimits()
        limits.table.capacity = capacity
        limits.table.reserved = reserved
        return RecordTable(limits)
    }

    @Test func `the newest record of a key counts`() {
        var table = RecordTable()
        let seal = Seal(1)
        let (old, new) = (seal.record(issue: 5), seal.record(issue: 6, name: "new"))
        #expect(Self.take(&table, old) == .added)
        #expect(Self.take(&table, old) == .known)
        #expect(Self.take(&table, new) == .renewed)
        #expect(Self.take(&table, old) == .known)
        #expect(table[seal.key] == new)
        #expect(table.count == 1)
    }

    @Test func `what is forged, expired or from the future never enters`() {
        var table = RecordTable()
        let genuine = Seal(1).record()
        let forged = try! SignedRecord(genuine.record) { _ in [UInt8](repeating: 7, count: 64) }
        #expect(Self.take(&table, forged) == .refused(.forged))
        #expect(Self.take(&table, genuine, time: Self.time + 3_600) == .refused(.expired))
        #expect(Self.take(&table, Seal(1).record(issued: Self.time + 301)) == .refused(.early))
        // A number that no clock has reached yet could not be outdone by its own node.
        #expect(Self.take(&table, Seal(1).record(issue: .max)) == .refused(.early))
        #expect(table.count == 0)
        #expect(Self.take(&table, genuine, time: Self.time + 3_599) == .added)
    }

    @Test func `a forged successor does not drive out the genuine record`() {
        var table = RecordTable()
        let seal = Seal(1)
        #expect(Self.take(&table, seal.record(issue: 5)) == .added)
        let forged = try! SignedRecord(seal.record(issue: 9).record) { _ in [UInt8](repeating: 7, count: 64) }
        #expect(Self.take(&table, forged) == .refused(.forged))
        #expect(table[seal.key]?.issue == 5)
    }

    @Test func `a signature is judged only where everything else speaks for the record`() {
        var table = Self.small(4, reserved: 0)
        var judged = 0
        func take(_ record: SignedRecord, _ source: Int = 1) -> RecordTable.Verdict {
            table.take(record, from: .number(source), time: Self.time, at: .zero) {
                judged += 1
                return Seal.isGenuine($0)
            }
        }
        for number in 0..<4 { #expect(take(Seal(number).record()) == .added) }
        #expect(judged == 4)
        #expect(take(Seal(0).record()) == .known)
        #expect(take(Seal(5).record(issued: 0, lifetime: 1)) == .refused(.expired))
        #expect(take(Seal(6).record()) == .refused(.full))
        #expect(judged == 4)
    }

    @Test func `a key that issues without end is slowed down`() {
        var table = RecordTable()
        let seal = Seal(1)
        var taken = 0
        for issue in 0..<100 where Self.take(&table, seal.record(issue: UInt64(issue + 1))) != .refused(.tooOften) {
            taken += 1
        }
        #expect(taken == GossipLimits().table.renewals)
        #expect(Self.take(&table, seal.record(issue: 1_000), at: .at(60_000)) == .renewed)
    }

    @Test func `expired records go, and their sums with them`() {
        var table = RecordTable()
        let empty = table.digestSums(bits: 3)
        for number in 0..<50 {
            _ = Self.take(&table, Seal(number).record(lifetime: number < 20 ? 100 : 200, addresses: [.number(number)]))
        }
        #expect(table.removeExpired(time: Self.time + 99).isEmpty)
        #expect(table.removeExpired(time: Self.time + 100).count == 20)
        #expect(table.count == 30)
        #expect(table.removeExpired(time: Self.time + 200).count == 30)
        #expect(table.digestSums(bits: 3) == empty)
        #expect(table.count == 0)
    }

    @Test func `sums are equal exactly where records are`() {
        var (one, other) = (RecordTable(), RecordTable())
        for number in 0..<300 {
            _ = Self.take(&one, Seal(number).record())
            _ = Self.take(&other, Seal(299 - number).record())
        }
        for bits in 0...GossipDigest.maximumBucketBits {
            #expect(one.digestSums(bits: bits) == other.digestSums(bits: bits))
        }
        _ = Self.take(&one, Seal(7).record(issue: 1_800_000_000_001))
        for bits in 0...GossipDigest.maximumBucketBits {
            let (left, right) = (one.digestSums(bits: bits), other.digestSums(bits: bits))
            let differing = left.indices.filter { left[$0] != right[$0] }
            #expect(differing == [GossipDigest.bucket(of: Seal(7).key.tag, bits: bits)])
        }
        let all = (0..<8).flatMap { one.tags(inBucket: $0, bits: 3) }
        #expect(Set(all) == Set((0..<300).map { Seal($0).key.tag }) && all.count == 300)
    }

    @Test func `a flood of made-up keys pushes out nobody that others brought`() {
        var table = Self.small(400, reserved: 100)
        for number in 0..<200 { #expect(Self.take(&table, Seal(number).record(), from: number % 20) == .added) }
        for number in 1_000..<11_000 { _ = Self.take(&table, Seal(number).record(), from: 99) }
        #expect(table.count == 300)
        for number in 0..<200 { #expect(table[Seal(number).key] != nil) }
        // And a newcomer that another source brings finds room at the flood's cost.
        #expect(Self.take(&table, Seal(500).record(), from: 3) == .added)
        #expect(table.count == 300)
        for number in 0..<200 { #expect(table[Seal(number).key] != nil) }
    }

    @Test func `whoever was met keeps his place, and finds room where hearsay does not`() {
        var table = Self.small(40, reserved: 10)
        for number in 0..<30 { #expect(Self.take(&table, Seal(number).record(), from: 1) == .added) }
        #expect(Self.take(&table, Seal(50).record(), from: 1) == .refused(.full))
        for number in 60..<70 {
            let verdict = table.takeOwn(
                Seal(number).record(), from: .number(number), time: Self.time, at: .zero, isGenuine: Seal.isGenuine)
            #expect(verdict == .added)
            #expect(table.isMet(Seal(number).key))
        }
        #expect(table.count <= 40)
        for number in 1_000..<2_000 { _ = Self.take(&table, Seal(number).record(), from: number) }
        for number in 60..<70 { #expect(table[Seal(number).key] != nil) }
        #expect(table.count <= 40)
    }

    @Test
    func `a network that is met without end gives way to whoever comes from elsewhere, and leaves room for hearsay`() {
        var table = Self.small(100, reserved: 40)
        func meet(_ number: Int, at host: HostAddress) -> RecordTable.Verdict {
            table.takeOwn(
                Seal(number).record(), from: SourceGate.source(of: host), time: Self.time, at: .zero,
                isGenuine: Seal.isGenuine)
        }
        // A /56 with 256 /64s.
        for number in 0..<1_000 { _ = meet(number, at: .v6([0x2001, 0xdb8, 1, number & 255], number)) }
        #expect(table.metCount == 40)
        #expect(table.count == 100)
        // Honest newcomers, each at home: all of them have a place, and keep it.
        for number in 2_000..<2_019 { #expect(meet(number, at: .v6([0x2001, 0xdb9 + number, 7, 1], 1)) == .added) }
        for number in 3_000..<4_000 { _ = meet(number, at: .v6([0x2001, 0xdb8, 1, number & 255], number)) }
        for number in 2_000..<2_019 { #expect(table.isMet(Seal(number).key)) }
        // And what others tell takes the flood's place for hearsay.
        for number in 5_000..<5_020 { #expect(Self.take(&table, Seal(number).record(), from: number << 16) == .added) }
        #expect(table.count == 100)
        #expect(table.takeDisplaced().count >= 39)
        #expect(table.takeDisplaced().isEmpty)
    }

    @Test func `within one provider, and within one office, nobody fills the table for the others either`() {
        for width in [8, 0] {
            var table = Self.small(60, reserved: 20)
            for number in 0..<500 { _ = Self.take(&table, Seal(number).record(), from: 7 << 16 | 1 << width) }
            #expect(table.count == 40)
            for number in 1_000..<1_015 {
                #expect(
                    Self.take(&table, Seal(number).record(), from: 7 << 16 | (number & 127 | 128) << width) == .added)
            }
            for number in 2_000..<2_500 { _ = Self.take(&table, Seal(number).record(), from: 7 << 16 | 1 << width) }
            for number in 1_000..<1_015 { #expect(table[Seal(number).key] != nil) }
        }
    }

    @Test func `a record that is renewed for ten minutes keeps its place`() {
        var table = Self.small(10, reserved: 0)
        for number in 0..<10 { _ = Self.take(&table, Seal(number).record(issue: 1), from: 1) }
        for number in 0..<5 { _ = Self.take(&table, Seal(number).record(issue: 2), from: 1, at: .at(600_000)) }
        for number in 100..<200 { _ = Self.take(&table, Seal(number).record(), from: number, at: .at(600_000)) }
        for number in 0..<5 { #expect(table[Seal(number).key] != nil) }
        #expect(table.count == 10)
    }

    @Test func `whatever comes and goes, the table keeps its books`() {
        var random = SeededGenerator(seed: 3)
        var table = Self.small(200, reserved: 40)
        var time = Self.time
        for step in 0..<6_000 {
            let number = Int(random.next() % 400)
            time += Int64(random.next() % 3)
            let addresses = (0..<Int(random.next() % 3)).map { NodeAddress.number(number % 50 + $0) }
            let record = Seal(number).record(
                issue: UInt64(time) * 1_000, issued: time, lifetime: UInt32(random.next() % 300), addresses: addresses)
            let now = Instant.at(UInt64(step) * 1_000)
            let source = Int(random.next() % 12)
            if random.next() % 4 == 0 {
                _ = table.takeOwn(record, from: .number(source), time: time, at: now, isGenuine: Seal.isGenuine)
            } else {
                _ = Self.take(&table, record, from: source, time: time, at: now)
            }
            if random.next() % 8 == 0 { _ = table.removeExpired(time: time) }
            #expect(table.count <= 200)
        }
        for bits in [0, 4, 10] {
            var sums = [UInt64](repeating: 0, count: 1 << bits)
            for record in table.records {
                sums[GossipDigest.bucket(of: record.tag, bits: bits)] &+= GossipDigest.mark(
                    tag: record.tag, issue: record.issue)
            }
            #expect(table.digestSums(bits: bits) == sums)
        }
    }
}
