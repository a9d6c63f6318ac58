import PeerCore
import PeerWire
import Testing

@Suite struct PortWalkTests {
    @Test(arguments: 1...130) func `every place is visited once, whatever the size`(size: Int) throws {
        let range = try #require(PortRange(first: 1_000, count: size))
        for count in Set([1, 2, 3, size / 2, size - 1, size]) where count > 0 && count <= size {
            for seed in UInt64(0)..<3 {
                var random = SeededGenerator(seed: seed)
                var walk = PortWalk(range, count: count, random: &random)
                var visited: [UInt16] = []
                while let place = walk.next() {
                    #expect(place.count == count && range.contains(place))
                    visited.append(place.first)
                }
                let further = walk.next()
                #expect(further == nil)
                #expect(visited.sorted() == Array(1_000...UInt16(1_000 + size - count)))
            }
        }
    }

    @Test func `all ports there are`() {
        var random = SeededGenerator(seed: 1)
        var walk = PortWalk(.all, count: 1, random: &random)
        var seen = [Bool](repeating: false, count: 65_536)
        var count = 0
        while let place = walk.next() {
            if !seen[Int(place.first)] { count += 1 }
            seen[Int(place.first)] = true
        }
        #expect(count == 65_535)
    }

    @Test func `more than there is finds no place`() throws {
        var random = SeededGenerator(seed: 1)
        var walk = PortWalk(try #require(PortRange(first: 10, count: 3)), count: 4, random: &random)
        let further = walk.next()
        #expect(further == nil)
    }

    @Test func `two walks of one generator begin at different places`() throws {
        var random = SeededGenerator(seed: 1)
        let range = try #require(PortRange(first: 20_000, count: 10_000))
        let first = Set(
            (0..<20).map { _ in
                var walk = PortWalk(range, count: 1, random: &random)
                return walk.next()
            })
        #expect(first.count > 15)
    }
}
