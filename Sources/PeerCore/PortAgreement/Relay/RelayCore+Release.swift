internal import PeerWire

/// What a relay's owner takes back by hand.
extension RelayCore {
    /// How long a node is refused what was taken from it. A restart forgets it: who is to stay away for good is kept
    /// away by its token, the mesh key or a filter.
    public static let releaseSpan = Instant.Span.seconds(600)
    static let maximumReleases = 1_024

    /// The lease of a port ends, and with it what the visitors of its mapping had open.
    mutating func release(_ claim: Claim, _ now: Instant) -> [Action] {
        note(.claim(claim), now)
        guard agreements[claim] == nil else { return refuse(claim, .notGranted, Self.releasedPort) }
        return giveUp(claim)
    }

    /// A node is sent away: its session ends, what its visitors had open is broken off, and all its leases end.
    mutating func sendAway(_ key: NodeKey, _ now: Instant, _ wall: WallTime) -> [Action] {
        note(.key(key), now)
        let ended = live[key].map { dismiss([$0], .revoked, Self.sentAway, wall) } ?? []
        let claims = leases.all.filter { $0.key == key }.map { Claim(key: key, mapping: $0.mapping) }
        return ended + claims.sorted(by: Claim.precedes).flatMap { giveUp($0) }
    }

    func isReleased(_ claim: Claim, _ now: Instant) -> Bool { releases[.claim(claim)].map { now < $0 } ?? false }
    func isSentAway(_ key: NodeKey, _ now: Instant) -> Bool { releases[.key(key)].map { now < $0 } ?? false }

    mutating func forgetReleases(_ now: Instant) { releases = releases.filter { now < $0.value } }

    private mutating func note(_ release: Release, _ now: Instant) {
        if releases.count >= Self.maximumReleases, let oldest = releases.min(by: { $0.value < $1.value })?.key {
            releases[oldest] = nil
        }
        releases[release] = now + Self.releaseSpan
    }

    enum Release: Hashable, Sendable {
        case claim(Claim)
        case key(NodeKey)
    }

    static let releasedPort =
        "the relay's owner took this port back and refuses it for 10 minutes; for another one: p2prc unmap, then --mp"
    static let sentAway = "the relay's owner sent this node away for 10 minutes"
}
