extension P2PRCTable {
    /// How P2PRC lays a table out.
    public enum Layout: Hashable, Sendable {
        /// Between nodes: no blanks.
        case compact
        /// `ip_table.json`: a line for each value, indented by one blank a level.
        case file
    }

    /// As P2PRC's latest version writes it: all names, ports as text, whole nanoseconds.
    public func json(_ layout: Layout) -> [UInt8] {
        let writer = Writer(layout)
        let list = rows.map { row in
            let members = row.members.map { name, value in "\(writer.line(3))\"\(name)\":\(writer.blank)\(value)" }
            return "\(writer.line(2)){\(members.joined(separator: ","))\(writer.line(2))}"
        }.joined(separator: ",")
        let table = rows.isEmpty ? "[]" : "[\(list)\(writer.line(1))]"
        return Array("{\(writer.line(1))\"ip_address\":\(writer.blank)\(table)\(writer.line(0))}".utf8)
    }

    private struct Writer {
        let isFile: Bool
        init(_ layout: Layout) { isFile = layout == .file }

        var blank: String { isFile ? " " : "" }
        func line(_ depth: Int) -> String { isFile ? "\n" + String(repeating: " ", count: depth) : "" }
    }
}

extension P2PRCTable.Row {
    fileprivate var members: [(name: String, value: String)] {
        [
            ("Name", Self.quoted(name)), ("MachineUsername", Self.quoted(machineUsername)),
            ("IPV4", Self.quoted(ipv4)), ("IPV6", Self.quoted(ipv6)), ("Latency", "\(latency)"),
            ("Download", Self.number(download)), ("Upload", Self.number(upload)),
            ("ServerPort", Self.quoted(serverPort)), ("UDPServerPort", Self.quoted(udpServerPort)),
            ("BareMetalSSHPort", Self.quoted(bareMetalSSHPort)), ("NAT", "\(nat)"),
            ("EscapeImplementation", Self.quoted(escapeImplementation)), ("ProxyServer", "\(proxyServer)"),
            ("UnSafeMode", "\(unsafeMode)"), ("PublicKey", Self.quoted(publicKey)),
            ("CustomInformation", Self.quoted(customInformation)),
        ]
    }

    /// Whole numbers without a point, as Go writes them.
    private static func number(_ value: Double) -> String {
        guard value.isFinite else { return "0" }
        return Int64(exactly: value).map { "\($0)" } ?? "\(value)"
    }

    /// With the escapes of Go, which keeps texts safe inside HTML as well.
    private static func quoted(_ string: String) -> String {
        var text = "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{00}"..."\u{1f}", "<", ">", "&", "\u{2028}", "\u{2029}":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}
