public import PeerWire

/// When a peer tells its relays where it reaches them (`Vouch`). No I/O.
///
/// Relays find out by themselves where they can, and that takes some seconds: so a session has to stand for a while
/// first. What is said holds for half an hour (`Reachability.lifetime`), and is said anew well before.
public struct VouchPlan: Sendable {
    /// From the first sight of a session.
    public static let patience = Instant.Span.seconds(8)
    public static let interval = Instant.Span.seconds(600)
    /// After one that was not answered.
    public static let retry = Instant.Span.seconds(30)

    private var next: [NodeKey: Instant] = [:]

    public init() {}

    /// Whom to tell now; each is then waited for as long as `retry`, unless `answered` comes.
    ///
    /// - Parameter relays: those with a session that this node would be of use to; few.
    public mutating func due(_ relays: [NodeKey], at now: Instant) -> [NodeKey] {
        next = next.filter { relays.contains($0.key) }
        for key in relays where next[key] == nil { next[key] = now + Self.patience }
        let due = relays.filter { next[$0].map { $0 <= now } ?? false }
        for key in due { next[key] = now + Self.retry }
        return due
    }

    /// Whether it counts there or not: it is told again, for that may change.
    public mutating func answered(_ key: NodeKey, at now: Instant) {
        if next[key] != nil { next[key] = now + Self.interval }
    }
}
