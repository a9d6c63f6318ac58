@testable import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct SourceGateTests {
    static func v4(_ number: Int) -> HostAddress {
        HostAddress(bytes: [10, UInt8(number >> 16 & 0xff), UInt8(number >> 8 & 0xff), UInt8(number & 0xff)])!
    }

    static let stranger = HostAddress("203.0.113.9")!

    static func ticket(_ verdict: SourceGate.Verdict) -> SourceGate.Ticket? {
        if case .admitted(let ticket) = verdict { ticket } else { nil }
    }

    @Test func `a source begins so many handshakes a second, another one its own`() {
        var gate = SourceGate(SourceGate.Limits(handshakesPerSecond: 5, halfOpen: 100), seed: 1)
        var verdicts = (0..<7).map { _ in gate.admit(Self.stranger, at: .zero) }
        #expect(verdicts.compactMap(Self.ticket).count == 5)
        #expect(verdicts.suffix(2) == [.tooFast, .tooFast])
        #expect(Self.ticket(gate.admit(Self.v4(1), at: .zero)) != nil)
        verdicts = (0..<3).map { _ in gate.admit(Self.stranger, at: .at(400)) }
        #expect(verdicts.compactMap(Self.ticket).count == 2)
    }

    @Test func `a source has so many unfinished, and each that is finished makes room`() {
        var gate = SourceGate(SourceGate.Limits(handshakesPerSecond: 1_000, halfOpen: 3), seed: 1)
        let tickets = (0..<3).compactMap { _ in Self.ticket(gate.admit(Self.stranger, at: .zero)) }
        #expect(tickets.count == 3)
        #expect(gate.admit(Self.stranger, at: .at(3_600_000)) == .tooManyHalfOpen)
        gate.finished(tickets[1])
        #expect(Self.ticket(gate.admit(Self.stranger, at: .at(3_600_000))) != nil)
        #expect(gate.admit(Self.stranger, at: .at(3_600_000)) == .tooManyHalfOpen)
    }

    @Test func `an IPv6 source is its slash 64, and IPv4 written as IPv6 is IPv4`() {
        var gate = SourceGate(SourceGate.Limits(handshakesPerSecond: 2, halfOpen: 100), seed: 1)
        for text in ["2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"] {
            #expect(Self.ticket(gate.admit(HostAddress(text)!, at: .zero)) != nil)
        }
        #expect(gate.admit(HostAddress("2001:db8:0:1:8000::")!, at: .zero) == .tooFast)
        #expect(Self.ticket(gate.admit(HostAddress("2001:db8:0:2::1")!, at: .zero)) != nil)
        for text in ["203.0.113.9", "::ffff:203.0.113.9"] { _ = gate.admit(HostAddress(text)!, at: .zero) }
        #expect(gate.admit(Self.stranger, at: .zero) == .tooFast)
    }

    @Test func `a full table keeps its counts: filling it does not reset one's own`() {
        var gate = SourceGate(SourceGate.Limits(handshakesPerSecond: 4, halfOpen: 8), capacity: 256, seed: 7)
        for _ in 0..<4 { #expect(Self.ticket(gate.admit(Self.stranger, at: .zero)) != nil) }
        #expect(gate.admit(Self.stranger, at: .zero) == .tooFast)
        for number in 0..<50_000 { _ = gate.admit(Self.v4(number), at: .at(100)) }
        #expect(gate.sourceCount == 256)
        #expect(gate.admit(Self.stranger, at: .at(100)) == .tooFast)
    }

    @Test func `a source with an open handshake is never forgotten`() {
        var gate = SourceGate(SourceGate.Limits(handshakesPerSecond: 100, halfOpen: 2), capacity: 64, seed: 7)
        let tickets = (0..<2).compactMap { _ in Self.ticket(gate.admit(Self.stranger, at: .zero)) }
        for second in 1...200 as ClosedRange<UInt64> {
            for number in 0..<20 {
                let verdict = gate.admit(Self.v4(Int(second) * 20 + number), at: .at(second * 1_000))
                if let ticket = Self.ticket(verdict) { gate.finished(ticket) }
            }
        }
        #expect(gate.admit(Self.stranger, at: .at(500_000)) == .tooManyHalfOpen)
        for ticket in tickets { gate.finished(ticket) }
        #expect(Self.ticket(gate.admit(Self.stranger, at: .at(500_000))) != nil)
    }

    @Test func `sources that came and went make room without anybody's help`() {
        var gate = SourceGate(SourceGate.Limits(handshakesPerSecond: 10, halfOpen: 2), capacity: 128, seed: 7)
        for number in 0..<20_000 {
            let verdict = gate.admit(Self.v4(number), at: .at(UInt64(number) * 50))
            guard let ticket = Self.ticket(verdict) else {
                Issue.record("\(number) was turned away")
                return
            }
            gate.finished(ticket)
        }
        #expect(gate.sourceCount <= 128)
    }

    @Test func `whoever finds no room shares a slot, and a flood of strangers leaves the known ones alone`() {
        var gate = SourceGate(SourceGate.Limits(handshakesPerSecond: 10, halfOpen: 1_000), capacity: 64, seed: 7)
        for number in 0..<64 { #expect(Self.ticket(gate.admit(Self.v4(number), at: .zero)) != nil) }
        var admitted = 0
        for number in 1_000..<101_000 where Self.ticket(gate.admit(Self.v4(number), at: .at(1))) != nil {
            admitted += 1
        }
        #expect(admitted > SourceGate.sharedSlots && admitted <= SourceGate.sharedSlots * 10)
        for number in 0..<64 { #expect(Self.ticket(gate.admit(Self.v4(number), at: .at(1))) != nil) }
    }

    @Test func `which slot is shared depends on the seed`() {
        func turnedAway(_ seed: UInt64) -> Set<Int> {
            var gate = SourceGate(SourceGate.Limits(handshakesPerSecond: 1, halfOpen: 9), capacity: 1, seed: seed)
            return Set((0..<200).filter { Self.ticket(gate.admit(Self.v4($0), at: .zero)) == nil })
        }
        #expect(turnedAway(1) == turnedAway(1))
        #expect(turnedAway(1) != turnedAway(2))
    }

    @Test func `a source with a session opens channels as fast as it likes, until its last session ends`() {
        var gate = SourceGate(SourceGate.Limits(handshakesPerSecond: 2, halfOpen: 3), seed: 1)
        gate.vouch(for: Self.stranger)
        gate.vouch(for: Self.stranger)
        for _ in 0..<1_000 {
            guard let ticket = Self.ticket(gate.admit(Self.stranger, at: .zero)) else {
                Issue.record("a vouched source was turned away")
                return
            }
            gate.finished(ticket)
        }
        let open = (0..<20).compactMap { _ in Self.ticket(gate.admit(Self.stranger, at: .zero)) }
        #expect(open.count == 3 * SourceGate.vouchedShare)
        gate.unvouch(for: Self.stranger)
        #expect(gate.admit(Self.stranger, at: .zero) == .tooManyHalfOpen)
        for ticket in open { gate.finished(ticket) }
        #expect(Self.ticket(gate.admit(Self.stranger, at: .zero)) != nil)
        gate.unvouch(for: Self.stranger)
        #expect(gate.admit(Self.stranger, at: .zero) == .tooFast)
        gate.unvouch(for: Self.stranger)
        #expect(gate.admit(Self.stranger, at: .zero) == .tooFast)
    }

    @Test func `all tickets given back leave nothing counted`() {
        var random = SeededGenerator(seed: 5)
        var gate = SourceGate(SourceGate.Limits(handshakesPerSecond: 50, halfOpen: 5), capacity: 32, seed: 5)
        var open: [SourceGate.Ticket] = []
        for step in 0..<20_000 as Range<UInt64> {
            let address = Self.v4(Int.random(in: 0..<500, using: &random))
            if let ticket = Self.ticket(gate.admit(address, at: .at(step))) { open.append(ticket) }
            if Bool.random(using: &random), !open.isEmpty {
                gate.finished(open.remove(at: Int.random(in: 0..<open.count, using: &random)))
            }
        }
        for ticket in open { gate.finished(ticket) }
        for number in 0..<500 {
            for _ in 0..<5 {
                let verdict = gate.admit(Self.v4(number), at: .at(100_000 + UInt64(number) * 2_000))
                #expect(Self.ticket(verdict) != nil)
                Self.ticket(verdict).map { gate.finished($0) }
            }
        }
    }
}
