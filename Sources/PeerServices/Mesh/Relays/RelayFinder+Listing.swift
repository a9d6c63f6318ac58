public import PeerCore
internal import PeerReactor
public import PeerWire

/// A relay of the mesh as this node sees it, for whoever chooses one.
public struct MeshRelay: Sendable {
    public var key: NodeKey
    public var name: String
    /// The one that others have reached, where it is proven; it is to be dialled with `key` pinned. Else what it
    /// claims, for listings alone.
    public var address: NodeAddress
    public var isProven: Bool
    public var isDraining: Bool
    public var figures: RelayFigures
    /// `nil` where it cannot be chosen.
    public var cost: Instant.Span?
    public var verdict: Ranking.Verdict
    /// The same for people: why it is chosen or not.
    public var obstacle: String
    /// When its record was issued; seconds since 1970.
    public var issued: Int64
}

extension RelayFinder {
    /// The relays that are known, the best first; those that were measured before those that never answered.
    var known: [MeshRelay] {
        var known = ranking.rows.prefix(Self.maximumRelays).compactMap { row in
            relays[row.key].flatMap { listed(row.key, $0, row) }
        }
        // Those that are not ranked: first whom somebody reached whom this node has met, and then by name.
        let room = Self.maximumRelays - min(ranking.rows.count, Self.maximumRelays)
        if room > 0 {
            let ranked = Set(ranking.rows.map(\.key))
            let others = relays.filter { !ranked.contains($0.key) }
                .map { (key: $0.key, value: $0.value, isAttested: !metWitnesses(of: $0.value.record.record).isEmpty) }
                .sorted {
                    ($1.isAttested ? 1 : 0, $0.value.record.name, $0.key.tag)
                        < ($0.isAttested ? 1 : 0, $1.value.record.name, $1.key.tag)
                }
            known += others.prefix(room).compactMap { listed($0.key, $0.value, nil) }
        }
        return known
    }

    private func listed(_ key: NodeKey, _ relay: Relay, _ row: Ranking.Row?) -> MeshRelay? {
        let proven = relay.provenAddress
        let record = relay.record.record
        guard let address = proven ?? record.addresses.first else { return nil }
        // Proven since the ranking was made.
        let reason = proven == nil ? Ranking.reason(notProven: relay.verdict) : "it was heard of just now"
        let obstacle =
            context.host.isNamed(key) && proven == nil
            ? "used because you named it" : row.map(ranking.reason) ?? reason
        return MeshRelay(
            key: key, name: record.name, address: address, isProven: proven != nil,
            isDraining: record.roles.contains(.draining),
            figures: row?.figures ?? RelayFigures(SampleLog(), at: .zero), cost: row?.cost,
            verdict: row?.verdict ?? .notProven(relay.verdict),
            obstacle: obstacle, issued: record.issued)
    }

    /// The relays that may be chosen now, the cheapest first; asked for once a second.
    var candidates: [RelayCandidate] {
        ranking.usable.compactMap { key, cost in
            relays[key]?.provenAddress.map { RelayCandidate(key: key, endpoint: Endpoint($0), cost: cost) }
        }
    }

    /// Of these addresses, host:port, those of relays that are no candidates now, and may be soon.
    func outlooks(_ addresses: Set<String>) -> [NodeKey: FirstChoice.Outlook] {
        var outlooks: [NodeKey: FirstChoice.Outlook] = [:]
        for relay in known where relay.cost == nil {
            guard addresses.contains(Endpoint(relay.address).description) else { continue }
            switch relay.verdict {
            case .notMeasured, .notProven(.proven): outlooks[relay.key] = .measured
            case .silent, .notProven(.tooFewWitnesses): outlooks[relay.key] = .away
            case .chosen, .behind, .notWorthMoving, .notProven, .draining, .full: break
            }
        }
        return outlooks
    }
}
