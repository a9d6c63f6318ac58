public import PeerCore
internal import PeerDataPlane
public import PeerReactor
internal import PeerServices
internal import PeerStorage
public import PeerWire

/// Everything a user may say when starting a node, checked: the configuration first, then the flags, which win.
public struct NodeSettings: Sendable {
    public static let defaultServerPort = NodeConfig().serverPort

    public var home: String
    public var isRelay = false
    /// Relays to join, as named.
    public var relays: [RelayChoice] = []
    /// `--connect-reverse-proxy auto`: choose among those that the mesh knows, also where this node is a relay itself.
    public var isAuto = false
    public var mappings: [MappingRequest] = []
    public var exposesServerPort = true
    public var isTemporary = false
    /// What the file says, where no flag said otherwise.
    public var config = NodeConfig()
    private let hostName = SystemFacts.hostName
    private let usualPorts = Self.defaultPorts

    public init(home: String) { self.home = home }

    public var name: String { config.name ?? hostName }
    public var serverPort: UInt16 { config.serverPort }
    public var ports: PublicPorts { config.ports ?? usualPorts }
    public var advertised: String? { config.advertise }
    /// As a relay: anybody may join.
    public var isOpen: Bool { config.isOpen }
    public var carriesDatagrams: Bool { config.carriesDatagrams }
    /// What a relay gives out, for people.
    public var publicPorts: String { "public ports \(ports)\(carriesDatagrams ? "" : " for TCP alone (no UDP)")" }
    /// Data channels without encryption, with everybody who asks for that too.
    public var isPlain: Bool { config.isPlain }
    /// `nil`: all addresses.
    public var bind: SocketAddress? { config.bind.flatMap { SocketAddress(numeric: $0, port: 0) } }
    /// Where P2PRC nodes may exchange tables with this one; `nil`: nowhere.
    public var p2prcCompat: SocketAddress? { config.p2prcCompat.flatMap(Self.numericAddress) }

    /// With what `config.toml` of the home says; a damaged one is an error. A home that is not there yet has none, and
    /// one that cannot be used is refused when the node starts.
    public static func load(home: String) throws(CommandError) -> NodeSettings {
        var settings = NodeSettings(home: home)
        guard let paths = try? Home.inspect(at: home) else { return settings }
        let config: NodeConfig
        do throws(StorageError) {
            config = try ConfigFile.load(paths)
        } catch {
            throw CommandError(error.kind == .damaged ? .damaged : .homeUnusable, "\(error)")
        }
        try settings.apply(config, from: paths.config)
        return settings
    }

    private mutating func apply(_ config: NodeConfig, from path: String) throws(CommandError) {
        self.config = config
        do throws(CommandError) {
            if let text = config.bind { try setBind(text) }
            if let text = config.advertise { try setAdvertised(text) }
            if let text = config.p2prcCompat { try setP2PRCCompat(text) }
        } catch {
            // The same words, with the file's key in the place of the flag.
            let text = error.text.hasPrefix("--") ? String(error.text.dropFirst(2)) : error.text
            throw CommandError(.damaged, "\(path): \(text)")
        }
    }

    /// Sessions to hold at once; 0: only to relays that are named. A relay has no need of others.
    var sessions: Int { isRelay && !isAuto ? 0 : config.sessions }

    /// The relay's rules, out of the configuration.
    public var relayPolicy: RelayCore.Policy {
        var policy = RelayCore.Policy(
            ports: ports.usual, leaseSeconds: UInt32(clamping: config.leaseHours * 3_600),
            membershipLimits: config.limits)
        policy.maximumSocketsPerMapping = Self.socketsPerMapping(usualReserveGate.descriptors)
        policy.ports = ports
        policy.protocols = config.carriesDatagrams ? [.tcp, .udp] : .tcp
        return policy
    }

    /// Each socket of a public port is an open file: one mapping gets at most half of those that are not kept for other
    /// things.
    static func socketsPerMapping(_ descriptors: ReserveGate.Supply) -> Int {
        max(Self.alwaysPortsPerMapping, max(0, descriptors.limit - descriptors.reserve) / 2)
    }

    /// What relays always gave.
    private static let alwaysPortsPerMapping = 64

    /// Who may come to the server port.
    var arrivalPolicy: ArrivalPolicy {
        // Strangers never hold more than half of what is kept for sessions.
        let reserve = usualReserveGate.descriptors.reserve
        let undecided = min(ArrivalPolicy.usualUndecided, max(16, reserve / 2))
        return ArrivalPolicy(peers: config.peers, sources: config.sources, maximumUndecided: undecided)
    }

    /// Which visitors a relay lets in.
    var visitorPolicy: VisitorPolicy {
        var policy = VisitorPolicy(filter: config.visitors, reserve: usualReserveGate)
        policy.datagrams = config.datagrams
        return policy
    }

    /// With what this process may have; buffers get a quarter of the memory.
    private var usualReserveGate: ReserveGate {
        reserveGate(openFiles: SystemFacts.descriptorLimit, memory: SystemFacts.memory / 4)
    }

    /// What of descriptors and memory is for whom.
    public func reserveGate(openFiles: Int, memory: Int) -> ReserveGate {
        ReserveGate(
            descriptors: .init(limit: openFiles, reserve: config.reserve.descriptors),
            buffers: .init(limit: memory, reserve: config.reserve.buffers))
    }

    /// Below the ports that the system takes for outgoing connections: 20000 and up, as far as that goes.
    static var defaultPorts: PublicPorts {
        let end = SystemFacts.firstEphemeralPort - 1
        let range = end >= 20_100 ? PortRange(first: 20_000, last: end) : PortRange(first: 61_000, last: 65_535)
        return PublicPorts(range ?? .all)
    }

    // What the flags say, as text; what cannot be is a usage error that names flag, value and a right example.

    /// - Parameter acceptsOpen: relays that take anybody will do.
    public mutating func setRelays(_ texts: [String], acceptsOpen: Bool) throws(CommandError) {
        relays = []
        isAuto = texts.contains(RelayChoice.auto)
        guard !isAuto || config.sessions > 0 else {
            throw CommandError(
                .usage,
                "--connect-reverse-proxy auto: config.toml says relays = 0, only those that are named; make it 2")
        }
        for text in texts where text != RelayChoice.auto {
            relays.append(try RelayChoice(text, acceptsOpen: acceptsOpen, named: "--connect-reverse-proxy"))
        }
        // For services that start at boot, so that no link is on a command line for all to see.
        if texts.isEmpty, let link = SystemFacts.environment(RelayChoice.variable), !link.isEmpty {
            relays = [try RelayChoice(link, acceptsOpen: acceptsOpen, named: "$\(RelayChoice.variable)")]
        }
    }

    public mutating func setBind(_ text: String) throws(CommandError) {
        guard SocketAddress(numeric: text, port: 0) != nil else {
            throw CommandError(
                .usage, "--bind \(text): write a numeric address of this machine, such as 192.168.1.5 or ::")
        }
        config.bind = text
    }

    public mutating func setServerPort(_ text: String) throws(CommandError) {
        guard let port = UInt16(text), port > 0 else {
            throw CommandError(
                .usage, "--server-port \(text): write a number from 1 to 65535, such as --server-port 8089")
        }
        config.serverPort = port
    }

    public mutating func setAdvertised(_ text: String) throws(CommandError) {
        guard let endpoint = Endpoint(text, defaultPort: serverPort), endpoint.port == serverPort else {
            throw CommandError(.usage, "--advertise \(text): write a name or an address without a port")
        }
        config.advertise = endpoint.host
    }

    private mutating func setP2PRCCompat(_ text: String) throws(CommandError) {
        guard Self.numericAddress(text) != nil else {
            throw CommandError(
                .usage, "p2prc_compat: write a numeric address and a port, such as \"0.0.0.0:8078\" or \"[::]:8078\"")
        }
        config.p2prcCompat = text
    }

    private static func numericAddress(_ text: String) -> SocketAddress? {
        Endpoint(text).flatMap { SocketAddress(numeric: $0.host, port: $0.port) }
    }

    public mutating func setPorts(_ texts: [String]) throws(CommandError) {
        let text = texts.joined(separator: ",")
        guard let named = PublicPorts(text) else {
            throw CommandError(
                .usage,
                "--ports \(text): write ports and ranges LOW-HIGH from 1 to 65535, such as --ports 20000-29999 or "
                    + "--ports 80,443,20000-29999"
            )
        }
        config.ports = named
    }

    // A list that a flag gives takes the place of the file's.

    public mutating func setVisitors(allow: [String], deny: [String]) throws(CommandError) {
        config.visitors = try Self.filter(config.visitors, ("--allow-visitors", allow), ("--deny-visitors", deny))
    }

    public mutating func setPeers(allow: [String], deny: [String]) throws(CommandError) {
        config.peers = try Self.filter(config.peers, ("--allow-peers", allow), ("--deny-peers", deny))
    }

    private static func filter(
        _ former: NetworkFilter, _ allow: (flag: String, texts: [String]), _ deny: (flag: String, texts: [String])
    ) throws(CommandError) -> NetworkFilter {
        NetworkFilter(
            allow: try allowed(allow.flag, allow.texts) ?? former.allow,
            deny: deny.texts.isEmpty ? former.deny : try networks(deny.flag, deny.texts))
    }

    /// In the place of networks: everybody.
    static let everybody = "any"

    /// `nil` where nothing is said; empty for everybody.
    static func allowed(_ flag: String, _ texts: [String]) throws(CommandError) -> [Network]? {
        guard !texts.isEmpty else { return nil }
        guard texts.contains(everybody) else { return try networks(flag, texts) }
        guard texts.count == 1 else {
            throw CommandError(.usage, "\(flag) \(everybody) lets everybody in; leave the other networks out")
        }
        return []
    }

    static func networks(_ flag: String, _ texts: [String]) throws(CommandError) -> [Network] {
        var networks: [Network] = []
        for text in texts {
            do throws(NetworkFault) {
                networks.append(try Network(text))
            } catch { throw CommandError(.usage, "\(flag) \(text): \(error)") }
        }
        return networks
    }

    /// `--home DIR`, else `$P2PRC`, else `~/.p2prc`; empty where this user has no home folder, which no folder is.
    public static func home(named: String?) -> String {
        if let named { return named }
        if let named = SystemFacts.environment("P2PRC"), !named.isEmpty { return named }
        // A plain unit of systemd has no HOME.
        return SystemFacts.homeFolder.map { "\($0)/.p2prc" } ?? ""
    }
}

extension PortRange {
    /// `LOW-HIGH` or one number, as `--ports` takes it.
    public static func parse(_ text: String) throws(CommandError) -> PortRange {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard ends.count <= 2, let first = ends[0], let last = ends.count == 2 ? ends[1] : first,
            let range = PortRange(first: first, last: last)
        else {
            throw CommandError(
                .usage,
                "--ports \(text): write LOW-HIGH with numbers from 1 to 65535 and LOW not above "
                    + "HIGH, such as --ports 20000-29999"
            )
        }
        return range
    }
}
