internal import PeerMesh
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// Tables for people on a terminal.
enum TextTable {
    static func servers(_ registry: ServerRegistry) -> String {
        guard !registry.servers.isEmpty else {
            return "no reverse-proxy server is known; join one: p2prc -s --connect-reverse-proxy HOST"
        }
        return table(
            ["SERVER", "ADDRESS", "LATENCY", "STATE", "ENCRYPTION", "KEY", "REMARK"],
            registry.servers.map { server in
                [
                    server.name, server.address, server.state == .isSelf ? "-" : latency(server.latency),
                    server.state.rawValue, server.encryption?.rawValue ?? "-", server.key?.short ?? "-", server.reason ?? "",
                ]
            })
    }

    static func mappings(_ registry: MappingRegistry) -> String {
        guard !registry.mappings.isEmpty else { return "nothing is mapped; expose a port: p2prc --mp 8080" }
        return table(
            [
                "PUBLIC ADDRESS", "TYPE", "TARGET", "STATE", "ENCRYPTION", "SERVER", "PEER", "MAPPING", "TOLD AS",
                "REMARK",
            ],
            registry.mappings.map { row in
                [
                    row.blindPort.map { Endpoint(host: row.address ?? "?", port: $0).description } ?? "-",
                    row.type.rawValue, row.target, row.state.rawValue,
                    row.encryption?.rawValue ?? "-", row.serverName, row.peerName,
                    row.mapping.description, row.toldAs ?? "-", row.reason ?? "",
                ]
            })
    }

    static func status(_ status: StatusDocument) -> String {
        let roles = status.Roles.isEmpty ? "no role yet" : status.Roles.joined(separator: " and ")
        var lines = [
            "\(status.Name), \(roles), p2prc \(status.Version), process \(status.Process), up \(status.Uptime_seconds) s",
            "key \(status.Key)", "home \(status.Home), server port \(status.Server_port)",
            "data channels encrypted by \(status.Encryption)",
        ]
        if let ports = status.Public_ports { lines.append("gives out ports \(ports); \(status.Sessions) session\(status.Sessions == 1 ? "" : "s")") }
        if status.Draining == true {
            lines.append("draining: takes no new peers; \(status.Sessions) still here; to stay: p2prc drain --undo")
        }
        if !status.reverse_proxy_servers.isEmpty {
            lines += ["", servers(ServerRegistry(servers: status.reverse_proxy_servers))]
        }
        if !status.reverse_proxy_mappings.isEmpty {
            lines += ["", mappings(MappingRegistry(mappings: status.reverse_proxy_mappings))]
            lines += [
                "",
                table(
                    ["MAPPING", "ROLE", "CONNECTIONS", "OPEN", "FAILED", "REFUSED", "FROM VISITORS", "TO VISITORS"],
                    status.Mapping_traffic.map { row in
                        [
                            row.Mapping, row.Role, "\(row.Connections)", "\(row.Open)", "\(row.Failed)", "\(row.Refused)",
                            size(row.Bytes_from_visitors), size(row.Bytes_to_visitors),
                        ]
                    }),
            ]
        }
        let strangers = status.Strangers
        let turnedAway =
            strangers.Foreign + strangers.Silent + strangers.Other_version + strangers.Crowded + strangers.Filtered
            + strangers.Unproven + strangers.Broken_TLS + strangers.Broken_handshakes
        if turnedAway > 0 { lines += ["", "turned away at the server port: \(turnedAway)"] }
        return lines.joined(separator: "\n")
    }

    /// Columns as wide as their widest cell, which ends with an ellipsis where it is too wide; the last column, with what
    /// there is to say, may be longer.
    static func table(_ header: [String], _ rows: [[String]]) -> String {
        let last = header.count - 1
        let all = [header] + rows.map { row in
            row.enumerated().map { TerminalText.cell($1, limit: $0 == last ? longestRemark : TerminalText.widestCell) }
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
