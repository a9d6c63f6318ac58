internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// Mappings for people: what they look for first, and with `--wide` everything.
struct MappingTable {
    private typealias Row = MappingRegistry.Mapping

    var isWide = false
    /// Counters of each mapping, where they are to stand beside it.
    var traffic: [StatusDocument.Traffic]?

    func text(_ registry: MappingRegistry) -> String {
        guard !registry.mappings.isEmpty else { return "nothing is mapped; expose a port: p2prc --mp 8080" }
        let collapsed = PortRows.collapsed(registry.mappings)
        let runs = Dictionary(collapsed.map { ($0.first, $0) }) { first, _ in first }
        let rows = Self.inOrder(collapsed.map(\.first))
        let columns = columns(for: rows, runs)
        return TextTable.table(columns.map(\.header), rows.map { row in columns.map { $0.cell(row) } })
    }

    private struct Column {
        var header: String
        var cell: (Row) -> String
        init(_ header: String, _ cell: @escaping (Row) -> String) {
            self.header = header
            self.cell = cell
        }
    }

    /// - Parameter runs: the neighbouring ports that each row stands for.
    private func columns(for rows: [Row], _ runs: [Row: PortRows]) -> [Column] {
        var columns: [Column] = []
        if rows.contains(where: { $0.name != nil }) { columns.append(Column("NAME") { $0.name ?? "-" }) }
        columns.append(
            Column("PUBLIC ADDRESS") { runs[$0]?.publicAddress ?? "-" })
        let hasDatagrams = rows.contains { $0.type == .udp }
        if isWide || hasDatagrams { columns.append(Column("TYPE") { $0.type.rawValue }) }
        columns += [
            Column("TARGET") { (runs[$0]?.target ?? $0.target) + Self.header(of: $0) },
            Column("STATE") { $0.state.rawValue },
        ]
        if hasDatagrams, rows.contains(where: { $0.way.carrier != nil }) {
            columns.append(Column("CARRIER") { $0.type == .tcp ? "" : $0.way.carrier?.rawValue ?? "-" })
        }
        if traffic == nil, rows.contains(where: { $0.way.flows != nil }) {
            columns.append(Column("FLOWS") { $0.way.flows.map { "\($0)" } ?? "" })
        }
        columns += counters(for: rows)
        if isWide || rows.contains(where: { !$0.visitors.isForEverybody }) {
            columns.append(Column("VISITORS FROM") { $0.visitors.words ?? "everywhere" })
        }
        if isWide {
            columns += [
                Column("ENCRYPTION") { $0.way.encryption?.rawValue ?? "-" },
                Column("SERVER") { $0.serverName.isEmpty ? "-" : $0.serverName },
            ]
        }
        if isWide || rows.contains(where: { $0.role == .relay }) { columns.append(Column("PEER") { $0.peerName }) }
        if isWide {
            columns += [Column("MAPPING") { $0.mapping.description }, Column("TOLD AS") { $0.toldAs ?? "-" }]
        }
        columns.append(Column("REMARK") { (runs[$0]?.reason ?? $0.reason) ?? "" })
        return columns
    }

    /// How the target is told who each visitor is, where it is: few mappings have it, so it has no column of its own.
    private static func header(of row: Row) -> String {
        row.proxyProtocol == .off ? "" : " (PROXY \(row.proxyProtocol))"
    }

    /// In the first row that a mapping has for TCP, and in the first one for UDP: each protocol has an account.
    private func counters(for rows: [Row]) -> [Column] {
        guard let traffic else { return [] }
        var first: [Account: Int] = [:]
        for (index, row) in rows.enumerated() where first[Account(row)] == nil { first[Account(row)] = index }
        let counted = Dictionary(
            traffic.flatMap { all in
                [MappingRegistry.Mapping.Transport.tcp, .udp].map { type in
                    (Account(mapping: all.Mapping, role: all.Role, type: type), all.counts(of: type))
                }
            }, uniquingKeysWith: { first, _ in first })
        func column(_ header: String, _ cell: @escaping (StatusDocument.Traffic) -> String) -> Column {
            Column(header) { row in
                guard let place = first[Account(row)], rows[place] == row else { return "" }
                return counted[Account(row)].map(cell) ?? "-"
            }
        }
        let now = column("VISITORS") { "\($0.Open)" }
        var bytes = [
            column("FROM THEM") { TextTable.size($0.Bytes_from_visitors) },
            column("TO THEM") { TextTable.size($0.Bytes_to_visitors) },
        ]
        if traffic.contains(where: { $0.Datagrams?.Strays ?? 0 > 0 }) {
            bytes.append(column("STRAYS") { $0.Datagrams.map { "\($0.Strays)" } ?? "" })
        }
        guard isWide else { return [now] + bytes }
        return [now, column("SO FAR") { "\($0.Connections)" }, column("FAILED") { "\($0.Failed)" }]
            + [column("REFUSED") { "\($0.Refused)" }] + bytes
    }

    private struct Account: Hashable {
        var mapping: String
        var role: String
        var type: MappingRegistry.Mapping.Transport
        init(mapping: String, role: String, type: MappingRegistry.Mapping.Transport) {
            (self.mapping, self.role, self.type) = (mapping, role, type)
        }
        init(_ row: Row) { self.init(mapping: row.mapping.description, role: row.role.rawValue, type: row.type) }
    }

    /// What this node exposes first, by target, so that all relays of one stand together, the best relay first; its own
    /// server port last of these. Then what it carries for others, by port.
    private static func inOrder(_ rows: [Row]) -> [Row] {
        rows.enumerated().sorted { left, right in
            let (one, other) = (Place(left.element), Place(right.element))
            return one == other ? left.offset < right.offset : one < other
        }.map(\.element)
    }

    private struct Place: Comparable {
        var group = 0
        var host = ""
        var port: UInt16 = 0

        init(_ row: Row) {
            if row.role == .relay {
                group = 2
            } else if let (host, port) = HostText.parts(row.target) {
                (self.host, self.port) = (host, port)
            } else {
                group = 1
            }
        }

        static func < (left: Place, right: Place) -> Bool {
            (left.group, left.host, left.port) < (right.group, right.host, right.port)
        }
    }
}
