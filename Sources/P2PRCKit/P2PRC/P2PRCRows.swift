internal import PeerCore
internal import PeerStorage
internal import PeerWire

/// What this table and P2PRC's say of one node, and what of it goes over to the other.
enum P2PRCRows {
    /// What can be taken from a table of P2PRC: addresses and names. Measurements and roles are claims there, and keys
    /// are for something that this program never does.
    ///
    /// - Returns: each address once, and how many rows name none that anybody could dial.
    static func seeds(of table: P2PRCTable) -> (seeds: [ImportedSeed], unusable: Int) {
        var seeds: [ImportedSeed] = []
        var known: Set<String> = []
        var unusable = 0
        for row in table.rows {
            guard let address = row.address, !DialPolicy.isNeverDialled(address.host.bytes) else {
                unusable += 1
                continue
            }
            guard known.insert(address.description).inserted else { continue }
            seeds.append(ImportedSeed(address: address.description, name: plain(row.name)))
        }
        return (seeds, unusable)
    }

    /// A name that ends up on terminals.
    private static func plain(_ name: String) -> String {
        String(PlainText.cleaned(name).prefix(Seed.maximumName))
    }

    /// Every node of the listing that has an address, in P2PRC's form.
    static func table(of listing: TableListing) -> P2PRCTable {
        var rows: [P2PRCTable.Row] = []
        var known: Set<String> = []
        for row in listing.document.ip_table {
            guard let address = row.Addresses.lazy.compactMap(Self.address).first,
                known.insert(address.description).inserted
            else { continue }
            var new = Self.row(row.Name, address)
            // There it is half of a round trip, in nanoseconds.
            new.latency = row.Latency.map { Int64($0 * 500_000) } ?? 0
            new.customInformation = row.Note ?? ""
            rows.append(new)
        }
        return P2PRCTable(rows: rows)
    }

    /// Everything that is published in P2PRC says that it is not behind a NAT; its nodes drop what says otherwise.
    static func row(_ name: String, _ address: NodeAddress) -> P2PRCTable.Row {
        var row = P2PRCTable.Row()
        row.name = name
        if address.host.isIPv6 { row.ipv6 = address.host.description } else { row.ipv4 = address.host.description }
        row.serverPort = "\(address.port)"
        return row
    }

    /// Of host:port; `nil` for names, which P2PRC has no place for.
    static func address(_ text: String) -> NodeAddress? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return HostAddress(String(host)).flatMap { NodeAddress(host: $0, port: port) }
    }
}
