public import PeerWire

/// Addresses that somebody came from who was let in: what is kept for those who were here is kept for these. A source
/// is an IPv4 address or an IPv6 /64, and is known for a day after its last session began.
///
/// Bounded by network, so that a member with many addresses does not push those of others out: at most 16 sources of a
/// /24 (IPv6: /48), and 1,024 such networks, of which the one that was heard of longest ago goes first.
public struct KnownSources: Sendable {
    public static let lifetime = Instant.Span.seconds(86_400)
    static let sourcesOfNetwork = 16
    static let networks = 1_024

    private var known: [String: [Network: Instant]] = [:]

    public init() {}

    /// Somebody from there was let in.
    public mutating func add(_ address: HostAddress, at now: Instant) {
        let name = address.accountNetwork
        if known[name] == nil, known.count >= Self.networks, let oldest = known.min(by: { latest($0) < latest($1) }) {
            known[oldest.key] = nil
        }
        var sources = known[name, default: [:]]
        sources[SourceGate.source(of: address)] = now
        if sources.count > Self.sourcesOfNetwork, let oldest = sources.min(by: { $0.value < $1.value }) {
            sources[oldest.key] = nil
        }
        known[name] = sources
    }

    public func contains(_ address: HostAddress, at now: Instant) -> Bool {
        guard let seen = known[address.accountNetwork]?[SourceGate.source(of: address)] else { return false }
        return now - seen < Self.lifetime
    }

    private func latest(_ entry: (key: String, value: [Network: Instant])) -> Instant {
        entry.value.values.max() ?? .zero
    }
}
