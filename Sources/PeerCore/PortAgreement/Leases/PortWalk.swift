public import PeerWire

/// Visits every place for `count` consecutive ports in some ranges once, in an order that looks random, without
/// remembering where it was: start + step × i, modulo the number of places, with a step that shares no factor with it.
///
/// So a request finds a free port if there is one, however full the ranges are; drawing at random does not. And a peer
/// that may have few ports of many is led to those at once.
public struct PortWalk: Sendable {
    /// First ports of the ranges, and how many places are in those before.
    private var ranges: [(first: UInt16, placesBefore: Int)] = []
    private let count: Int
    private let places: Int
    private let start: Int
    private let step: Int
    private var visited = 0

    public init(_ range: PortRange, count: Int, random: inout SeededGenerator) {
        self.init([range], count: count, random: &random)
    }

    /// The ranges have no port in common.
    public init(_ ranges: [PortRange], count: Int, random: inout SeededGenerator) {
        self.count = count
        var places = 0
        for range in ranges where range.count >= count {
            self.ranges.append((range.first, places))
            places += range.count - count + 1
        }
        self.places = places
        start = places > 0 ? Int.random(in: 0..<places, using: &random) : 0
        var step = places > 1 ? Int.random(in: 1..<places, using: &random) : 1
        while Self.commonDivisor(step, max(places, 1)) != 1 { step = step % places + 1 }
        self.step = step
    }

    /// Whether there is no place at all, free or not.
    public var isEmpty: Bool { places == 0 }

    public mutating func next() -> PortRange? {
        guard visited < places else { return nil }
        let place = (start + step * visited) % places
        visited += 1
        // The last range that begins at or before the place.
        var (low, high) = (0, ranges.count)
        while low + 1 < high {
            let middle = (low + high) / 2
            if ranges[middle].placesBefore <= place { low = middle } else { high = middle }
        }
        return PortRange(first: ranges[low].first + UInt16(place - ranges[low].placesBefore), count: count)
    }

    private static func commonDivisor(_ left: Int, _ right: Int) -> Int {
        right == 0 ? left : commonDivisor(right, left % right)
    }
}
