internal import PeerCore
internal import PeerTokens
internal import PeerWire

/// What `token issue` asks for, checked.
public struct TokenRequest: Hashable, Sendable, Codable {
    var name: String
    var scope: TokenScope
    /// Seconds.
    var lifetime: Int64
    /// The only node key that may use it, 64 hexadecimal digits.
    var node: String?

    /// The flags as texts; lists may hold several values with commas between.
    public struct Flags: Sendable {
        public var name: String
        public var ports: [String] = []
        public var protocols: [String] = []
        public var domains: [String] = []
        public var maxConnections: String?
        public var rate: String?
        public var mappings: String?
        public var leases: String?
        public var expires: String
        public var node: String?

        public init(name: String, expires: String) {
            self.name = name
            self.expires = expires
        }
    }

    /// What cannot be is a usage error that names flag, value and a right example.
    public init(_ flags: Flags) throws(CommandError) {
        let name = flags.name
        guard (1...64).contains(name.utf8.count), PlainText.isClean(name),
            !name.unicodeScalars.contains(where: \.properties.isWhitespace)
        else {
            let shown = PlainText.spelled(name)
            throw Self.usage("--name '\(shown)': write 1 to 64 bytes without blanks, such as --name ci-box")
        }
        self.name = name
        scope = TokenScope()
        scope.ports = try Self.list(flags.ports) { text throws(CommandError) in try PortRange.parse(text) }
        let kinds = try Self.list(flags.protocols) { text throws(CommandError) -> TransportProtocols in
            switch text {
            case "tcp": .tcp
            case "udp": .udp
            default: throw Self.usage("--protocol \(text): write tcp or udp")
            }
        }
        scope.protocols = kinds?.reduce(into: TransportProtocols()) { $0.formUnion($1) }
        scope.domains = try Self.list(flags.domains) { text throws(CommandError) in
            let name = text.lowercased()
            guard TokenScope.isDomainPattern(name) else {
                throw Self.usage(
                    "--domains \(text): write names such as www.example.org, or '*.example.org' for all below one")
            }
            return name
        }
        scope.maxConnections = try Self.count(flags.maxConnections, "--max-connections")
        scope.maxMappings = try Self.count(flags.mappings, "--mappings")
        scope.maxLeases = try Self.count(flags.leases, "--leases")
        if let rate = flags.rate {
            // Ten bytes a second is what nobody means who writes 10.
            guard rate.last?.isLetter == true, let bytes = ByteCount.parse(rate), bytes > 0 else {
                throw Self.usage("--rate \(rate): write bytes per second with a unit, such as --rate 10MB")
            }
            scope.rate = bytes
        }
        guard let seconds = Age.seconds(flags.expires), seconds > 0 else {
            throw Self.usage(
                "--expires \(flags.expires): write a time up to ten years with a unit, such as --expires 30d")
        }
        lifetime = seconds
        if let node = flags.node {
            guard let key = NodeKey(node) else {
                throw Self.usage("--for \(node): write a node key, 64 hexadecimal digits, as p2prc status shows it")
            }
            self.node = key.description
        }
    }

    /// What it limits or allows only in words.
    ///
    /// - Parameter relay: what the relay gives out.
    func warnings(_ relay: PublicPorts) -> [String] {
        let lost = (scope.ports ?? []).filter { range in !relay.ranges.contains { $0.overlaps(range) } }
        var lines = lost.map { "--ports \($0): nobody gets that here, this relay gives out \(relay)" }
        if scope.domains != nil {
            lines.append("--domains limits nothing yet: names are not there yet, only ports are")
        }
        return lines
    }

    /// `nil` for none. Values may come one by one or with commas between.
    private static func list<Value>(
        _ texts: [String], _ read: (String) throws(CommandError) -> Value
    ) throws(CommandError) -> [Value]? {
        if texts.isEmpty { return nil }
        var values: [Value] = []
        for text in texts {
            for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                values.append(try read(String(part)))
            }
        }
        return values
    }

    private static func count(_ text: String?, _ flag: String) throws(CommandError) -> Int? {
        guard let text else { return nil }
        guard let number = Int(text), number > 0, number <= Int(Int32.max) else {
            throw usage("\(flag) \(text): write a number above 0, such as \(flag) 100")
        }
        return number
    }

    private static func usage(_ text: String) -> CommandError { CommandError(.usage, text) }
}

/// What a command asks of a relay's tokens; carried out by `TokenService`, in a running node or without one.
enum TokenCommand: Codable, Sendable {
    case issue(TokenRequest)
    case list
    /// A jti, or a name: then all tokens of that name.
    case revoke(String)
    /// For how many seconds the tokens of the key before still count.
    case rotateKey(keepSeconds: Int64)

    var isIssue: Bool { if case .issue = self { true } else { false } }
}
