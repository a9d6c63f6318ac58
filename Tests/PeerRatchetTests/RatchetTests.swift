import PeerCore
import Testing

@testable import PeerRatchet

/// One end of a circuit against the other.
struct RatchetTests {
    @Test(arguments: RecordSuite.allCases, [UInt64](1...4))
    func `whatever turns the two ends take, every text arrives as it was`(_ suite: RecordSuite, _ seed: UInt64) throws {
        var nodes = TwoNodes(seed: seed)
        var ends = try nodes.circuit(Ratchet.Settings(suite: suite))
        for _ in 0..<250 {
            let end = TwoEnds.End.allCases.randomElement(using: &nodes.random)!
            let length = Int.random(in: 0...200, using: &nodes.random)
            let text = (0..<length).map { _ in UInt8.random(in: 0...255, using: &nodes.random) }
            #expect(try ends.carry(text, from: end))
            ends.now = ends.now + .milliseconds(UInt64.random(in: 0...8_000, using: &nodes.random))
        }
    }

    @Test func `a record holds 16 KiB and nothing too, and not a byte more`() throws {
        var nodes = TwoNodes()
        var ends = try nodes.circuit()
        for count in [0, 1, Ratchet.maximumText] {
            let record = try ends.seal([UInt8](repeating: 7, count: count), at: .initiator)
            #expect(record.count == count + Ratchet.overhead)
            #expect(try ends.open(record, at: .responder).count == count)
        }
        #expect(throws: RatchetError.tooLong) {
            try ends.seal([UInt8](repeating: 7, count: Ratchet.maximumText + 1), at: .initiator)
        }
        for count in [0, 1, Ratchet.overhead - 1, Ratchet.overhead + Ratchet.maximumText + 1] {
            #expect(throws: RatchetError.malformed) {
                try ends.open([UInt8](repeating: 7, count: count), at: .responder)
            }
        }
        #expect(try ends.carry([1], from: .initiator))
    }

    @Test func `who has only a prekey out there cannot speak first`() throws {
        var nodes = TwoNodes()
        let made = try nodes.circuit()
        #expect(made.initiator.canSeal && made.responder.canSeal)
        var deaf = Ratchet(
            .init(size: .bits256), respondingWith: AgreementPair(using: &nodes.random), Ratchet.Settings(),
            context: [], at: .zero)
        #expect(!deaf.canSeal)
        #expect(throws: RatchetError.tooEarly) { try deaf.seal([1], at: .zero, using: &nodes.random) }
    }

    @Test func `a record that was changed anywhere is not genuine, and changes nothing`() throws {
        var nodes = TwoNodes()
        var ends = try nodes.circuit()
        let record = try ends.seal(Array("some text".utf8), at: .initiator)
        for index in record.indices {
            var changed = record
            changed[index] ^= 1
            #expect(throws: RatchetError.notGenuine) { try ends.open(changed, at: .responder) }
        }
        #expect(try ends.open(record, at: .responder) == Array("some text".utf8))
    }

    @Test func `on a stream a record that is dropped, doubled or overtaken is noticed at once`() throws {
        var nodes = TwoNodes()
        var ends = try nodes.circuit()
        let records = try (UInt8(0)..<3).map { try ends.seal([$0], at: .initiator) }
        #expect(throws: RatchetError.outOfOrder) { try ends.open(records[1], at: .responder) }
        #expect(try ends.open(records[0], at: .responder) == [0])
        #expect(throws: RatchetError.outOfOrder) { try ends.open(records[0], at: .responder) }
        #expect(throws: RatchetError.outOfOrder) { try ends.open(records[2], at: .responder) }
        #expect(try ends.open(records[1], at: .responder) == [1])
        // Over a step too: what is missing is the last record of the chain before.
        #expect(try ends.carry([9], from: .responder))
        ends.now = ends.now + .seconds(10)
        let stepped = try ends.seal([3], at: .initiator)
        #expect(throws: RatchetError.outOfOrder) { try ends.open(stepped, at: .responder) }
        #expect(try ends.open(records[2], at: .responder) == [2])
        #expect(try ends.open(stepped, at: .responder) == [3])
    }

    @Test(arguments: [UInt64](1...4))
    func `datagrams may be lost and overtake each other, over steps too, and none counts twice`(_ seed: UInt64) throws {
        var nodes = TwoNodes(seed: seed)
        var ends = try nodes.circuit(Ratchet.Settings(order: .datagrams))
        var underWay: [(end: TwoEnds.End, text: [UInt8], record: [UInt8])] = []
        var opened: [(end: TwoEnds.End, record: [UInt8])] = []
        for number in 0..<500 {
            let end = TwoEnds.End.allCases.randomElement(using: &nodes.random)!
            let text = [UInt8(number >> 8), UInt8(number & 255)]
            underWay.append((end, text, try ends.seal(text, at: end)))
            ends.now = ends.now + .milliseconds(UInt64.random(in: 0...3_000, using: &nodes.random))
            while underWay.count > 20 {
                let next = underWay.remove(at: Int.random(in: 0..<20, using: &nodes.random))
                // One in ten is lost.
                guard Int.random(in: 0..<10, using: &nodes.random) > 0 else { continue }
                #expect(try ends.open(next.record, at: next.end.other) == next.text)
                opened.append((next.end, next.record))
            }
        }
        for again in opened.suffix(200) {
            #expect(throws: RatchetError.notGenuine) { try ends.open(again.record, at: again.end.other) }
        }
    }

    @Test func `keys of lost datagrams are kept up to a bound, the oldest goes, and a long gap ends nothing`() throws {
        var nodes = TwoNodes()
        var settings = Ratchet.Settings(order: .datagrams)
        settings.limits.steps = 1_000
        var ends = try nodes.circuit(settings)
        let lost = try (0..<300).map { try ends.seal([UInt8($0 & 255)], at: .initiator) }
        #expect(try ends.carry([1], from: .initiator))
        #expect(throws: RatchetError.notGenuine) { try ends.open(lost[43], at: .responder) }
        #expect(try ends.open(lost[44], at: .responder) == [44])
        #expect(try ends.open(lost[299], at: .responder) == [43])
        #expect(throws: RatchetError.notGenuine) { try ends.open(lost[44], at: .responder) }
        for _ in 0..<1_000 { _ = try ends.seal([], at: .initiator) }
        #expect(try ends.carry([2], from: .initiator))
        for _ in 0...1_000 { _ = try ends.seal([], at: .initiator) }
        let far = try ends.seal([3], at: .initiator)
        #expect(throws: RatchetError.tooManySkipped) { try ends.open(far, at: .responder) }
    }

    @Test func `an end has a new key with its next record after the other's, but not more often than it has to`()
        throws
    {
        var nodes = TwoNodes()
        var settings = Ratchet.Settings()
        settings.limits.renewalBytes = 64 * Ratchet.maximumText
        var ends = try nodes.circuit(settings)
        func steps(_ rounds: Int, _ pause: Instant.Span, text: Int = 1) throws -> Int {
            var count = 0
            for _ in 0..<rounds {
                for end in TwoEnds.End.allCases {
                    let before = end == .initiator ? ends.initiator.ownKey : ends.responder.ownKey
                    #expect(try ends.carry([UInt8](repeating: 0, count: text), from: end))
                    if (end == .initiator ? ends.initiator.ownKey : ends.responder.ownKey) != before { count += 1 }
                }
                ends.now = ends.now + pause
            }
            return count
        }
        // The responder's first record has its first key.
        #expect(try steps(100, .milliseconds(10)) == 1)
        // Each of both ends, after 10 s of its own.
        #expect((10...12).contains(try steps(60, .seconds(1))))
        // Each of both, after so much text of its own.
        let busy = try steps(256, .zero, text: Ratchet.maximumText)
        #expect((6...8).contains(busy), "\(busy)")
        let usual = Ratchet.Settings().limits
        #expect(usual.renewalInterval == .seconds(10) && usual.renewalBytes == 67_108_864)
    }

    @Test func `both directions at once renew their keys, whoever hears of the other's first`() throws {
        var nodes = TwoNodes()
        var ends = try nodes.circuit()
        for round in 0..<20 {
            // Both seal three before either has opened what the other one sealed.
            var crossing: [(TwoEnds.End, [UInt8])] = []
            for end in TwoEnds.End.allCases {
                for number in 0..<3 { crossing.append((end, try ends.seal([UInt8(round), UInt8(number)], at: end))) }
            }
            for (end, record) in crossing { #expect(try ends.open(record, at: end.other)[0] == UInt8(round)) }
            ends.now = ends.now + .seconds(10)
        }
    }

    @Test func `stolen state opens nothing from before, and nothing from after both ends have renewed their keys`()
        throws
    {
        var nodes = TwoNodes()
        var ends = try nodes.circuit()
        let before = try ends.seal([1], at: .initiator)
        #expect(try ends.open(before, at: .responder) == [1])
        #expect(try ends.carry([2], from: .responder))
        var stolen = ends.responder
        #expect(throws: RatchetError.self) { try stolen.open(before) }
        // What follows is the thief's for now.
        let next = try ends.seal([3], at: .initiator)
        #expect(try stolen.open(next) == [3])
        #expect(try ends.open(next, at: .responder) == [3])
        for _ in 0..<2 {
            ends.now = ends.now + .seconds(10)
            for end in TwoEnds.End.allCases { #expect(try ends.carry([4], from: end)) }
        }
        let healed = try ends.seal([5], at: .initiator)
        #expect(throws: RatchetError.notGenuine) { try stolen.open(healed) }
        #expect(try ends.open(healed, at: .responder) == [5])
    }

    @Test func `no two records have anything in common that a relay could see`() throws {
        var nodes = TwoNodes()
        var ends = try nodes.circuit()
        let records = try (0..<200).map { _ in try ends.seal([0, 0, 0, 0], at: .initiator) }
        #expect(Set(records.map { Array($0.prefix(8)) }).count == records.count)
        #expect(!records.contains { $0.contains(subsequence: ends.initiator.ownKey.bytes) })
    }
}

extension Array where Element: Equatable {
    func contains(subsequence: [Element]) -> Bool {
        guard count >= subsequence.count else { return false }
        return (0...(count - subsequence.count)).contains { Array(self[$0..<($0 + subsequence.count)]) == subsequence }
    }
}
