internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// What `--specs NODE --json` prints (json/schema/ip_table_node.schema.json): a row of the table, and what only this
/// node knows beside it.
struct NodeDocument: Encodable {
    /// A node's word that it dialled this one there.
    struct Witness: Encodable {
        var Key: String
        var Address: String
        var Time: String
    }

    struct Met: Encodable {
        var Address: String
        var First_seen: String
        var Last_seen: String
    }

    /// Five minutes of probes.
    struct Span: Encodable {
        var Start: String
        /// The best round trip in milliseconds; left out without an answer.
        var Latency: Double?
        var Answers: Int
        var Lost: Int
    }

    var Node: TableDocument.Row
    var Mappings: [TableDocument.Mapping]
    var Witnesses: [Witness]
    var Met_at: [Met]
    var Last_hours: [Span]

    init(_ row: TableDocument.Row, record: NodeRecord?, met: [MetAddress], spans: [NodeSpan]) {
        Node = row
        // Beside the row, not in it as well.
        Node.Mappings = nil
        Mappings = record?.mappings.map { TableDocument.Mapping($0) } ?? []
        Witnesses =
            record?.witnesses.map { statement in
                Witness(
                    Key: statement.witness.description, Address: statement.address.description,
                    Time: WallTime(seconds: statement.time).rfc3339)
            } ?? []
        Met_at = met.map {
            Met(Address: $0.address, First_seen: $0.firstSeen.wallTime.rfc3339, Last_seen: $0.lastSeen.wallTime.rfc3339)
        }
        Last_hours = spans.map { span in
            Span(
                Start: span.start.wallTime.rfc3339, Latency: span.best.map(TableDocument.Row.milliseconds),
                Answers: span.answers, Lost: span.lost)
        }
    }
}

extension TableCommands {
    /// `--specs`.
    public func show(_ name: String) async throws(CommandError) -> ExitStatus {
        let listing = try await listing()
        let rows = listing.document.ip_table.filter { Self.isCalled($0, name) }
        guard let row = rows.first else {
            throw CommandError(.notFound, "no node is called \(name); --ls lists those that are known")
        }
        guard rows.count == 1 else {
            let names = rows.prefix(8).map { $0.Key ?? $0.Addresses.first ?? $0.Name }.joined(separator: ", ")
            throw CommandError(.notFound, "\(rows.count) nodes could be meant by \(name); name one of them: \(names)")
        }
        let key = row.Key.flatMap { NodeKey($0) }
        let records = listing.records.map(\.record) + [listing.own].compactMap { $0 }
        let record = records.first { $0.key == key }?.record
        var spans: [NodeSpan] = []
        if let key { spans = try await self.spans(of: key) }
        let met = key.flatMap { listing.met[$0] } ?? []
        let document = NodeDocument(row, record: record, met: met, spans: spans)
        if json { try printJSON(document) } else { Output.result(TextTable.node(document)) }
        return .success
    }

    private static func isCalled(_ row: TableDocument.Row, _ name: String) -> Bool {
        if row.Name == name || row.Addresses.contains(name) { return true }
        if row.Addresses.contains(where: { Endpoint($0)?.host == name }) { return true }
        return name.utf8.count >= 8 && row.Key?.hasPrefix(name.lowercased()) == true
    }

    private func spans(of key: NodeKey) async throws(CommandError) -> [NodeSpan] {
        guard let paths = try HomeAccess.inspect(home) else { throw noNode }
        do throws(StorageError) {
            let table = try IPTable.inspect(paths) { Output.error("p2prc: \($0)") }
            let start = UnixTime(milliseconds: UnixTime(.now).milliseconds - IPTable.probeLifetime)
            let spans = try await table.spans(of: key, since: start)
            try await table.close()
            return spans
        } catch { throw CommandError(error) }
    }
}

extension TextTable {
    static func node(_ document: NodeDocument) -> String {
        let row = document.Node
        var facts: [(String, String?)] = [
            ("name", row.Name), ("key", row.Key), ("from", row.Source.rawValue),
            ("roles", row.Roles.joined(separator: ", ")), ("software", row.Software), ("note", row.Note),
            ("addresses", row.Addresses.joined(separator: ", ")),
        ]
        facts += document.Met_at.map { ("met at", "\($0.Address), \($0.First_seen) to \($0.Last_seen)") }
        facts += document.Witnesses.map { ("reached by", "\($0.Key.prefix(16)) at \($0.Address), \($0.Time)") }
        facts += document.Mappings.map { mapping in
            ("mapping", "\(mapping.Name.isEmpty ? "-" : mapping.Name) at \(mapping.place)")
        }
        if let latency = row.Latency {
            let (middle, most) = (row.Latency_median ?? latency, row.Latency_p95 ?? latency)
            facts.append(("latency", "\(latency) ms at best, \(middle) in the middle, 95 % within \(most)"))
        }
        facts += [
            ("jitter", row.Jitter.map { "\($0) ms" }), ("set-up", row.Set_up.map { "\($0) ms" }),
            ("loss", row.Loss.map { "\(($0 * 1_000).rounded() / 10) % of \(row.Probes) probes in the last hour" }),
            ("download", row.Download.map { "\(size($0))/s" }), ("upload", row.Upload.map { "\(size($0))/s" }),
            ("first seen", row.First_seen), ("last seen", row.Last_seen), ("expires", row.Expires),
        ]
        return facts.compactMap { name, value in
            guard let value, !value.isEmpty else { return nil }
            return name + String(repeating: " ", count: max(1, 12 - name.count)) + value
        }.joined(separator: "\n")
    }
}
