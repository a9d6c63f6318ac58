public import PeerWire

/// What time it is in the mesh, for a node whose own clock may be wrong by a day: its clock, corrected by the median of
/// what its partners' clocks say. It takes three partners to correct anything, so nobody shifts it alone, and as long
/// as most partners are honest a liar does not shift it at all. Small deviations are left alone.
public struct MeshClock: Sendable {
    /// Partners that are remembered.
    public static let maximumPartners = 32
    /// Below that many there is no correction.
    public static let fewestPartners = 3
    /// Seconds. A deviation up to this is left alone.
    public static let tolerance: Int64 = 60

    private var offsets: [(key: NodeKey, seconds: Int64)] = []

    public init() {}

    /// A partner, known by its key, said what time it is.
    public mutating func heard(_ theirs: Int64, from key: NodeKey, own: WallTime) {
        let (offset, overflows) = theirs.subtractingReportingOverflow(own.seconds)
        guard !overflows, theirs >= 0 else { return }
        offsets.removeAll { $0.key == key }
        if offsets.count == Self.maximumPartners { offsets.removeFirst() }
        offsets.append((key, offset))
    }

    /// Seconds to be added to the own clock.
    public var correction: Int64 {
        guard offsets.count >= Self.fewestPartners else { return 0 }
        // Its own clock is a witness like the others.
        let sorted = (offsets.map(\.seconds) + [0]).sorted()
        let median = sorted[(sorted.count - 1) / 2]
        return median.magnitude > UInt64(Self.tolerance) ? median : 0
    }

    /// Seconds since 1970.
    public func time(at wall: WallTime) -> Int64 { wall.seconds.addingReportingOverflow(correction).partialValue }
}
