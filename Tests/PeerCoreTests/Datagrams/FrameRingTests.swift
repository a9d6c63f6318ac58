import PeerCore
import SimulationSupport
import Testing

@Suite("A ring of frames")
struct FrameRingTests {
    private static func limits(bytes: Int = 100, frames: Int = 10) -> FrameRing.Limits {
        var limits = FrameRing.Limits()
        limits.bytes = bytes
        limits.frames = frames
        return limits
    }

    private let start = Instant(nanoseconds: 5_000_000_000)

    @Test func `hands frames out in their order, those that lie one behind the other together`() {
        var ring = FrameRing(Self.limits())
        #expect([10, 20, 30].map { ring.push($0, at: start) } == [0, 10, 30])
        #expect(ring.take(upTo: 40, at: start) == 0..<30)
        #expect(ring.take(upTo: 40, at: start) == 30..<60)
        #expect(ring.take(upTo: 40, at: start) == nil)
        #expect(ring.isEmpty)
        #expect(ring.dropped == 0)
    }

    @Test func `hands out one frame that is longer than what is asked for`() {
        var ring = FrameRing(Self.limits())
        #expect([50, 10].map { ring.push($0, at: start) } == [0, 50])
        #expect(ring.take(upTo: 5, at: start) == 0..<50)
        #expect(ring.take(upTo: 5, at: start) == 50..<60)
    }

    @Test func `begins at the first byte again when nothing waits`() {
        var ring = FrameRing(Self.limits())
        #expect(ring.push(70, at: start) == 0)
        #expect(ring.take(upTo: 100, at: start) == 0..<70)
        #expect(ring.push(70, at: start) == 0)
    }

    @Test func `drops the oldest when a newer one needs the room`() {
        var ring = FrameRing(Self.limits())
        #expect([40, 40, 40].map { ring.push($0, at: start) } == [0, 40, 0])
        #expect(ring.dropped == 1)
        #expect(ring.take(upTo: 100, at: start) == 40..<80)
        #expect(ring.take(upTo: 100, at: start) == 0..<40)
        #expect(ring.take(upTo: 100, at: start) == nil)
    }

    @Test func `drops all others for a frame as long as the ring, and takes none that is longer`() {
        var ring = FrameRing(Self.limits())
        for _ in 0..<5 { _ = ring.push(20, at: start) }
        #expect(ring.push(100, at: start) == 0)
        #expect(ring.dropped == 5)
        #expect(ring.push(101, at: start) == nil)
        #expect(ring.push(0, at: start) == nil)
        #expect(ring.take(upTo: 1, at: start) == 0..<100)
    }

    @Test func `drops the oldest when there are too many, however small`() {
        var ring = FrameRing(Self.limits(frames: 3))
        for _ in 0..<8 { _ = ring.push(2, at: start) }
        #expect(ring.count == 3)
        #expect(ring.dropped == 5)
        #expect(ring.take(upTo: 100, at: start) == 10..<16)
    }

    @Test func `hands out nothing that waited for more than a second`() {
        var ring = FrameRing(Self.limits())
        _ = ring.push(10, at: start)
        _ = ring.push(20, at: start + .milliseconds(600))
        #expect(ring.take(upTo: 5, at: start + .milliseconds(1_100)) == 10..<30)
        #expect(ring.dropped == 1)
        _ = ring.push(10, at: start + .milliseconds(1_200))
        #expect(ring.take(upTo: 5, at: start + .milliseconds(2_201)) == nil)
        #expect(ring.dropped == 2)
    }

    @Test func `what is dropped is older than what comes out, and nothing lies on what waits`() {
        var random = SeededGenerator(seed: 7)
        for bytes in [64, 100, 1_000] {
            var ring = FrameRing(Self.limits(bytes: bytes, frames: 16))
            var memory = [Int](repeating: -1, count: bytes)
            var waiting: [(number: Int, length: Int)] = []
            var dropped = 0
            for number in 0..<20_000 {
                if Bool.random(using: &random) {
                    let length = Int.random(in: 1...(bytes / 3), using: &random)
                    guard let place = ring.push(length, at: start) else { Issue.record("no place"); return }
                    waiting.append((number, length))
                    for at in place..<(place + length) { memory[at] = number }
                    let gone = Int(ring.dropped) - dropped
                    dropped += gone
                    waiting.removeFirst(gone)
                } else if let places = ring.take(upTo: bytes / 4, at: start) {
                    var at = places.lowerBound
                    while at < places.upperBound {
                        let frame = waiting.removeFirst()
                        let isWhole = memory[at..<(at + frame.length)].allSatisfy { $0 == frame.number }
                        #expect(isWhole, "frame \(frame.number) of \(bytes)")
                        at += frame.length
                    }
                    #expect(at == places.upperBound)
                }
                guard ring.count == waiting.count else { Issue.record("\(ring.count), \(waiting.count)"); return }
            }
            #expect(dropped > 100)
        }
    }
}
