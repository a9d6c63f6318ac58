import ArgumentParser
import P2PRCKit

/// The flags that P2PRC has; what it lacks is a subcommand.
struct P2PRC: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "p2prc",
        abstract: "Gets services out from behind NAT, through nodes that act as reverse proxies.",
        discussion: """
            On a public host:    p2prc -s --reverse-proxy            (prints a join link)
            At home:             p2prc -s --connect-reverse-proxy <join link> --mp 8080
            On a running node:   p2prc --mp 9000, --view-rps, --view-rpm, status, unmap

            The exit codes are those of the table in docs/cli.md: 0 done, 10 no node runs, 11 refused, 12 no port \
            free, 13 port taken, 14 target down, 15 not reachable, 16 superseded, 17 server port in use, 18 home in \
            use, 19 home unusable, 21 timed out, 22 not found, 23 not verified, 64 usage, 65 damaged, 69 no relay.
            """,
        version: P2PRCVersion.full,
        subcommands: [
            Status.self, Unmap.self, Release.self, Join.self, Leave.self, Drain.self, Trust.self, MeshKey.self,
            NodeKey.self, Token.self, ReceiptCommand.self, Export.self, Import.self, Netcheck.self, Completion.self,
            Version.self,
        ])

    @Flag(
        name: [.customShort("s"), .customLong("server"), .customLong("Server")],
        help: "Run a node in the foreground until SIGINT, SIGTERM or SIGHUP.")
    var server = false

    @Flag(name: .customLong("reverse-proxy"), help: "With -s: be a reverse proxy for other nodes.")
    var reverseProxy = false

    @Option(
        name: .customLong("connect-reverse-proxy"),
        help: ArgumentHelp(
            "Expose services through this reverse proxy; may be repeated.", valueName: "host[:port] | join link | auto")
    )
    var connectReverseProxy: [String] = []

    @Flag(
        name: .customLong("accept-open"),
        help: "With --connect-reverse-proxy: it may take anybody and prove nothing but its key.")
    var acceptOpen = false

    @Flag(name: .customLong("open"), help: ArgumentHelp(SettingText.help(of: "--open")))
    var isOpen = false

    @Flag(name: .customLong("no-udp"), help: "With --reverse-proxy: give out no public ports for UDP.")
    var noUDP = false

    @Flag(help: ArgumentHelp(SettingText.help(of: "--plain")))
    var plain = false

    @Flag(name: .customLong("no-server-port"), help: "With -s: do not expose the node's own server port.")
    var noServerPort = false

    @OptionGroup var mapping: MappingFlags

    @Flag(
        name: [.customLong("view-rps"), .customLong("view-reverse-proxy-servers")],
        help: "List the reverse-proxy servers that this node uses.")
    var viewServers = false

    @Flag(help: "With --view-rps: every relay that the mesh tells of, its figures, and why it was or was not chosen.")
    var explain = false

    @Flag(
        name: [.customLong("view-rpm"), .customLong("view-reverse-proxy-mapping")],
        help: "List the mappings: public address, target, state.")
    var viewMappings = false

    @Flag(help: "With a listing, or status: all columns.")
    var wide = false

    @OptionGroup var common: Common

    @Option(help: ArgumentHelp(SettingText.help(of: "--bind"), valueName: "addr"))
    var bind: String?

    @Option(
        name: .customLong("server-port"),
        help: ArgumentHelp(SettingText.help(of: "--server-port"), valueName: "n"))
    var serverPort: String?

    @Option(help: ArgumentHelp(SettingText.help(of: "--advertise"), valueName: "addr"))
    var advertise: String?

    @Option(help: ArgumentHelp(SettingText.help(of: "--ports"), valueName: "low-high,…"))
    var ports: [String] = []

    @OptionGroup var networks: Networks

    @OptionGroup var table: TableFlags

    mutating func run() async throws {
        try await Execution.end(with: request().perform())
    }

    /// A subcommand would ignore every flag of this one but the common ones, and one that it has too.
    func refuseOwnFlags(for subcommand: String) throws {
        do throws(FlagFault) {
            try RootFlags.check.refuse(self, beside: subcommand)
        } catch { throw explained(error) }
    }

    /// What exactly one of the things that the flags ask for; anything that it would ignore is an error.
    private func request() throws -> Request {
        let mode: CommandMode?
        do throws(FlagFault) {
            mode = try RootFlags.check.mode(of: self)
        } catch { throw explained(error) }
        let json = common.json
        let home = common.homePath
        guard let mode else {
            if json || common.home != nil {
                let flag = json ? "--json" : "--home"
                let line = "p2prc status \(flag)\(json ? "" : " DIR")"
                throw ValidationError("\(flag) alone asks for nothing; add what to do, such as: \(line)")
            }
            throw CleanExit.helpRequest(self)
        }
        switch mode {
        case .node, .relay: return .run(try settings(home))
        case .map: return .map(home, json: json, try mappings())
        case .join:
            return .connect(
                home, json: json, connectReverseProxy, acceptsOpen: acceptOpen, isTemporary: mapping.temporary)
        case .explainRelays: return .explainServers(home, json: json)
        case .listRelays: return .viewServers(Commands(home: home, json: json, isWide: wide))
        case .listMappings: return .viewMappings(Commands(home: home, json: json, isWide: wide))
        case .listNodes, .updateNodes, .addNode, .addRoot, .setNote, .showNode:
            return try table.request(home: home, json: json)
        }
    }

    private func explained(_ fault: FlagFault) -> ValidationError {
        switch fault {
        case .useless(let text): ValidationError(text)
        case .startsNode(let flag, let isForRelay): startsNode(flag, isForRelay: isForRelay)
        }
    }

    /// The commonest slip: all was said of a node but that it should run.
    private func startsNode(_ flag: String, isForRelay: Bool) -> ValidationError {
        let added = ["-s"] + (isForRelay && !reverseProxy ? ["--reverse-proxy"] : [])
        let line = CommandText.line(["p2prc"] + added + CommandLine.arguments.dropFirst())
        let running =
            isForRelay || mapping.mapPort.isEmpty
            ? "" : " (at one that runs: p2prc join LINK, and p2prc --mp by itself)"
        return ValidationError("\(flag) is for starting a node\(running); add \(added.joined(separator: " ")): \(line)")
    }

    private func mappings() throws -> [MappingRequest] {
        return try mapping.mapPort.map {
            var request = try MappingRequest(
                $0, target: mapping.target, isPreference: mapping.anyPort, allow: networks.allow, deny: networks.deny,
                tell: mapping.tell, name: mapping.name)
            request.isTemporary = mapping.temporary
            request.isOnDemand = mapping.onDemand.map { $0 == .on }
            request.protocols = try MappingRequest.protocols(udp: mapping.udp, both: mapping.both)
            request.proxyProtocol = try MappingRequest.proxyProtocol(mapping.proxyProtocol, for: request.protocols)
            return request
        }
    }

    private func settings(_ home: String) throws -> NodeSettings {
        var settings = try NodeSettings.load(home: home)
        settings.isRelay = reverseProxy
        if isOpen { settings.config.isOpen = true }
        if plain { settings.config.isPlain = true }
        if noUDP { settings.config.carriesDatagrams = false }
        try settings.setRelays(connectReverseProxy, acceptsOpen: acceptOpen)
        settings.mappings = try mappings()
        settings.exposesServerPort = !noServerPort
        settings.isTemporary = mapping.temporary
        try settings.setVisitors(allow: networks.allowVisitors, deny: networks.denyVisitors)
        try settings.setPeers(allow: networks.allowPeers, deny: networks.denyPeers)
        if let bind { try settings.setBind(bind) }
        if let serverPort { try settings.setServerPort(serverPort) }
        if let advertise { try settings.setAdvertised(advertise) }
        if !ports.isEmpty { try settings.setPorts(ports) }
        return settings
    }
}

/// What a command line asks for, checked.
enum Request {
    case run(NodeSettings)
    case viewServers(Commands)
    case explainServers(String, json: Bool)
    case viewMappings(Commands)
    case map(String, json: Bool, [MappingRequest])
    case connect(String, json: Bool, [String], acceptsOpen: Bool, isTemporary: Bool)
    case table(() async throws -> ExitStatus)

    func perform() async throws -> ExitStatus {
        switch self {
        case .run(let settings): try await Node.run(settings)
        case .viewServers(let commands): try commands.viewServers()
        case .explainServers(let home, let json): try Commands(home: home, json: json).explainServers()
        case .viewMappings(let commands): try commands.viewMappings()
        case .map(let home, let json, let requests): try Commands(home: home, json: json).map(requests)
        case .connect(let home, let json, let relays, let acceptsOpen, let isTemporary):
            try Commands(home: home, json: json).connect(relays, acceptsOpen: acceptsOpen, isTemporary: isTemporary)
        case .table(let body): try await body()
        }
    }
}
