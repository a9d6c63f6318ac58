public import PeerWire

/// Visits every place for `count` consecutive ports in a range once, in an order that looks random, without
/// remembering where it was: start + step × i, modulo the number of places, with a step that shares no factor with it.
///
/// So a request finds a free port if there is one, however full the range is; drawing at random does not.
public struct PortWalk: Sendable {
    private let range: PortRange
    private let count: Int
    private let places: Int
    private let start: Int
    private let step: Int
    private var visited = 0

    public init(_ range: PortRange, count: Int, random: inout SeededGenerator) {
        self.range = range
        self.count = count
        places = max(0, range.count - count + 1)
        start = places > 0 ? Int.random(in: 0..<places, using: &random) : 0
        var step = places > 1 ? Int.random(in: 1..<places, using: &random) : 1
        while Self.commonDivisor(step, max(places, 1)) != 1 { step = step % places + 1 }
        self.step = step
    }

    public mutating func next() -> PortRange? {
        guard visited < places else { return nil }
        let place = (start + step * visited) % places
        visited += 1
        return PortRange(first: range.first + UInt16(place), count: count)
    }

    private static func commonDivisor(_ left: Int, _ right: Int) -> Int {
        right == 0 ? left : commonDivisor(right, left % right)
    }
}
