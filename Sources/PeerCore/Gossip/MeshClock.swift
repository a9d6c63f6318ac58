public import PeerWire

/// What time it is in the mesh, for a node whose own clock may be wrong by a day: its clock, corrected by the median of
/// what its partners' clocks say.
///
/// Keys cost nothing, so networks have a vote and not keys: one for each IPv4 /24 and IPv6 /48, and few for each /16
/// and /32. Only partners that this node chose to ask are heard, never who calls; what they said counts for some
/// minutes. A clock that the system keeps in step with a source of time needs nobody's word, and nothing moves any
/// clock by more than a day. As long as most partners are honest a liar does not shift it at all. Small deviations are
/// left alone.
public struct MeshClock: Sendable {
    /// Votes that are remembered.
    public static let maximumVotes = 32
    /// Of one wide network.
    public static let votesOfWide = 4
    /// Below that many votes there is no correction.
    public static let fewestVotes = 3
    /// Seconds. A deviation up to this is left alone.
    public static let tolerance: Int64 = 60
    /// Seconds. What is further off is not believed: such a clock has to be set.
    public static let furthest: Int64 = 86_400
    /// How long a vote counts.
    public static let span = Instant.Span.seconds(600)

    private struct Vote {
        var place: NetworkSteps
        var seconds: Int64
        var at: Instant
    }

    private var votes: [Vote] = []
    /// The system keeps the own clock in step with a source of time.
    public var isSynchronized = false

    public init() {}

    /// A partner that this node asked said what time it is.
    public mutating func heard(_ theirs: Int64, at host: HostAddress, own: WallTime, now: Instant) {
        let (offset, overflows) = theirs.subtractingReportingOverflow(own.seconds)
        guard !overflows, theirs >= 0 else { return }
        let place = NetworkSteps(of: host)
        votes.removeAll { $0.place.near == place.near }
        let likeIt = votes.indices.filter { votes[$0].place.wide == place.wide }
        if likeIt.count >= Self.votesOfWide { votes.remove(at: likeIt[0]) }
        if votes.count == Self.maximumVotes { votes.removeFirst() }
        votes.append(Vote(place: place, seconds: offset, at: now))
    }

    /// What was said long ago counts no more.
    public mutating func forget(at now: Instant) { votes.removeAll { now - $0.at >= Self.span } }

    /// Seconds to be added to the own clock.
    public var correction: Int64 {
        guard !isSynchronized, votes.count >= Self.fewestVotes else { return 0 }
        // Its own clock is a witness like the others.
        let sorted = (votes.map(\.seconds) + [0]).sorted()
        let median = sorted[(sorted.count - 1) / 2]
        return median.magnitude > UInt64(Self.tolerance) && median.magnitude <= UInt64(Self.furthest) ? median : 0
    }

    /// Seconds since 1970.
    public func time(at wall: WallTime) -> Int64 { wall.seconds.addingReportingOverflow(correction).partialValue }
}
