import PeerCore
import Testing

/// Checks of many ports, of which a few are made at once.
@Suite struct CheckQueueTests {
    /// Asks for that many, and says which are made at once.
    private func ask(_ queue: inout CheckQueue<Int>, _ numbers: Range<Int>) -> [Int] {
        var made: [Int] = []
        for number in numbers where queue.admits(number) {
            queue.began()
            made.append(number)
        }
        return made
    }

    @Test func `sixteen are made at once, and each that ends makes room for the next in line`() {
        var queue = CheckQueue<Int>()
        #expect(ask(&queue, 0..<40) == Array(0..<16))
        for number in 16..<40 {
            #expect(queue.next() == nil)
            queue.ended()
            queue.passed()
            #expect(queue.next() == number)
            queue.began()
        }
        queue.ended()
        #expect(queue.next() == nil)
    }

    @Test func `one that cannot be made now takes no place`() {
        var queue = CheckQueue<Int>()
        let admitted = (0..<100).filter { queue.admits($0) }
        #expect(admitted.count == 100)
    }

    @Test func `while nothing answers ever more are made at once, and few again when one has`() {
        var queue = CheckQueue<Int>()
        _ = ask(&queue, 0..<400)
        for _ in 0..<16 {
            queue.ended()
            queue.failed()
        }
        var atOnce = 0
        while queue.next() != nil {
            queue.began()
            atOnce += 1
        }
        #expect(atOnce == 16 + 16 * 4)
        queue.passed()
        queue.ended()
        #expect(queue.next() == nil)
    }

    @Test func `those that wait end with their session; those under way are still counted`() {
        var queue = CheckQueue<Int>()
        _ = ask(&queue, 0..<20)
        queue.sessionLost()
        queue.ended()
        #expect(queue.next() == nil)
        #expect(ask(&queue, 100..<110) == [100])
    }
}
