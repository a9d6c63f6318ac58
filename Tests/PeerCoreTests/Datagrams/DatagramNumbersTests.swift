import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite("The numbers of datagrams")
struct DatagramNumbersTests {
    /// A class around the value: `#expect` takes no mutating call.
    private final class Receiver {
        private(set) var numbers = IncomingNumbers()
        func take(_ epoch: UInt16, _ count: UInt64, at now: Instant = .zero) -> Bool {
            numbers.take(DatagramNumber(epoch: epoch, count: count), at: now)
        }
    }

    @Test("are given out once each, and begin anew with a new key when one is worn or old")
    func outgoing() {
        var numbers = OutgoingNumbers(at: .zero, lifetime: 3)
        var all: [DatagramNumber] = []
        for second: UInt64 in [0, 1, 2, 3, 4, 5, 6] { all.append(numbers.next(at: .zero + .seconds(second))!) }
        all.append(numbers.next(at: .zero + .seconds(4_000))!)
        all.append(numbers.next(at: .zero + .seconds(4_000))!)
        #expect(Set(all).count == all.count)
        #expect(all.map(\.epoch) == [0, 0, 0, 1, 1, 1, 2, 3, 3])
        #expect(all == all.sorted())
    }

    @Test("that come count once in their epoch, and those of another one only around its change")
    func incoming() {
        let receiver = Receiver()
        #expect(receiver.take(0, 0) && receiver.take(0, 2) && receiver.take(0, 1))
        #expect(!receiver.take(0, 1))
        #expect(!receiver.take(2, 0), "an epoch was left out")
        #expect(receiver.take(1, 3))
        #expect(receiver.take(0, 3), "still on its way")
        #expect(!receiver.take(0, 2) && !receiver.take(1, 3))
        #expect(receiver.take(1, 0))
        let late = Instant.zero + IncomingNumbers.overlap
        #expect(!receiver.take(0, 4, at: late))
        #expect(receiver.take(2, 0, at: late))
        #expect(!receiver.take(0, 5, at: late))
        #expect(receiver.numbers.newest == DatagramNumber(epoch: 2, count: 0))
    }

    @Test("of an epoch that is only looked at change nothing: what is not genuine has no effect")
    func lookedAt() {
        let receiver = Receiver()
        #expect(receiver.take(0, 10))
        for count in 0..<100 as Range<UInt64> {
            #expect(receiver.numbers.mayTake(DatagramNumber(epoch: 1, count: count), at: .zero))
        }
        #expect(receiver.numbers.epoch == 0)
        #expect(receiver.take(0, 11))
    }
}
