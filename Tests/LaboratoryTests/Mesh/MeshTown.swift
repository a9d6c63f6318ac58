import Foundation
import TestSupport

/// Relays at distances that know each other from the first one's address, homes that expose a service each, and hosts
/// that claim to be relays behind a firewall.
struct MeshTown {
    static let ports = 20000...20999
    static let local = 8080

    let scenario: Scenario
    let lab: DistantLab
    let relays: [Node]
    let homes: [Node]
    let walls: [Node]
    /// What the service of each home answers.
    let bodies: [String]

    /// Starts everything at once after the first relay, the seed of all.
    ///
    /// - Parameter config: of each home.
    init(
        _ s: Scenario, relays distances: [DistantLab.Distance], homes homeCount: Int = 1, walls wallCount: Int = 0,
        config: String? = nil
    ) async throws {
        scenario = s
        let lab = try await s.distantLab(relays: distances, homes: homeCount, walls: wallCount)
        self.lab = lab
        let seed = lab.relayAddress(0)
        func relay(_ name: String, in place: Place, _ seed: String?) throws -> Node {
            var settings = NodeSettings(name)
            settings.place = place
            settings.bind = nil
            settings.serverPort = 8088
            settings.ports = Self.ports
            settings.nodeName = name
            if let seed { settings.relays = [seed] }
            return try s.node(settings)
        }
        bodies = (0..<homeCount).map { "home \($0)" }
        for (index, body) in bodies.enumerated() {
            _ = try await s.service("http", port: Self.local, ["--body", body], in: lab.home(index))
        }
        var relays = [try relay("relay0", in: lab.relay(0), nil)]
        try await relays[0].listening()
        for index in 1..<distances.count { relays.append(try relay("relay\(index)", in: lab.relay(index), seed)) }
        self.relays = relays
        walls = try (0..<wallCount).map { try relay("wall\($0)", in: lab.wall($0), seed) }
        homes = try (0..<homeCount).map { index in
            var settings = NodeSettings("home\(index)")
            settings.place = lab.home(index)
            settings.bind = nil
            settings.serverPort = 8088
            settings.relays = [seed]
            settings.mappings = ["\(Self.local)"]
            settings.nodeName = "home\(index)"
            settings.config = config
            return try s.node(settings)
        }
        for node in relays + walls + homes { try await node.listening() }
    }

    /// Public addresses of a home's service that work, the best first.
    func verified(_ home: Int = 0) async throws -> [MappingRow] {
        try await homes[home].viewRPM().filter { $0.leads(to: Self.local) && $0.state == "verified" }
    }

    @discardableResult
    func settled(
        _ home: Int = 0, within limit: Duration = .seconds(30), without excluded: String? = nil
    ) async throws -> [MappingRow] {
        var seen: [MappingRow] = []
        return try await eventually(
            "home\(home) has two addresses that work\(excluded.map { ", none at \($0)" } ?? ""); seen \(seen)",
            within: limit, every: .milliseconds(100)
        ) {
            seen = try await verified(home)
            return seen.count >= 2 && !seen.contains { $0.address == excluded } ? seen : nil
        }
    }

    func index(of row: MappingRow) throws -> Int {
        guard let index = relays.indices.first(where: { lab.relayAddress($0) == row.address }) else {
            throw Failure("\(row) is at no relay")
        }
        return index
    }

    static func address(_ row: MappingRow) -> String { "\(row.address ?? "?"):\(row.port)" }

    /// What the home says, what lies in its file, and what its relays say are one and the same.
    func expectAgreement(_ home: Int = 0) async throws {
        struct Document: Decodable {
            let rows: [MappingRow]
            enum CodingKeys: String, CodingKey { case rows = "reverse_proxy_mappings" }
        }
        let node = homes[home]
        try await eventually("file, listing and relays agree", within: .seconds(15), every: .milliseconds(200)) {
            let shown = try await node.viewRPM().map(\.description)
            let data = try Data(contentsOf: URL(filePath: "\(node.home)/reverse_proxy_mapping.json"))
            guard try JSONDecoder().decode(Document.self, from: data).rows.map(\.description) == shown else {
                return false
            }
            for row in try await verified(home) {
                let carried = try await relays[try index(of: row)].viewRPM().filter {
                    $0.role == "relay" && $0.mapping == row.mapping && $0.peerKey == row.peerKey
                }
                guard carried.count == 1, carried[0].port == row.port, carried[0].state == "verified" else {
                    return false
                }
            }
            return true
        }
    }
}
