internal import PeerCore
internal import PeerStorage
internal import PeerWire

/// All that the IP table knows, read at one time, also beside a running node.
struct TableListing: Sendable {
    /// Probes of so long ago are counted in the figures. Milliseconds: an hour.
    private static let figuresSpan: Int64 = 60 * 60 * 1_000

    var own: SignedRecord?
    var records: [KeptRecord]
    /// Relays that this node had sessions with.
    var nodes: [KnownNode]
    var seeds: [Seed]
    var met: [NodeKey: [MetAddress]]
    var figures: [NodeKey: ProbeFigures]
    var bandwidths: [NodeKey: BandwidthSample]

    static func read(_ paths: HomePaths, at now: UnixTime) async throws(StorageError) -> TableListing {
        let table = try IPTable.inspect(paths) { Output.error("p2prc: \($0)") }
        let own = try await table.ownRecord()
        let records = try await table.unjudgedRecords(at: now.wallTime).records
        let nodes = try await table.nodes()
        let seeds = try await table.seeds()
        let met = Dictionary(grouping: try await table.metAddresses(), by: \.node)
        let start = UnixTime(milliseconds: now.milliseconds - figuresSpan)
        var figures = ProbeFigures.ofEach(try await table.probes(since: start))
        // Relays that are in use are measured in their sessions.
        for (node, sample) in try await table.latestLatencies() where figures[node] == nil && sample.at >= start {
            figures[node] = ProbeFigures([NodeSample(node: node, at: sample.at, roundTrip: sample.roundTrip)])
        }
        let bandwidths = try await table.latestBandwidths()
        try await table.close()
        return TableListing(
            own: own, records: records, nodes: nodes, seeds: seeds, met: met, figures: figures, bandwidths: bandwidths)
    }

    /// This node, those with a record, relays first and the fastest of them in front, those that were met, then seeds.
    var document: TableDocument {
        var rows: [TableDocument.Row] = own.map { [TableDocument.Row($0.record, .own)] } ?? []
        let others = records.filter { $0.record.key != own?.key }
        let ranked = others.map { kept in
            (
                kept, isRelay: kept.record.record.roles.contains(.relay),
                latency: figures[kept.record.key]?.best ?? .longest
            )
        }.sorted { one, other in
            if one.isRelay != other.isRelay { return one.isRelay }
            if one.latency != other.latency { return one.latency < other.latency }
            return one.0.record.tag < other.0.record.tag
        }
        let known = Set(others.map(\.record.key) + [own?.key].compactMap { $0 })
        rows += ranked.map { row(TableDocument.Row($0.0), $0.0.record.key) }
        rows += nodes.filter { !known.contains($0.key) }.map { row(TableDocument.Row($0), $0.key) }
        rows += seeds.map { TableDocument.Row($0) }
        return TableDocument(ip_table: rows)
    }

    private func row(_ row: TableDocument.Row, _ key: NodeKey) -> TableDocument.Row {
        var row = row
        row.measure(figures[key], bandwidths[key])
        if let last = met[key]?.first?.lastSeen.wallTime.rfc3339, last > row.Last_seen ?? "" { row.Last_seen = last }
        return row
    }
}

extension Instant.Span {
    fileprivate static let longest = Instant.Span(nanoseconds: .max)
}
