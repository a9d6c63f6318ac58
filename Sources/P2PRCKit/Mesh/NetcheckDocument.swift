internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// What `p2prc netcheck --json` prints (json/schema/netcheck.schema.json): how this node stands in the network, and its
/// relays, the best first.
struct NetcheckDocument: Codable {
    struct NAT: Codable {
        /// `none`, `endpoint-independent`, `endpoint-dependent` or `unknown` (RFC 4787, section 4.1).
        var Mapping: String
        /// `none`, `filtered` or `unknown`.
        var Filtering: String
        /// Whether ports look to others as they are here; `nil` without a NAT.
        var Keeps_ports: Bool?
        /// Where others see this node.
        var Seen_at: [String]
        /// So many were asked.
        var Witnesses: Int
    }

    struct Relay: Codable {
        var Candidate: ExplainDocument.Candidate
        /// The best round trip of each five minutes of the last hours, in milliseconds, the oldest first; `nil` where
        /// nothing was measured or nothing answered.
        var Last_hours: [Double?]
    }

    var Name: String
    var Key: String
    /// Of this machine.
    var Addresses: [String]
    /// `yes`, `no` or `unknown`.
    var Reachable: String
    var Reachable_at: [String]
    var Nat: NAT
    /// Addresses of this machine that all of the Internet could reach.
    var IPv6: [String]
    var Nodes: Int
    var Relays: [Relay]
}

extension NodeController {
    /// What the picture shows, in five minutes each.
    private static let spans = 36

    /// `p2prc netcheck`: asks a few nodes how this one looks, and reads the last hours from the IP table.
    func netcheck(_ answer: @escaping (ControlReply) -> Void) {
        guard let mesh else {
            return answer(ControlReply(status: .failure, text: "this node takes no part in a mesh", document: nil))
        }
        let bound = LoopBound((self, answer), on: loop)
        mesh.observe { [loop, table = writer.table] observations in
            Task {
                let now = UnixTime(.now).milliseconds
                let first = now - now % IPTable.spanLength - Int64(Self.spans - 1) * IPTable.spanLength
                let spans = (try? await table.spans(since: UnixTime(milliseconds: first))) ?? []
                loop.execute {
                    let (core, answer) = bound.value
                    answer(core.netcheck(observations, spans, since: first))
                }
            }
        }
    }

    private func netcheck(_ observations: [NATKind.Observation], _ spans: [NodeSpan], since first: Int64)
        -> ControlReply
    {
        guard let mesh else { return ControlReply(status: .failure, text: "the mesh has ended", document: nil) }
        let kind = NATKind.judge(observations, standing: mesh.standing)
        var at: [NodeAddress] = []
        var word = "unknown"
        switch mesh.standing {
        case .unknown: break
        case .notReachable: word = "no"
        case .reachable(let addresses): (word, at) = ("yes", addresses)
        }
        let pictures = Dictionary(grouping: spans, by: \.node).mapValues { Self.picture($0, since: first) }
        let empty = [Double?](repeating: nil, count: Self.spans)
        let document = NetcheckDocument(
            Name: settings.name, Key: keys.key.description, Addresses: mesh.ownHosts.map(\.description),
            Reachable: word, Reachable_at: at.map(\.description),
            Nat: .init(
                Mapping: kind.mapping.rawValue, Filtering: kind.filtering.rawValue, Keeps_ports: kind.keepsPorts,
                Seen_at: kind.hosts.map(\.description), Witnesses: kind.witnesses),
            IPv6: mesh.ownHosts.filter { $0.isIPv6 && $0.bytes[0] & 0xe0 == 0x20 }.map(\.description),
            Nodes: mesh.recordCount,
            Relays: mesh.known.map { relay in
                .init(
                    Candidate: .init(relay, isConnected: hasSession(with: relay.key), use: peer.use(of: relay.key)),
                    Last_hours: pictures[relay.key] ?? empty)
            })
        guard let bytes = try? OrderedJSON.encode(document) else {
            return ControlReply(status: .failure, text: "the report cannot be written", document: nil)
        }
        return ControlReply(
            status: .success, text: "", document: String(decoding: bytes, as: UTF8.self), remarks: remarkOnReach)
    }

    private static func picture(_ spans: [NodeSpan], since first: Int64) -> [Double?] {
        var picture = [Double?](repeating: nil, count: Self.spans)
        for span in spans {
            let place = Int((span.start.milliseconds - first) / IPTable.spanLength)
            if picture.indices.contains(place) { picture[place] = span.best.map(TableDocument.Row.milliseconds) }
        }
        return picture
    }
}

extension TextTable {
    static func netcheck(_ document: NetcheckDocument) -> String {
        let nat = document.Nat
        let reachable =
            document.Reachable == "yes"
            ? "yes, at \(document.Reachable_at.joined(separator: ", "))" : document.Reachable
        let seen = nat.Seen_at.isEmpty ? "nobody was asked" : nat.Seen_at.joined(separator: ", ")
        let ports = nat.Keeps_ports.map { $0 ? ", ports stay the same" : ", ports change" } ?? ""
        let filtering =
            switch nat.Filtering {
            case "none": "incoming connections come through"
            case "filtered": "incoming connections are filtered"
            default: "whether incoming connections come through is not known"
            }
        var lines = [
            "node       \(document.Name), \(document.Key.prefix(16))",
            "addresses  "
                + "\(document.Addresses.isEmpty ? "none but loopback" : document.Addresses.joined(separator: ", "))",
            "reachable  \(reachable)", "seen at    \(seen)",
            "NAT        mapping \(nat.Mapping)\(ports); \(filtering); "
                + "\(nat.Witnesses) node\(nat.Witnesses == 1 ? "" : "s") asked",
            "IPv6       \(document.IPv6.isEmpty ? "no public address" : document.IPv6.joined(separator: ", "))",
            "nodes      \(document.Nodes) in the IP table",
        ]
        guard !document.Relays.isEmpty else {
            return (lines + ["relays     none that the mesh tells of"]).joined(separator: "\n")
        }
        let rows = document.Relays.map { relay in
            let row = relay.Candidate
            return [
                row.Server_name.isEmpty ? String(row.Key.prefix(16)) : row.Server_name, row.Address, text(row.Latency),
                percent(row.Loss), text(row.Cost), row.Connected ? "yes" : "no", sparkline(relay.Last_hours),
                row.Reason,
            ]
        }
        lines += ["", table(["SERVER", "ADDRESS", "LATENCY", "LOSS", "COST", "SESSION", "LAST 3 HOURS", "WHY"], rows)]
        return lines.joined(separator: "\n")
    }

    /// One character for each value, higher for more; a dot where there is none.
    static func sparkline(_ values: [Double?]) -> String {
        let bars = Array("▁▂▃▄▅▆▇█")
        let known = values.compactMap { $0 }
        guard let least = known.min(), let most = known.max() else { return "" }
        // A tenth of a millisecond is no mountain.
        let width = max(most - least, 1)
        return String(
            values.map { value in
                value.map { bars[min(bars.count - 1, Int(($0 - least) / width * Double(bars.count - 1) + 0.5))] } ?? "·"
            })
    }
}
