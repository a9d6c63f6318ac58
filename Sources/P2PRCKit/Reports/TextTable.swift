internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// Tables for people on a terminal.
enum TextTable {
    static func servers(_ registry: ServerRegistry, isWide: Bool = false) -> String {
        guard !registry.servers.isEmpty else {
            return "no reverse-proxy server is known; join one: p2prc -s --connect-reverse-proxy HOST"
        }
        let rows = registry.servers.map { server in
            let more = [server.encryption?.rawValue ?? "-", server.key?.short ?? "-"]
            return [
                server.name, server.address, server.state == .isSelf ? "-" : latency(server.latency),
                server.state.rawValue,
            ] + (isWide ? more : []) + [server.reason ?? ""]
        }
        return table(
            ["SERVER", "ADDRESS", "LATENCY", "STATE"] + (isWide ? ["ENCRYPTION", "KEY"] : []) + ["REMARK"], rows)
    }

    static func mappings(_ registry: MappingRegistry, isWide: Bool = false) -> String {
        MappingTable(isWide: isWide).text(registry)
    }

    private static func dropped(_ datagrams: StatusDocument.Datagram_counts) -> [String] {
        [
            (datagrams.Dropped, "for want of room"), (datagrams.Overflowed, "before they could be read"),
            (datagrams.Late, "late or repeated"), (datagrams.Incomplete, "with pieces missing"),
            (datagrams.Forged, "not genuine"),
        ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
    }

    static func status(_ status: StatusDocument, isWide: Bool = false) -> String {
        let roles = status.Roles.isEmpty ? "no role yet" : status.Roles.joined(separator: " and ")
        var lines = [
            "\(status.Name), \(roles), p2prc \(status.Version), process "
                + "\(status.Process), up \(status.Uptime_seconds) s",
            "key \(status.Key)", "home \(status.Home), server port \(status.Server_port)",
            "data channels encrypted by \(status.Encryption)",
        ]
        if let ports = status.Public_ports {
            let kind = status.Carries_UDP == false ? " for TCP alone (no UDP)" : ""
            let sessions = "\(status.Sessions) session\(status.Sessions == 1 ? "" : "s")"
            lines.append("gives out ports \(ports)\(kind); \(sessions)")
        }
        if status.Draining == true {
            lines.append("draining: takes no new peers; \(status.Sessions) still here; to stay: p2prc drain --undo")
        }
        if !status.reverse_proxy_servers.isEmpty {
            lines += ["", servers(ServerRegistry(servers: status.reverse_proxy_servers), isWide: isWide)]
        }
        if !status.reverse_proxy_mappings.isEmpty {
            let table = MappingTable(isWide: isWide, traffic: status.Mapping_traffic)
            lines += ["", table.text(MappingRegistry(mappings: status.reverse_proxy_mappings))]
        }
        let counted = status.Datagrams.map(dropped) ?? []
        if !counted.isEmpty { lines += ["", "datagrams dropped: " + counted.joined(separator: ", ")] }
        let rejected = status.Strangers
        let turnedAway =
            rejected.Foreign + rejected.Silent + rejected.Other_version + rejected.Crowded + rejected.Filtered
            + rejected.Unproven + rejected.Broken_TLS + rejected.Broken_handshakes
        if turnedAway > 0 { lines += ["", "turned away at the server port: \(turnedAway)"] }
        return lines.joined(separator: "\n")
    }

    /// Columns as wide as their widest cell, which ends with an ellipsis where it is too wide; the last column, with
    /// what there is to say, may be longer.
    static func table(_ header: [String], _ rows: [[String]]) -> String {
        let last = header.count - 1
        let all =
            [header]
            + rows.map { row in
                row.enumerated().map {
                    TerminalText.cell($1, limit: $0 == last ? longestRemark : TerminalText.widestCell)
                }
            }
        let widths = header.indices.map { column in all.map { TerminalText.columns($0[column]) }.max() ?? 0 }
        return all.map { row in
            var line = zip(row, widths).map { TerminalText.padded($0, to: $1) }.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }

    private static let longestRemark = 400

    private static func latency(_ span: Instant.Span?) -> String {
        guard let span else { return "-" }
        let hundredths = span.nanoseconds / 10_000
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction) ms"
    }

    static func size(_ bytes: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(bytes)
        var unit = 0
        while value >= 1_024, unit + 1 < units.count {
            value /= 1_024
            unit += 1
        }
        let tenths = Int((value * 10).rounded())
        return unit == 0 ? "\(bytes) B" : "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }
}
