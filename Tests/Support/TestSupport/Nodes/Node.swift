import Foundation

/// The exit codes of p2prc; one table, to be kept equal to the documented one.
public enum ExitCode {
    public static let fine = 0
    public static let internalError = 1
    public static let noNode = 10
    public static let refused = 11
    public static let noPortFree = 12
    public static let portTaken = 13
    public static let targetDown = 14
    public static let unreachable = 15
    public static let superseded = 16
    public static let serverPortInUse = 17
    public static let homeInUse = 18
    public static let homeUnusable = 19
    public static let timedOut = 21
    public static let notFound = 22
    public static let notVerified = 23
    public static let usage = 64
    public static let damagedData = 65
    public static let relayUnreachable = 69
}

/// What makes a p2prc process: the builder of its command line.
public struct NodeSettings: Sendable {
    public var name: String
    public var place = Place.here
    public var bind: String? = "127.0.0.1"
    public var serverPort: Int?
    /// A relay gives these out; nil: not a relay.
    public var ports: ClosedRange<Int>?
    public var advertise: String?
    public var relays: [String] = []
    public var mapsServerPort = false
    public var mappings: [String] = []
    public var more: [String] = []
    public var environment: [String: String] = [:]
    /// Words before the program: something that becomes it in the end, with the same process number.
    public var wrapper: [String] = []
    /// The program; nil: the one under test.
    public var product: String?
    /// What the node calls itself, in a config.toml of its home; nil: as the machine is called.
    public var nodeName: String?
    /// More lines for that file.
    public var config: String?
    /// Its home begins with this mesh key, so that the nodes of a scenario are members of one mesh; nil: with none.
    public var meshKey: String? = String(repeating: "5e", count: 32)

    public init(_ name: String) { self.name = name }

    func arguments(home: String) -> [String] {
        var words = ["-s"]
        if ports != nil { words.append("--reverse-proxy") }
        for relay in relays { words += ["--connect-reverse-proxy", relay] }
        if !relays.isEmpty, !mapsServerPort { words.append("--no-server-port") }
        for mapping in mappings { words += ["--mp", mapping] }
        words += ["--home", home]
        if let bind { words += ["--bind", bind] }
        if let serverPort { words += ["--server-port", "\(serverPort)"] }
        if let ports { words += ["--ports", "\(ports.lowerBound)-\(ports.upperBound)"] }
        if let advertise { words += ["--advertise", advertise] }
        return words + more
    }
}

/// A running p2prc and its home.
public final class Node: @unchecked Sendable {
    public let scenario: Scenario
    public let home: String
    public var settings: NodeSettings
    public private(set) var program: Program

    fileprivate init(_ scenario: Scenario, _ settings: NodeSettings, home: String) throws {
        self.scenario = scenario
        self.settings = settings
        self.home = home
        program = try Node.spawn(scenario, settings, home)
        scenario.remember(self)
    }

    private static func spawn(_ scenario: Scenario, _ settings: NodeSettings, _ home: String) throws -> Program {
        let file = "\(home)/mesh.key"
        if let key = settings.meshKey, !FileManager.default.fileExists(atPath: file) {
            try? FileManager.default.createDirectory(
                atPath: home, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            _ = FileManager.default.createFile(
                atPath: file, contents: Data("\(key)\n".utf8), attributes: [.posixPermissions: 0o600])
        }
        if settings.nodeName != nil || settings.config != nil {
            try? FileManager.default.createDirectory(
                atPath: home, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            let name = settings.nodeName.map { "name = \"\($0)\"\n" } ?? ""
            let text = name + (settings.config.map { "\($0)\n" } ?? "")
            try Data(text.utf8).write(to: URL(filePath: "\(home)/config.toml"))
        }
        let words = try settings.wrapper + [settings.product ?? Binaries.product()] + settings.arguments(home: home)
        return try scenario.start(
            settings.name, words[0], Array(words[1...]), environment: settings.environment, in: settings.place)
    }

    /// Starts it again with the same home; the settings may have been changed.
    public func restart(waitingUntilListening: Bool = true) async throws {
        program = try Node.spawn(scenario, settings, home)
        if waitingUntilListening { try await listening() }
    }

    public func listening(within limit: Duration = .seconds(10)) async throws {
        try await program.line(containing: "listening on", within: limit)
    }

    // MARK: Questions to the running node

    /// Runs `p2prc <words> --home <this home>`.
    public func command(_ words: [String], within limit: Duration = .seconds(30)) async throws -> Finished {
        try await scenario.run(
            "\(settings.name)-command", settings.product ?? Binaries.product(), words + ["--home", home],
            in: settings.place, within: limit)
    }

    public func viewRPM() async throws -> [MappingRow] {
        try await query(["--view-rpm", "--json"], MappingDocument.self).rows
    }

    public func viewRPS() async throws -> [ServerRow] {
        try await query(["--view-rps", "--json"], ServerDocument.self).rows
    }

    /// What the node counts of connections to its server port that came to nothing, by kind.
    public func strangers() async throws -> [String: Int] {
        try await query(["status", "--json"], StatusDocument.self).strangers
    }

    private func query<T: Decodable>(_ words: [String], _ type: T.Type) async throws -> T {
        let result = try await command(words)
        guard result.status == 0 else {
            throw Failure("\(words.joined(separator: " ")) ended with \(result.status): \(result.stderr)")
        }
        do {
            let value = try JSONDecoder().decode(T.self, from: Data(result.stdout.utf8))
            scenario.forget(result.program)
            return value
        } catch {
            throw Failure("\(words.joined(separator: " ")) printed something else: \(error)\n\(result.stdout)")
        }
    }

    /// Waits until the mapping of this local port (or to this target) is verified, and returns its row.
    @discardableResult
    public func verified(_ local: Int, within limit: Duration = .seconds(15)) async throws -> MappingRow {
        try await mapping(local, in: "verified", within: limit)
    }

    @discardableResult
    public func mapping(_ local: Int, in state: String, within limit: Duration = .seconds(15)) async throws
        -> MappingRow
    {
        var seen: [MappingRow] = []
        return try await eventually(
            "\(settings.name)'s mapping of \(local) is \(state); seen: \(seen)", within: limit,
            every: .milliseconds(30)
        ) {
            if let status = program.status {
                throw Fatal(description: "\(program.name) ended with \(status)")
            }
            seen = try await viewRPM()
            return seen.first { $0.state == state && $0.leads(to: local) }
        }
    }

    /// Waits for the lines `PUBLIC:PORT -> TARGET verified` on its standard output: cheaper than asking, for many.
    public func verifiedLines(_ count: Int, within limit: Duration) async throws -> [VerifiedLine] {
        try await eventually(
            "\(settings.name) printed \(count) lines with \"verified\"; it has \(verifiedLines().count)",
            within: limit, every: .milliseconds(20)
        ) {
            let lines = verifiedLines()
            return lines.count >= count ? lines : nil
        }
    }

    public func verifiedLines() -> [VerifiedLine] {
        program.stdout.split(separator: "\n").compactMap { VerifiedLine(String($0)) }
    }
}

/// `203.0.113.11:30007 -> 127.0.0.1:8080 verified`
public struct VerifiedLine: Sendable {
    public let host: String
    public let port: Int
    public let target: String

    init?(_ line: String) {
        let words = line.split(separator: " ")
        guard words.count >= 4, words[1] == "->", words[3].hasPrefix("verified"),
            let colon = words[0].lastIndex(of: ":"), let port = Int(words[0][words[0].index(after: colon)...])
        else { return nil }
        host = String(words[0][..<colon])
        self.port = port
        target = String(words[2])
    }
}

struct MappingDocument: Decodable {
    let rows: [MappingRow]

    enum CodingKeys: String, CodingKey { case rows = "reverse_proxy_mappings" }
}

struct StatusDocument: Decodable {
    let strangers: [String: Int]

    enum CodingKeys: String, CodingKey { case strangers = "Strangers" }
}

struct ServerDocument: Decodable {
    let rows: [ServerRow]

    enum CodingKeys: String, CodingKey { case rows = "reverse_proxy_servers" }
}

/// A row of `--view-rpm --json`.
public struct MappingRow: Decodable, Sendable, CustomStringConvertible {
    public let serverName: String?
    /// Nil while there is no public address: a mapping that was refused.
    public let address: String?
    public let type: String
    public let blindPort: Int?
    public let state: String?
    public let target: String?
    public let mapping: String?
    public let relay: String?
    public let role: String?
    public let peerKey: String?
    public let verifiedBy: [String]?
    public let reason: String?
    /// Its place in the home.
    public let receipt: String?
    public let encryption: String?
    public let carrier: String?
    public let flows: Int?
    public let proxyProtocol: String?

    enum CodingKeys: String, CodingKey {
        case serverName = "Server_name"
        case address = "Address"
        case type = "Type"
        case blindPort = "blind_port"
        case state = "State"
        case target = "Target"
        case mapping = "Mapping"
        case relay = "Relay"
        case role = "Role"
        case peerKey = "Peer_key"
        case verifiedBy = "Verified_by"
        case reason = "Reason"
        case receipt = "Receipt"
        case encryption = "Encryption"
        case carrier = "Carrier"
        case flows = "Flows"
        case proxyProtocol = "Proxy_protocol"
    }

    public var port: Int { blindPort ?? -1 }

    public func leads(to local: Int) -> Bool { target?.hasSuffix(":\(local)") == true }

    /// The mapping of the node's own server port.
    public var isServerPort: Bool { target == "server port" }

    public var description: String {
        "[\(address ?? "-"):\(blindPort.map(String.init) ?? "-") -> \(target ?? "-") \(state ?? "-") \(reason ?? "")]"
    }
}

/// A row of `--view-rps --json`.
public struct ServerRow: Decodable, Sendable {
    public let serverName: String?
    public let address: String
    public let latency: Double?
    public let state: String?
    public let key: String?
    public let reason: String?
    public let encryption: String?

    enum CodingKeys: String, CodingKey {
        case serverName = "Server_name"
        case address = "Address"
        case latency = "Latency"
        case state = "State"
        case key = "Key"
        case reason = "Reason"
        case encryption = "Encryption"
    }
}

extension Scenario {
    /// Starts a node with a home of its own (or a given one), without waiting for anything.
    public func node(_ settings: NodeSettings, home: String? = nil) throws -> Node {
        var settings = settings
        if settings.serverPort == nil { settings.serverPort = try FreePorts.one() }
        let own = "\(folder)/home-\(settings.name)-\(UInt32.random(in: 0...999_999))"
        return try Node(self, settings, home: home ?? own)
    }

    /// Starts a relay on loopback and waits until it listens.
    public func relay(
        _ name: String = "relay", ports: ClosedRange<Int>? = nil, serverPort: Int? = nil, home: String? = nil,
        _ change: (inout NodeSettings) -> Void = { _ in }
    ) async throws -> Node {
        var settings = NodeSettings(name)
        settings.ports = try ports ?? FreePorts.range(20)
        settings.serverPort = try serverPort ?? FreePorts.one()
        change(&settings)
        let node = try self.node(settings, home: home)
        try await node.listening()
        return node
    }

    /// Starts a peer of that relay on loopback and waits until it listens.
    public func peer(
        _ name: String = "peer", of relay: Node, mappings: [String] = [], home: String? = nil,
        _ change: (inout NodeSettings) -> Void = { _ in }
    ) async throws -> Node {
        var settings = NodeSettings(name)
        settings.relays = ["127.0.0.1:\(relay.settings.serverPort ?? 8088)"]
        settings.mappings = mappings
        change(&settings)
        let node = try self.node(settings, home: home)
        try await node.listening()
        return node
    }
}
