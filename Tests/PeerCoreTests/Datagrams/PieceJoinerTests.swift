import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite("Datagrams in pieces")
struct PieceJoinerTests {
    /// A class around the value: `#expect` takes no mutating call.
    private final class Bench {
        private(set) var joiner = PieceJoiner()
        var now = Instant.zero

        func take(_ flow: UInt64, _ datagram: UInt16, _ index: UInt8, of count: UInt8, _ bytes: [UInt8]) -> [UInt8]? {
            joiner.take(.init(datagram: datagram, index: index, count: count), of: flow, bytes, at: now)
        }
    }

    @Test("are joined in whatever order the pieces come", arguments: [[0, 1, 2], [2, 1, 0], [1, 2, 0]] as [[UInt8]])
    func order(_ order: [UInt8]) {
        let bench = Bench()
        var joined: [UInt8]?
        for index in order {
            #expect(joined == nil)
            joined = bench.take(7, 1, index, of: 3, [index, index])
        }
        #expect(joined == [0, 0, 1, 1, 2, 2])
        #expect(bench.joiner.counts.joined == 1)
        #expect(bench.joiner.counts.lost == 0)
    }

    @Test("of several flows and several of one flow are not mixed up")
    func several() {
        let bench = Bench()
        for flow: UInt64 in 0..<4 {
            for datagram: UInt16 in 0..<4 { _ = bench.take(flow, datagram, 0, of: 2, [UInt8(flow), UInt8(datagram)]) }
        }
        for flow: UInt64 in 0..<4 {
            for datagram: UInt16 in 0..<4 {
                #expect(bench.take(flow, datagram, 1, of: 2, [9]) == [UInt8(flow), UInt8(datagram), 9])
            }
        }
    }

    @Test("are given up when a piece does not come in time, and when there are too many")
    func bounds() {
        let bench = Bench()
        _ = bench.take(1, 1, 0, of: 2, [1])
        bench.now = .zero + PieceJoiner.limit
        #expect(bench.take(1, 1, 1, of: 2, [2]) == nil)
        #expect(bench.joiner.counts.lost == 1)
        for datagram in 0..<UInt16(PieceJoiner.places) { _ = bench.take(2, datagram, 0, of: 2, [1]) }
        // The one before gave way to the last of these; these have their places.
        #expect(bench.take(2, 0, 1, of: 2, [2]) == [1, 2])
        for datagram in 0..<UInt16(200) { _ = bench.take(3, datagram, 0, of: 2, [1]) }
        #expect(bench.joiner.counts.joined == 1)
        #expect(bench.joiner.counts.lost >= 200 - UInt64(PieceJoiner.places))
        #expect(bench.take(4, 0, 0, of: 2, [UInt8](repeating: 0, count: PieceJoiner.maximumPiece + 1)) == nil)
    }

    @Test("whose number comes again with another count are another one's")
    func again() {
        let bench = Bench()
        _ = bench.take(1, 1, 0, of: 3, [1])
        _ = bench.take(1, 1, 0, of: 2, [5])
        #expect(bench.take(1, 1, 1, of: 2, [6]) == [5, 6])
        #expect(bench.joiner.counts.joined == 1)
        #expect(bench.joiner.counts.lost == 1)
    }
}
