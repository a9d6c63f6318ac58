internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// What `--ls --json` prints (json/schema/ip_table.schema.json). Times in milliseconds, rates in bytes a second;
/// `null`: not known.
struct TableDocument: Encodable {
    enum Source: String, Encodable {
        /// This node.
        case own = "self"
        /// What the node says of itself, signed.
        case record
        /// A relay that this node had a session with; it has no record.
        case met
        /// Seeds: places to begin with, never ranked and never told to others.
        case user, root
        case imported = "import"
        case p2prc
    }

    /// What a node tells of a service of its own: where a visitor dials.
    struct Mapping: Encodable {
        var Name: String
        var Address: String
        var First_port: UInt16
        var Ports: Int
        var TCP: Bool
        var UDP: Bool

        init(_ mapping: NodeRecord.Mapping) {
            Name = mapping.name
            Address = mapping.host
            First_port = mapping.ports.first
            Ports = mapping.ports.count
            TCP = mapping.protocols.contains(.tcp)
            UDP = mapping.protocols.contains(.udp)
        }

        /// For people.
        var place: String {
            let first = Endpoint(host: Address, port: First_port).description
            return Ports == 1 ? first : "\(first)-\(Int(First_port) + Ports - 1)"
        }
    }

    struct Row: Encodable {
        var Name: String
        var Key: String?
        var Source: Source
        var Addresses: [String]
        var Roles: [String]
        var Software: String?
        var Note: String?
        /// Left out where they stand beside the row.
        var Mappings: [Mapping]? = []
        var Latency: Double?
        var Latency_median: Double?
        var Latency_p95: Double?
        var Jitter: Double?
        /// 0 to 1.
        var Loss: Double?
        var Set_up: Double?
        var Probes: Int
        var Download: UInt64?
        var Upload: UInt64?
        var First_seen: String?
        var Last_seen: String?
        var Expires: String?

        enum CodingKeys: CodingKey {
            case Name, Key, Source, Addresses, Roles, Software, Note, Mappings, Latency, Latency_median, Latency_p95
            case Jitter, Loss, Set_up, Probes, Download, Upload, First_seen, Last_seen, Expires
        }

        /// All keys in each row, whatever is known.
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(Name, forKey: .Name)
            try container.encode(Key, forKey: .Key)
            try container.encode(Source, forKey: .Source)
            try container.encode(Addresses, forKey: .Addresses)
            try container.encode(Roles, forKey: .Roles)
            try container.encode(Software, forKey: .Software)
            try container.encode(Note, forKey: .Note)
            try container.encodeIfPresent(Mappings, forKey: .Mappings)
            try container.encode(Latency, forKey: .Latency)
            try container.encode(Latency_median, forKey: .Latency_median)
            try container.encode(Latency_p95, forKey: .Latency_p95)
            try container.encode(Jitter, forKey: .Jitter)
            try container.encode(Loss, forKey: .Loss)
            try container.encode(Set_up, forKey: .Set_up)
            try container.encode(Probes, forKey: .Probes)
            try container.encode(Download, forKey: .Download)
            try container.encode(Upload, forKey: .Upload)
            try container.encode(First_seen, forKey: .First_seen)
            try container.encode(Last_seen, forKey: .Last_seen)
            try container.encode(Expires, forKey: .Expires)
        }
    }

    var ip_table: [Row]
}

extension TableDocument.Row {
    init(_ record: NodeRecord, _ source: TableDocument.Source) {
        self.init(
            Name: record.name, Key: record.key.description, Source: source,
            Addresses: record.addresses.map(\.description), Roles: Self.words(record.roles), Software: record.software,
            Note: record.note, Mappings: record.mappings.map { TableDocument.Mapping($0) }, Probes: 0,
            Expires: WallTime(seconds: record.expires).rfc3339)
    }

    init(_ kept: KeptRecord) {
        self.init(kept.record.record, .record)
        First_seen = kept.firstReceived.wallTime.rfc3339
        Last_seen = kept.received.wallTime.rfc3339
    }

    init(_ node: KnownNode) {
        self.init(
            Name: node.name, Key: node.key.description, Source: .met, Addresses: [node.address],
            Roles: [node.role.rawValue], Probes: 0, First_seen: node.firstSeen.wallTime.rfc3339,
            Last_seen: node.lastSeen.wallTime.rfc3339)
    }

    init(_ seed: Seed) {
        let source: TableDocument.Source =
            switch seed.source {
            case .user: .user
            case .root: .root
            case .imported: .imported
            case .p2prc: .p2prc
            }
        self.init(
            Name: seed.name, Key: nil, Source: source, Addresses: [seed.address], Roles: [], Probes: 0,
            First_seen: seed.added.wallTime.rfc3339, Last_seen: seed.lastAnswered?.wallTime.rfc3339)
    }

    mutating func measure(_ figures: ProbeFigures?, _ bandwidth: BandwidthSample?) {
        if let figures {
            Latency = figures.best.map(Self.milliseconds)
            Latency_median = figures.median.map(Self.milliseconds)
            Latency_p95 = figures.p95.map(Self.milliseconds)
            Jitter = figures.jitter.map(Self.milliseconds)
            Loss = figures.loss.map { ($0 * 10_000).rounded() / 10_000 }
            Set_up = figures.setUp.map(Self.milliseconds)
            Probes = figures.probes
        }
        Download = bandwidth?.down
        Upload = bandwidth?.up
    }

    static func milliseconds(_ span: Instant.Span) -> Double { Double(span.nanoseconds / 1_000) / 1_000 }

    private static func words(_ roles: NodeRecord.Roles) -> [String] {
        (roles.contains(.relay) ? ["relay"] : []) + (roles.contains(.draining) ? ["draining"] : [])
    }
}

extension TextTable {
    static func ipTable(_ document: TableDocument) -> String {
        guard !document.ip_table.isEmpty else { return "no node is known yet; add one: p2prc --as HOST" }
        return table(
            [
                "NAME", "ADDRESS", "FROM", "ROLES", "LATENCY", "LOSS", "DOWN", "UP", "LAST SEEN", "KEY", "SERVICES",
                "NOTE",
            ],
            document.ip_table.map { row in
                [
                    row.Name.isEmpty ? "-" : row.Name, address(row.Addresses), row.Source.rawValue,
                    row.Roles.isEmpty ? "-" : row.Roles.joined(separator: "+"), row.Latency.map { "\($0) ms" } ?? "-",
                    row.Loss.map { "\(Int(($0 * 100).rounded())) %" } ?? "-",
                    row.Download.map { "\(size($0))/s" } ?? "-", row.Upload.map { "\(size($0))/s" } ?? "-",
                    row.Last_seen ?? "-", row.Key.map { String($0.prefix(16)) } ?? "-", services(row.Mappings ?? []),
                    row.Note ?? "",
                ]
            })
    }

    private static func services(_ mappings: [TableDocument.Mapping]) -> String {
        guard let first = mappings.first else { return "-" }
        let text = "\(first.Name.isEmpty ? "-" : first.Name) at \(first.place)"
        return mappings.count == 1 ? text : "\(text) +\(mappings.count - 1)"
    }

    private static func address(_ addresses: [String]) -> String {
        guard let first = addresses.first else { return "not reachable" }
        return addresses.count == 1 ? first : "\(first) +\(addresses.count - 1)"
    }
}
