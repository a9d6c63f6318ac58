import Foundation
import TestSupport

/// Relays at distances that know each other from the first one's address, homes that expose a service each, and hosts
/// that claim to be relays behind a firewall.
final class MeshTown {
    /// What a node is told of the first relay.
    enum Way {
        /// To use it.
        case named
        /// Its address, and no more: such a node chooses.
        case seed
        /// Its join link.
        case joined
    }

    static let ports = 20000...20999
    static let local = 8080

    let scenario: Scenario
    let lab: DistantLab
    private(set) var relays: [Node] = []
    private(set) var homes: [Node] = []
    private(set) var walls: [Node] = []
    /// Nodes that neither relay nor expose anything.
    private(set) var members: [Node] = []
    /// When each home's process was begun.
    private(set) var began: [ContinuousClock.Instant] = []
    /// What the service of each home answers.
    let bodies: [String]
    private let config: String?
    private let way: Way
    private var joinLink = ""

    /// Starts everything at once after the first relay, the seed of all.
    ///
    /// - Parameters:
    ///   - config: of each home.
    ///   - closed: relays whose firewall lets nobody in to their public ports.
    ///   - isNamed: homes are told to use the seed as their relay; otherwise they only know it, and choose.
    ///   - isJoined: every node has the join link of the first relay.
    ///   - members: hosts that everybody reaches, and walled ones, with nodes that neither relay nor expose anything.
    ///   - hard: of the homes, how many have a router of the worst kind.
    ///   - late: of the homes and of the relays, how many are not started yet.
    ///   - awaitsHomes: until they listen.
    init(
        _ s: Scenario, relays distances: [DistantLab.Distance], homes homeCount: Int = 1, walls wallCount: Int = 0,
        config: String? = nil, closed: [Int] = [], isNamed: Bool = true, isJoined: Bool = false,
        members memberCount: (hosts: Int, walls: Int) = (0, 0), hard: Int = 0,
        late: (homes: Int, relays: Int) = (0, 0), addressing: DistantLab.Addressing = .oneNetwork,
        awaitsHomes: Bool = true
    ) async throws {
        scenario = s
        lab = try await s.distantLab(
            relays: distances, homes: homeCount, walls: wallCount + memberCount.walls, hosts: memberCount.hosts,
            hard: hard, addressing: addressing)
        self.config = config
        way = isJoined ? .joined : isNamed ? .named : .seed
        bodies = (0..<homeCount).map { "home \($0)" }
        for (index, body) in bodies.enumerated() {
            _ = try await s.service("http", port: Self.local, ["--body", body], in: lab.home(index))
        }
        try await startRelay()
        try await relays[0].listening()
        let link = try await relays[0].command(["mesh-key", "link"])
        joinLink = link.stdout.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        guard joinLink.hasPrefix("p2prc://") else { throw Failure("no join link: \(link.stdout)\(link.stderr)") }
        for _ in 1..<max(1, distances.count - late.relays) { try await startRelay() }
        for index in 0..<wallCount {
            walls.append(try await relay("wall\(index)", in: lab.wall(index), knowsSeed: true))
        }
        for index in 0..<memberCount.hosts { try await startMember("host\(index)", in: lab.host(index)) }
        for index in 0..<memberCount.walls {
            try await startMember("member\(index)", in: lab.wall(wallCount + index))
        }
        for index in closed { try lab.setOpen(Self.ports, ofRelay: index, false) }
        for _ in 0..<homeCount - late.homes { try await startHome() }
        for node in relays + walls + members + (awaitsHomes ? homes : []) { try await node.listening() }
    }

    /// A node that knows this address when it is started.
    private func introduce(_ place: Place, _ home: String, to endpoint: String? = nil, by product: String? = nil)
        async throws
    {
        let words = ["--as", endpoint ?? lab.relayEndpoint(0), "--home", home]
        let added = try await scenario.run("add", product ?? Binaries.product(), words, in: place)
        guard added.status == 0 else { throw Failure("--as: \(added.stderr)") }
        scenario.forget(added.program)
    }

    private func relay(
        _ name: String, in place: Place, knowsSeed: Bool, product: String? = nil
    ) async throws -> Node {
        var settings = NodeSettings(name)
        settings.place = place
        settings.bind = nil
        settings.serverPort = 8088
        settings.ports = Self.ports
        settings.nodeName = name
        settings.product = product
        let home = "\(scenario.folder)/home-\(name)"
        if knowsSeed, way == .joined {
            settings.meshKey = nil
            settings.relays = [joinLink]
        } else if knowsSeed {
            // Known, and not used as a relay: a relay has no need of others.
            try await introduce(place, home, by: product)
        }
        return try scenario.node(settings, home: home)
    }

    private func startMember(_ name: String, in place: Place) async throws {
        var settings = NodeSettings(name)
        settings.place = place
        settings.bind = nil
        settings.serverPort = 8088
        settings.nodeName = name
        settings.meshKey = way == .joined ? nil : settings.meshKey
        settings.relays = way == .joined ? [joinLink] : []
        let home = "\(scenario.folder)/home-\(name)"
        if way != .joined { try await introduce(place, home) }
        members.append(try scenario.node(settings, home: home))
    }

    /// The next relay.
    ///
    /// - Parameter product: the program; nil: the one under test.
    @discardableResult
    func startRelay(product: String? = nil) async throws -> Node {
        let index = relays.count
        relays.append(
            try await relay("relay\(index)", in: lab.relay(index), knowsSeed: index > 0, product: product))
        return relays[index]
    }

    /// The next home.
    ///
    /// - Parameters:
    ///   - way: what it is told; nil: as all.
    ///   - seed: where another node is that it knows instead of the first relay.
    @discardableResult
    func startHome(
        _ own: Way? = nil, seed: String? = nil, config ownConfig: String? = nil, product: String? = nil
    ) async throws -> Node {
        let (index, way) = (homes.count, own ?? way)
        var settings = NodeSettings("home\(index)")
        settings.place = lab.home(index)
        settings.bind = nil
        settings.serverPort = 8088
        switch way {
        case .named: settings.relays = [lab.relayEndpoint(0)]
        case .joined:
            settings.relays = [joinLink]
            settings.meshKey = nil
        case .seed: break
        }
        settings.mappings = ["\(Self.local)"]
        settings.nodeName = "home\(index)"
        settings.config = ownConfig ?? config
        settings.product = product
        let home = "\(scenario.folder)/home-home\(index)"
        if way == .seed { try await introduce(settings.place, home, to: seed, by: product) }
        began.append(.now)
        homes.append(try scenario.node(settings, home: home))
        return homes[index]
    }

    /// Public addresses of a home's service that work, the best first.
    func verified(_ home: Int = 0) async throws -> [MappingRow] {
        try await homes[home].viewRPM().filter { $0.leads(to: Self.local) && $0.state == "verified" }
    }

    @discardableResult
    func settled(
        _ home: Int = 0, minimum: Int = 2, within limit: Duration = .seconds(30), without excluded: String? = nil
    ) async throws -> [MappingRow] {
        var seen: [MappingRow] = []
        return try await eventually(
            "home\(home) has \(minimum) addresses that work\(excluded.map { ", none at \($0)" } ?? ""); seen \(seen)",
            within: limit, every: .milliseconds(100)
        ) {
            seen = try await verified(home)
            return seen.count >= minimum && !seen.contains { $0.address == excluded } ? seen : nil
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
