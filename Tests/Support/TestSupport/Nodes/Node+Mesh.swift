public import Foundation

/// What the tests of the mesh ask a running node.
extension Node {
    /// A row of `--view-rps --explain --json`.
    public struct Candidate: Decodable, CustomStringConvertible {
        public let name: String
        public let key: String
        public let address: String
        public let isProven: Bool
        public let isChosen: Bool
        public let latency: Double?
        public let setUp: Double?
        public let answers: Int
        public let samples: Int
        public let reason: String

        enum CodingKeys: String, CodingKey {
            case name = "Server_name"
            case key = "Key"
            case address = "Address"
            case isProven = "Proven"
            case isChosen = "Chosen"
            case latency = "Latency"
            case setUp = "Set_up"
            case answers = "Answers"
            case samples = "Samples"
            case reason = "Reason"
        }

        public var description: String { "[\(name) \(isProven) \(answers) of \(samples): \(reason)]" }
    }

    private struct Explanation: Decodable {
        let rows: [Candidate]
        enum CodingKeys: String, CodingKey { case rows = "Candidates" }
    }

    public struct Netcheck: Decodable {
        public let reachable: String
        public let at: [String]
        public let nodes: Int

        enum CodingKeys: String, CodingKey {
            case reachable = "Reachable"
            case at = "Reachable_at"
            case nodes = "Nodes"
        }
    }

    public func json(_ words: [String]) async throws -> Data {
        let result = try await command(words + ["--json"])
        scenario.forget(result.program)
        guard result.status == 0 else {
            throw Failure("\(words.joined(separator: " ")) ended with \(result.status): \(result.stderr)")
        }
        return Data(result.stdout.utf8)
    }

    public func candidates() async throws -> [Candidate] {
        try JSONDecoder().decode(Explanation.self, from: await json(["--view-rps", "--explain"])).rows
    }

    public func netcheck() async throws -> Netcheck {
        try JSONDecoder().decode(Netcheck.self, from: await json(["netcheck"]))
    }

    /// Keys of the nodes in its IP table that said something of themselves, its own too.
    public func knownKeys() async throws -> Set<String> {
        struct Table: Decodable {
            struct Row: Decodable {
                let Key: String?
                let Source: String
            }
            let ip_table: [Row]
        }
        let table = try JSONDecoder().decode(Table.self, from: await json(["--ls"]))
        return Set(table.ip_table.filter { ["record", "self"].contains($0.Source) }.compactMap(\.Key))
    }

    /// What the nodes in its IP table call themselves, by key.
    public func names() async throws -> [String: String] {
        struct Table: Decodable {
            struct Row: Decodable {
                let Key: String?
                let Name: String?
            }
            let ip_table: [Row]
        }
        let table = try JSONDecoder().decode(Table.self, from: await json(["--ls"]))
        return table.ip_table.reduce(into: [:]) { names, row in
            if let key = row.Key { names[key] = row.Name }
        }
    }

    /// Bytes a second to nodes that were measured.
    public func bandwidths() async throws -> [(key: String, down: UInt64, up: UInt64)] {
        struct Table: Decodable {
            struct Row: Decodable {
                let Key: String?
                let Download: UInt64?
                let Upload: UInt64?
            }
            let ip_table: [Row]
        }
        return try JSONDecoder().decode(Table.self, from: await json(["--ls"])).ip_table.compactMap { row in
            guard let key = row.Key, let down = row.Download, let up = row.Upload else { return nil }
            return (key, down, up)
        }
    }

    public func key() async throws -> String {
        struct Status: Decodable { let Key: String }
        return try JSONDecoder().decode(Status.self, from: await json(["status"])).Key
    }
}

extension Scenario {
    /// Loopback is dialled on others' word: all nodes of a scenario are there.
    public static let dialsLoopback = "[mesh]\ndial = [\"127.0.0.0/8\"]\n"

    public func meshRelay(
        _ name: String, of relay: Node? = nil, _ change: (inout NodeSettings) -> Void = { _ in }
    ) async throws -> Node {
        try await self.relay(name) { settings in
            settings.nodeName = name
            settings.config = Self.dialsLoopback
            if let port = relay?.settings.serverPort { settings.relays = ["127.0.0.1:\(port)"] }
            change(&settings)
        }
    }

    public func meshPeer(
        _ name: String, of relay: Node, _ change: (inout NodeSettings) -> Void = { _ in }
    ) async throws -> Node {
        try await peer(name, of: relay) { settings in
            settings.nodeName = name
            settings.config = Self.dialsLoopback
            change(&settings)
        }
    }
}
