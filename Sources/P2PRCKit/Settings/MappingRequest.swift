internal import PeerCore
internal import PeerReactor
public import PeerWire

/// `--mp [HOST:]PORT[:PUBLIC]`, with what says more about it.
public struct MappingRequest: Hashable, Sendable, Codable {
    public var host: String
    public var firstPort: UInt16
    public var count: Int
    /// First public port; `nil` for any.
    public var publicPort: UInt16?
    /// Whether another one will do.
    public var isPreference: Bool
    public var isTemporary = false
    /// Visitors that the relay lets in, and those that it does not.
    public var allow: [Network]
    public var deny: [Network]
    /// It lets everybody in who is not in `deny`, whatever was said before; `nil`: no word about that.
    public var opens: Bool?
    /// By what name the node's record tells others of it; empty: not at all any more, `nil`: as before.
    public var tell: String?
    /// What its user calls it here; empty: nothing any more, `nil`: as before.
    public var name: String?
    /// What its ports are for; `nil`: TCP.
    public var protocols: TransportProtocols?
    /// Its public ports always accept, and the target is dialled when a visitor comes; `nil`: as before.
    public var isOnDemand: Bool?
    /// How the target is told who each visitor is; `nil`: as before.
    public var proxyProtocol: ProxyProtocol?

    /// - Parameters:
    ///   - text: `8080`, `8080:30123`, or ranges of equal length: `5000-5009`, `5000-5009:30000-30009`; with a host and
    ///     a colon before it, of another machine.
    ///   - target: `host` or `host:port` with the port of `text`, another way to name another machine.
    ///   - allow: networks (CIDR) of visitors to let in, or `any`; none: as before.
    ///   - deny: those not to let in.
    ///   - tell: what others call the service; empty to tell them nothing any more.
    ///   - name: what it is called here; empty for nothing any more.
    public init(
        _ text: String, target: String? = nil, isPreference: Bool = false, allow: [String] = [], deny: [String] = [],
        tell: String? = nil, name: String? = nil
    ) throws(CommandError) {
        if let slip = Self.slip(in: text) { throw CommandError(.usage, "--mp \(text): \(slip)") }
        guard let place = Self.place(text) else {
            throw CommandError(
                .usage,
                "--mp \(text): write PORT or HOST:PORT, and :PUBLIC behind it if you like, with ports from 1 to 65535, "
                    + "such as --mp 8080, --mp 8080:30123 or --mp 192.168.1.5:22 (an IPv6 address in brackets)")
        }
        let local = place.ports
        guard local.count <= PortStates.maximumPorts else {
            throw CommandError(
                .usage,
                "--mp \(text): \(local.count) ports, and a mapping has at most "
                    + "\(PortStates.maximumPorts); make several of it"
            )
        }
        var opened: PortRange?
        if let text = place.opened {
            guard let range = Self.ports(text), range.count == local.count else {
                let many = local.count == 1 ? "one port" : "\(local.count) ports in a row"
                throw CommandError(.usage, "--mp \(place.text): PUBLIC must be \(many) from 1 to 65535, not \(text)")
            }
            opened = range
        }
        guard !isPreference || opened != nil else {
            throw CommandError(
                .usage,
                "--any prefers a public port and there is none in --mp \(text); write LOCAL:PUBLIC, or leave --any out")
        }
        var endpoint = Endpoint(host: place.host ?? "127.0.0.1", port: local.first)
        if let target {
            guard let named = Endpoint(target, defaultPort: local.first) else {
                throw CommandError(.usage, "--target \(target): write HOST:PORT, such as 192.168.1.5:22")
            }
            guard place.host == nil, named.port == local.first else {
                throw CommandError(
                    .usage,
                    "--mp \(text) and --target \(target) name two things to expose; write --mp \(named), and :PUBLIC "
                        + "behind it if you like"
                )
            }
            endpoint = named
        }
        guard Int(endpoint.port) + local.count - 1 <= 65_535 else {
            throw CommandError(.usage, "--target \(endpoint): the range runs past port 65535")
        }
        host = endpoint.host
        firstPort = endpoint.port
        count = local.count
        publicPort = opened?.first
        self.isPreference = isPreference
        self.allow = try Self.visitors("--allow", allow)
        opens = allow.isEmpty || !self.allow.isEmpty ? nil : true
        self.deny = try Self.visitors("--deny", deny)
        self.tell = try tell.map(Self.name)
        if let name, !name.isEmpty, !MappingWish.isName(name) {
            throw CommandError(
                .usage,
                "--name \(name): write a letter, and up to 31 letters, digits, '-', '_' and '.', such as --name web")
        }
        self.name = name
    }

    /// What `--udp` and `--both` say; `nil`: neither was given.
    public static func protocols(udp: Bool, both: Bool) throws(CommandError) -> TransportProtocols? {
        guard !udp || !both else {
            throw CommandError(.usage, "--udp is for UDP alone, --both for TCP and UDP; write one of them")
        }
        return both ? [.tcp, .udp] : udp ? .udp : nil
    }

    /// What `--proxy-protocol` says; `nil`: it was not given.
    ///
    /// - Parameter protocols: what the mapping's ports are for; `nil`: TCP.
    public static func proxyProtocol(
        _ text: String?, for protocols: TransportProtocols?
    ) throws(CommandError) -> ProxyProtocol? {
        guard let text else { return nil }
        guard let version = ProxyProtocol(text) else {
            throw CommandError(
                .usage, "--proxy-protocol \(PlainText.spelled(text).prefix(80)): write v1 or v2, or off for none")
        }
        guard version.covers(protocols ?? .tcp) else {
            throw CommandError(.usage, "--proxy-protocol v1 cannot be said of datagrams (UDP): write v2")
        }
        return version
    }

    /// Whether it says whom to let in.
    var isFilter: Bool { !allow.isEmpty || !deny.isEmpty || opens == true }

    private static func visitors(_ flag: String, _ texts: [String]) throws(CommandError) -> [Network] {
        let limit = PeerMessage.Request.maximumNetworks
        guard texts.count <= limit else {
            throw CommandError(
                .usage, "\(flag): \(texts.count) networks, and a mapping has at most \(limit); name wider ones")
        }
        return flag == "--allow"
            ? try NodeSettings.allowed(flag, texts) ?? [] : try NodeSettings.networks(flag, texts)
    }

    private static func name(_ text: String) throws(CommandError) -> String {
        guard NodeRecord.isText(text) else {
            let rule = "a name has at most \(NodeRecord.maximumText) bytes, and all of it shows"
            throw CommandError(
                .usage, "--tell \(PlainText.spelled(text).prefix(80)): \(rule); this one has \(text.utf8.count) bytes")
        }
        return text
    }

    private struct Place {
        var text: String
        var host: String?
        var ports: PortRange
        var opened: Substring?
    }

    /// `[HOST:]PORT[:PUBLIC]` taken apart; an IPv6 address stands in brackets.
    private static func place(_ text: String) -> Place? {
        var fields = text.split(separator: ":", omittingEmptySubsequences: false)
        var host: String?
        if text.hasPrefix("[") {
            guard let end = text.firstRange(of: "]:") else { return nil }
            host = String(text[..<end.lowerBound].dropFirst())
            fields = text[end.upperBound...].split(separator: ":", omittingEmptySubsequences: false)
        } else if fields.count > 1, fields[0].contains(where: { $0 != "-" && !$0.isNumber }) {
            host = String(fields.removeFirst())
        }
        guard let first = fields.first, fields.count <= 2, let ports = ports(first) else { return nil }
        if let host, Endpoint(Endpoint(host: host, port: 1).description) == nil { return nil }
        return Place(text: text, host: host, ports: ports, opened: fields.dropFirst().first)
    }

    /// What was meant by a text that is nearly right.
    private static func slip(in text: String) -> String? {
        for (ending, what) in [("/udp", "a flag says that it is for UDP"), ("/tcp", "TCP needs no word")]
        where text.lowercased().hasSuffix(ending) {
            let rest = String(text.dropLast(ending.count))
            guard place(rest) != nil else { return nil }
            return "\(what); write --mp \(rest)\(ending == "/udp" ? " --udp" : "")"
        }
        for range in text.split(separator: ":") {
            let ends = range.split(separator: "-", omittingEmptySubsequences: false).compactMap { UInt16($0) }
            guard ends.count == 2, range.contains("-"), ends[0] > ends[1], ends[1] > 0 else { continue }
            return "the range \(range) is backwards; write \(ends[1])-\(ends[0])"
        }
        return nil
    }

    private static func ports(_ text: Substring) -> PortRange? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard let first = ends[0], ends.count <= 2 else { return nil }
        guard let last = ends.count == 2 ? ends[1] : first else { return nil }
        return PortRange(first: first, last: last)
    }

    var target: MappingWish.Target { .service(host: host, port: firstPort) }

    var wish: PortWish {
        guard let publicPort, let range = PortRange(first: publicPort, count: count) else { return .any(count: count) }
        return isPreference ? .preferably(range) : .exactly(range)
    }
}
