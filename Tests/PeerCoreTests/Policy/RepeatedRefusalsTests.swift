import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct RepeatedRefusalsTests {
    private let span = RepeatedRefusals.span

    @Test func `a node that hears the same again and again is told of once, and then with how often it came`() {
        var refusals = RepeatedRefusals()
        var lines: [Int] = []
        for second in UInt64(0)..<1_200 {
            if let untold = refusals.note(.number(1), "sent away", at: .zero + .seconds(second)) {
                lines.append(untold)
            }
        }
        #expect(lines == [0, 599])
    }

    @Test func `another reason and another node are told of at once`() {
        var refusals = RepeatedRefusals()
        #expect(refusals.note(.number(1), "sent away", at: .zero) == 0)
        #expect(refusals.note(.number(1), "sent away", at: .at(1)) == nil)
        #expect(refusals.note(.number(2), "sent away", at: .at(2)) == 0)
        #expect(refusals.note(.number(1), "too many", at: .at(3)) == 0)
        #expect(refusals.note(.number(1), "too many", at: .at(4)) == nil)
    }

    @Test func `with more nodes than it keeps, the one told of longest ago counts as new`() {
        var refusals = RepeatedRefusals()
        func key(_ number: Int) -> NodeKey {
            NodeKey(bytes: (0..<NodeKey.byteCount).map { $0 < 4 ? UInt8(truncatingIfNeeded: number >> ($0 * 8)) : 0 })!
        }
        for number in 0...RepeatedRefusals.maximumNodes {
            #expect(refusals.note(key(number), "no", at: .at(UInt64(number))) == 0)
        }
        #expect(refusals.note(key(RepeatedRefusals.maximumNodes), "no", at: .at(2_000)) == nil)
        #expect(refusals.note(key(1), "no", at: .at(2_000)) == nil)
        #expect(refusals.note(key(0), "no", at: .at(2_000)) == 0)
    }
}
