public import PeerWire

/// Which refusals of nodes are worth a line: one that comes back again and again to hear the same is told of once in a
/// while, with how often it came meanwhile.
public struct RepeatedRefusals: Sendable {
    public static let span = Instant.Span.seconds(600)
    /// Keys cost nothing: with more nodes than this, the one told of longest ago counts as new.
    public static let maximumNodes = 1_024

    private struct Told: Sendable {
        var reason: String
        var at: Instant
        var untold = 0
    }

    private var told: [NodeKey: Told] = [:]

    public init() {}

    /// - Returns: how many of the same were not told since the last one; `nil`: nor is this one.
    public mutating func note(_ key: NodeKey, _ reason: String, at now: Instant) -> Int? {
        if var known = told[key], known.reason == reason, now - known.at < Self.span {
            known.untold += 1
            told[key] = known
            return nil
        }
        let untold = told[key].map { $0.reason == reason ? $0.untold : 0 } ?? 0
        if told[key] == nil, told.count >= Self.maximumNodes,
            let oldest = told.min(by: { $0.value.at < $1.value.at })?.key
        {
            told[oldest] = nil
        }
        told[key] = Told(reason: reason, at: now)
        return untold
    }
}
