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
    /// - Parameters:
    ///   - config: of each home.
    ///   - closed: relays whose firewall lets nobody in to their public ports.
    ///   - isNamed: homes are told to use the seed as their relay; otherwise they only know it, and choose.
    init(
        _ s: Scenario, relays distances: [DistantLab.Distance], homes homeCount: Int = 1, walls wallCount: Int = 0,
        config: String? = nil, closed: [Int] = [], isNamed: Bool = true
    ) async throws {
        scenario = s
        let lab = try await s.distantLab(relays: distances, homes: homeCount, walls: wallCount)
        self.lab = lab
        let seed = lab.relayAddress(0)
        func introduce(_ place: Place, _ home: String) async throws {
            let words = ["--as", "\(seed):8088", "--home", home]
            let added = try await s.run("add", Binaries.product(), words, in: place)
            guard added.status == 0 else { throw Failure("--as: \(added.stderr)") }
            s.forget(added.program)
        }
        func relay(_ name: String, in place: Place, knows: Bool) async throws -> Node {
            var settings = NodeSettings(name)
            settings.place = place
            settings.bind = nil
            settings.serverPort = 8088
            settings.ports = Self.ports
            settings.nodeName = name
            let home = "\(s.folder)/home-\(name)"
            // Known, and not used as a relay: a relay has no need of others.
            if knows { try await introduce(place, home) }
            return try s.node(settings, home: home)
        }
        bodies = (0..<homeCount).map { "home \($0)" }
        for (index, body) in bodies.enumerated() {
            _ = try await s.service("http", port: Self.local, ["--body", body], in: lab.home(index))
        }
        var relays = [try await relay("relay0", in: lab.relay(0), knows: false)]
        try await relays[0].listening()
        for index in 1..<distances.count {
            relays.append(try await relay("relay\(index)", in: lab.relay(index), knows: true))
        }
        self.relays = relays
        var walls: [Node] = []
        for index in 0..<wallCount { walls.append(try await relay("wall\(index)", in: lab.wall(index), knows: true)) }
        self.walls = walls
        for index in closed { try lab.setOpen(Self.ports, ofRelay: index, false) }
        var homes: [Node] = []
        for index in 0..<homeCount {
            var settings = NodeSettings("home\(index)")
            settings.place = lab.home(index)
            settings.bind = nil
            settings.serverPort = 8088
            settings.relays = isNamed ? [seed] : []
            settings.mappings = ["\(Self.local)"]
            settings.nodeName = "home\(index)"
            settings.config = config
            let home = "\(s.folder)/home-home\(index)"
            if !isNamed { try await introduce(settings.place, home) }
            homes.append(try s.node(settings, home: home))
        }
        self.homes = homes
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

    func restart(_ home: Int) async throws {
        let status = try await homes[home].program.terminate()
        guard status == 0 else { throw Failure("home\(home) ended with \(status)") }
        try await homes[home].restart()
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
