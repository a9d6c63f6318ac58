import Foundation

/// An internet where relays are at different distances. Needs root, `ip`, `nft`, and the TUN driver.
///
///                    bridge "net"  7.13.0.0/24
///      ┌──────────┬──────────┬──────────────┬────────────────┬──────────────┐
///   delay line  delay line   …           visitor           nat1  …        wall1  …
///   relay1      relay2                    .50              .101           .201: drops what is new from outside
///   .11         .12                                     10.77.1.1
///                                                       home1 10.77.1.2
///
/// Beside walls there may be hosts (`host1` …, .151) that everybody reaches. `Addressing` has them all in networks of
/// their own instead, or in IPv6 alone, where a home's router filters and translates nothing.
///
/// Everything to and from a relay passes its delay line: a pair of TAP devices and the process between them
/// (`labtool delay-line`), one process for all. Its numbers may be changed while it runs.
public final class DistantLab: @unchecked Sendable {
    public struct Distance: Sendable {
        /// There and back.
        public var milliseconds: Double
        /// At most so much more in each direction.
        public var jitter = 0.0
        /// Of the packets of each direction, 0 to 1.
        public var loss = 0.0

        public init(_ milliseconds: Double, jitter: Double = 0, loss: Double = 0) {
            self.milliseconds = milliseconds
            self.jitter = jitter
            self.loss = loss
        }

        fileprivate var text: String {
            "\(Int(milliseconds * 500)) \(Int(jitter * 1000)) \(Int((loss * 1_000_000).rounded()))"
        }
    }

    public enum Addressing: Sendable {
        /// Relays, hosts and routers in one /24, as in a lab or an office.
        case oneNetwork
        /// Each in a /16 of its own.
        case spread
        case ipv6
    }

    public static let whyNot: String? = {
        if let reason = Lab.whyNot { return reason }
        if Binaries.find("ping") == nil { return "the laboratory needs ping, which is not installed" }
        return access("/dev/net/tun", R_OK | W_OK) == 0 ? nil : "there is no TUN driver (/dev/net/tun)"
    }()

    public static var isAvailable: Bool { whyNot == nil }

    public let relayCount: Int
    public let homeCount: Int
    public let wallCount: Int
    public let hostCount: Int
    public let addressing: Addressing
    /// How many homes, the last ones, are behind a router that gives each connection a port by chance.
    private let hardCount: Int
    private let prefix: String
    private let folder: String
    private let distances: Locked<[Distance]>
    private var line: Program?

    public func relay(_ index: Int) -> Place { place("relay\(index + 1)") }
    public func relayAddress(_ index: Int) -> String { address(11 + index) }
    /// With the server port that all nodes have.
    public func relayEndpoint(_ index: Int) -> String { endpoint(relayAddress(index)) }
    public func home(_ index: Int) -> Place { place("home\(index + 1)") }
    public func wall(_ index: Int) -> Place { place("wall\(index + 1)") }
    /// Where a home's router comes from.
    public func homeAddress(_ index: Int) -> String { address(101 + index) }
    public func wallAddress(_ index: Int) -> String { address(201 + index) }
    public func host(_ index: Int) -> Place { place("host\(index + 1)") }
    public func hostEndpoint(_ index: Int) -> String { endpoint(address(151 + index)) }
    public var visitor: Place { place("visitor") }
    public var visitorAddress: String { address(50) }
    /// How many namespaces it has.
    public var size: Int { places.count }

    private func endpoint(_ address: String) -> String {
        addressing == .ipv6 ? "[\(address)]:8088" : "\(address):8088"
    }

    private func address(_ number: Int) -> String {
        switch addressing {
        case .oneNetwork: "7.13.0.\(number)"
        case .spread: "7.\(number).0.\(number)"
        case .ipv6: "2a0d:13::\(number)"
        }
    }

    private func place(_ name: String) -> Place { Place(namespace: "\(prefix)-\(name)") }

    private var places: [String] {
        ["net", "visitor"] + (1...max(1, relayCount)).map { "relay\($0)" }
            + (0..<homeCount).flatMap { ["nat\($0 + 1)", "home\($0 + 1)"] } + (0..<wallCount).map { "wall\($0 + 1)" }
            + (0..<hostCount).map { "host\($0 + 1)" }
    }

    fileprivate init(
        _ scenario: Scenario, relays: [Distance], homes: Int, walls: Int, hosts: Int, hard: Int, addressing: Addressing
    ) async throws {
        if let reason = DistantLab.whyNot { throw Failure(reason) }
        hostCount = hosts
        hardCount = hard
        self.addressing = addressing
        relayCount = relays.count
        homeCount = homes
        wallCount = walls
        prefix = try Lab.newPrefix()
        folder = scenario.folder
        distances = Locked(relays)
        for name in places { Undertaker.shared.watch(namespace: "\(prefix)-\(name)") }
        do {
            try await build(scenario)
        } catch {
            remove()
            throw error
        }
    }

    private func build(_ scenario: Scenario) async throws {
        try batch(places.map { "netns add \(prefix)-\($0)" })
        try writeLines()
        let program = try scenario.start(
            "delay-line", Binaries.labtool(), ["delay-line", "--lines", file, "--seconds", "3600"])
        line = program
        try await program.line(containing: "\"lines\":\(relayCount)")
        let net = "\(prefix)-net"
        let veths =
            ["visitor"] + (0..<homeCount).map { "nat\($0 + 1)" } + (0..<wallCount).map { "wall\($0 + 1)" }
            + (0..<hostCount).map { "host\($0 + 1)" }
        try batch(
            veths.map { "link add \($0) netns \(net) type veth peer name wan netns \(prefix)-\($0)" }
                + (0..<homeCount).map {
                    "link add lan netns \(prefix)-nat\($0 + 1) type veth peer name eth0 netns \(prefix)-home\($0 + 1)"
                })
        let ports = veths + (0..<relayCount).map { "r\($0 + 1)" }
        try batch(
            ["link set lo up", "link add br0 type bridge forward_delay 0", "link set br0 up"]
                + ports.flatMap { ["link set \($0) master br0", "link set \($0) up"] }, in: "net")
        try host("visitor", 50)
        for index in 0..<relayCount { try host("relay\(index + 1)", 11 + index) }
        for index in 0..<homeCount { try buildHome(index) }
        for index in 0..<wallCount {
            try host("wall\(index + 1)", 201 + index)
            try nft("wall\(index + 1)", Self.wallRules)
        }
        for index in 0..<hostCount { try host("host\(index + 1)", 151 + index) }
    }

    private func host(_ name: String, _ number: Int, _ more: [String] = []) throws {
        let own = address(number)
        let lines =
            switch addressing {
            case .oneNetwork: ["addr add \(own)/24 dev wan", "link set wan up"]
            case .spread: ["addr add \(own)/32 dev wan", "link set wan up", "route add 7.0.0.0/8 dev wan"]
            case .ipv6:
                ["addr add \(own)/64 dev wan nodad", "link set wan up"]
                    + (0..<homeCount).filter { name != "nat\($0 + 1)" }.map {
                        "route add \(Self.lan6($0))::/64 via \(address(101 + $0))"
                    }
            }
        try batch(["link set lo up"] + lines + more, in: name)
    }

    private static func lan6(_ index: Int) -> String { "2a0d:77:\(index + 1):1" }

    private func buildHome(_ index: Int) throws {
        let (nat, is6) = ("nat\(index + 1)", addressing == .ipv6)
        let lan = is6 ? "\(Self.lan6(index))::" : "10.77.\(index + 1)."
        let length = is6 ? "64 nodad" : "24"
        try host(nat, 101 + index, ["addr add \(lan)1/\(length) dev lan", "link set lan up"])
        try batch(
            [
                "link set lo up", "addr add \(lan)2/\(length) dev eth0", "link set eth0 up",
                "route add default via \(lan)1",
            ],
            in: "home\(index + 1)")
        let isHard = index >= homeCount - hardCount
        try nft(nat, Self.natRules(is6 ? nil : isHard ? "masquerade random,fully-random" : "masquerade"))
        let command = "echo 1 > /proc/sys/net/\(is6 ? "ipv6/conf/all/forwarding" : "ipv4/ip_forward")"
        let result = try Ran(["ip", "netns", "exec", "\(prefix)-\(nat)", "sh", "-c", command])
        guard result.status == 0 else { throw Failure("forwarding: \(result.words)") }
    }

    private static let wallRules = """
        table inet lab {
            chain arriving {
                type filter hook input priority filter; policy drop;
                iifname "lo" accept
                ct state established,related accept
                icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
            }
        }
        """

    /// - Parameter translation: of what leaves; `nil`: as it is.
    private static func natRules(_ translation: String?) -> String {
        """
        table inet lab {
            chain forwarded {
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                iifname "lan" accept
            }
            chain arriving {
                type filter hook input priority filter; policy drop;
                iifname { "lo", "lan" } accept
                ct state established,related accept
                icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
            }
            chain leaving {
                type nat hook postrouting priority srcnat; policy accept;
                \(translation.map { "oifname \"wan\" \($0)" } ?? "")
            }
        }
        """
    }

    // MARK: Distance and misfortune

    public func setDistance(ofRelay index: Int, _ distance: Distance) throws {
        distances.with { $0[index] = distance }
        try writeLines()
        line?.signal(SIGUSR1)
    }

    /// Nothing passes, and nobody is told: no carrier is lost, and nothing is refused.
    public func setBlackHole(ofRelay index: Int, _ isOn: Bool) throws {
        var distance = distances.with { $0[index] }
        distance.loss = isOn ? 1 : 0
        try setDistance(ofRelay: index, distance)
    }

    /// Takes the relay's cable out of the bridge, and puts it back.
    public func setPlugged(relay index: Int, _ isIn: Bool) throws {
        try batch(["link set r\(index + 1) \(isIn ? "up" : "down")"], in: "net")
    }

    /// Has a relay's firewall drop who comes new to these ports, or lets them in again.
    ///
    /// - Parameter friend: whoever comes from this address is let in all the same.
    public func setOpen(_ ports: ClosedRange<Int>, ofRelay index: Int, _ isOpen: Bool, but friend: String? = nil) throws
    {
        let name = "relay\(index + 1)"
        guard !isOpen else { return try nft(name, "delete table inet closed") }
        let others = friend.map { "ip saddr != \($0) " } ?? ""
        let range = "\(ports.lowerBound)-\(ports.upperBound)"
        try nft(
            name,
            """
            add table inet closed
            add chain inet closed input { type filter hook input priority 0; }
            add rule inet closed input iifname != "lo" \(others)tcp dport \(range) ct state new drop
            """)
    }

    /// What a home sends to a relay's server port does not arrive, unless its router sends it from that port: of all
    /// connections one session is left. `verdict` is what nft does with the others.
    public func leaveAlone(_ port: Int, of home: Int, atRelay index: Int, by verdict: String) throws {
        try nft(
            "relay\(index + 1)",
            """
            add table inet alone
            add chain inet alone input { type filter hook input priority 0; }
            add rule inet alone input ip saddr \(homeAddress(home)) tcp dport 8088 tcp sport != \(port) \(verdict)
            """)
    }

    private var file: String { "\(folder)/\(prefix)-lines" }

    private func writeLines() throws {
        let rows = distances.with { $0 }.enumerated().map { index, distance in
            "\(prefix)-net r\(index + 1) \(prefix)-relay\(index + 1) wan \(distance.text)\n"
        }
        try Data(rows.joined().utf8).write(to: URL(filePath: file), options: .atomic)
    }

    // MARK: Tools

    /// Many lines for one `ip`: a process for each would take seconds.
    private func batch(_ lines: [String], in name: String? = nil) throws {
        let path = "\(folder)/\(prefix)-batch"
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: path))
        let result = try Ran(["ip"] + (name.map { ["-n", "\(prefix)-\($0)"] } ?? []) + ["-batch", path])
        guard result.status == 0 else { throw Failure("ip \(lines): \(result.words)") }
    }

    private func nft(_ name: String, _ rules: String) throws {
        let result = try Ran(["ip", "netns", "exec", "\(prefix)-\(name)", "nft", rules])
        guard result.status == 0 else { throw Failure("nft: \(result.words)") }
    }

    fileprivate func remove() {
        for name in places { Lab.remove(namespace: "\(prefix)-\(name)") }
    }
}

extension Scenario {
    /// Builds a laboratory with distance; it is taken down when the scenario ends.
    ///
    /// - Parameters:
    ///   - relays: how far each is.
    ///   - homes: nodes behind a NAT router of their own.
    ///   - walls: hosts with a public address that drop what is new from outside.
    ///   - hosts: with a public address that everybody reaches.
    ///   - hard: of the homes, how many have a router that gives each connection a port by chance (the last ones).
    public func distantLab(
        relays: [DistantLab.Distance], homes: Int = 1, walls: Int = 0, hosts: Int = 0, hard: Int = 0,
        addressing: DistantLab.Addressing = .oneNetwork
    ) async throws -> DistantLab {
        let lab = try await DistantLab(
            self, relays: relays, homes: homes, walls: walls, hosts: hosts, hard: hard, addressing: addressing)
        atEnd { lab.remove() }
        return lab
    }
}
