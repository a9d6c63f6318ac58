internal import PeerCore
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// What `--view-rps --explain --json` prints (json/schema/explain.schema.json): every relay that the mesh tells of, the
/// best first. Times in milliseconds, shares from 0 to 1; `null`: not known.
struct ExplainDocument: Codable {
    struct Candidate: Codable {
        var Server_name: String
        var Key: String
        var Address: String
        /// Others have reached it there.
        var Proven: Bool
        var Chosen: Bool
        /// A session stands.
        var Connected: Bool
        var Latency: Double?
        var Jitter: Double?
        var Set_up: Double?
        var Loss: Double
        var Load: Double
        var Answers: Int
        var Samples: Int
        /// What it is ranked by.
        var Cost: Double?
        var Reason: String

        enum CodingKeys: CodingKey {
            case Server_name, Key, Address, Proven, Chosen, Connected, Latency, Jitter, Set_up, Loss, Load, Answers
            case Samples, Cost, Reason
        }

        /// All keys in each row, whatever is known.
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(Server_name, forKey: .Server_name)
            try container.encode(Key, forKey: .Key)
            try container.encode(Address, forKey: .Address)
            try container.encode(Proven, forKey: .Proven)
            try container.encode(Chosen, forKey: .Chosen)
            try container.encode(Connected, forKey: .Connected)
            try container.encode(Latency, forKey: .Latency)
            try container.encode(Jitter, forKey: .Jitter)
            try container.encode(Set_up, forKey: .Set_up)
            try container.encode(Loss, forKey: .Loss)
            try container.encode(Load, forKey: .Load)
            try container.encode(Answers, forKey: .Answers)
            try container.encode(Samples, forKey: .Samples)
            try container.encode(Cost, forKey: .Cost)
            try container.encode(Reason, forKey: .Reason)
        }

        init(_ relay: MeshRelay, isConnected: Bool, use: Failover.Use?) {
            Server_name = relay.name
            Key = relay.key.description
            Address = relay.address.description
            Proven = relay.isProven
            Chosen = relay.verdict == .chosen
            Connected = isConnected
            Latency = relay.figures.latency.map(TableDocument.Row.milliseconds)
            Jitter = relay.figures.jitter.map(TableDocument.Row.milliseconds)
            Set_up = relay.figures.setUp.map(TableDocument.Row.milliseconds)
            Loss = Self.rounded(relay.figures.loss)
            Load = Self.rounded(relay.figures.load)
            Answers = relay.figures.answers
            Samples = relay.figures.samples
            Cost = relay.cost.map(TableDocument.Row.milliseconds)
            Reason = use.flatMap { $0.reason(relay.verdict) } ?? relay.obstacle
        }

        private static func rounded(_ share: Double) -> Double { (share * 10_000).rounded() / 10_000 }
    }

    var Candidates: [Candidate]
}

extension NodeController {
    /// `--view-rps --explain`.
    func explain() -> ControlReply {
        let document = ExplainDocument(
            Candidates: (mesh?.known ?? []).map { relay in
                .init(relay, isConnected: hasSession(with: relay.key), use: peer.use(of: relay.key))
            })
        guard let bytes = try? OrderedJSON.encode(document) else {
            return ControlReply(status: .failure, text: "the explanation cannot be written", document: nil)
        }
        return ControlReply(status: .success, text: "", document: String(decoding: bytes, as: UTF8.self))
    }
}

extension Failover.Use {
    /// Why, where it says more than the figures do.
    fileprivate func reason(_ verdict: Ranking.Verdict) -> String? {
        switch self {
        case .published:
            guard case .behind(let span) = verdict else { return nil }
            return "used as well: it costs \(Ranking.text(span)) more than the chosen one"
        case .failing(let failure, let isPublished):
            let lack =
                switch failure {
                case .unreachable: "its public ports cannot be reached"
                case .refused: "it refuses a port for what this node exposes"
                case .carriesNothing: "its session stands, and none of its data channels does"
                case nil: "nobody has reached its public ports yet"
                }
            return isPublished ? "used for what works there, another is looked for: \(lack)" : "not used: \(lack)"
        case .shunned(let span):
            let seconds = max(1, (span.nanoseconds + 500_000_000) / 1_000_000_000)
            return "left: visitors were not served there; it is looked at again in \(seconds) s"
        }
    }
}

extension TextTable {
    static func explain(_ document: ExplainDocument) -> String {
        guard !document.Candidates.isEmpty else {
            return "the mesh tells of no reverse-proxy server but those that this node was told to use (--view-rps)"
        }
        return table(
            ["SERVER", "ADDRESS", "LATENCY", "JITTER", "SET-UP", "LOSS", "LOAD", "COST", "SESSION", "WHY"],
            document.Candidates.map { row in
                [
                    row.Server_name.isEmpty ? String(row.Key.prefix(16)) : row.Server_name, row.Address,
                    text(row.Latency), text(row.Jitter), text(row.Set_up), percent(row.Loss), percent(row.Load),
                    text(row.Cost), row.Connected ? "yes" : "no", row.Reason,
                ]
            })
    }

    static func text(_ milliseconds: Double?) -> String { milliseconds.map { "\($0) ms" } ?? "-" }
    static func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }
}
