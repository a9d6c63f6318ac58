import Foundation

/// A small internet of network namespaces. Needs root, `ip` and `nft`.
///
///                     bridge "net"  203.0.113.0/24, 2001:db8:113::/64: the internet
///        ┌───────────┬───────────┬───────────┬─────────────────┬─────────────────┐
///     relay       relay2      visitor     third             ordinary           hard
///     .11         .12         .50         .60               .101               .102     the NAT routers
///                                                        192.168.1.1        192.168.2.1
///                                                             │                  │
///                                                        192.168.1.2        192.168.2.2
///                                                        192.168.1.3        192.168.2.3
///                                                        homeOrdinary        homeHard
///
/// - ordinary: `masquerade`; keeps the source port where it can.
/// - hard: `masquerade random,fully-random`; forgotten flows stay forgotten (no pick-up in mid-stream).
/// - Both drop everything new from outside. Nothing of this touches the machine's own network.
/// - `homeX` has two addresses: the second stands for another machine of that LAN.
///
/// Namespaces are named `p2lab<pid>x<n>-<place>`; what a dead test process left is removed by the next one.
public final class Lab: @unchecked Sendable {
    public enum NAT: String, CaseIterable, Sendable, CustomStringConvertible {
        case ordinary
        case hard
        public var description: String { "\(rawValue) NAT" }
        fileprivate var network: Int { self == .ordinary ? 1 : 2 }
    }

    public static let relayAddress = "203.0.113.11"
    public static let relay2Address = "203.0.113.12"
    public static let visitorAddress = "203.0.113.50"
    public static let relayAddress6 = "2001:db8:113::11"

    /// Nil if a laboratory can be built here; else why not.
    public static let whyNot: String? = {
        if getuid() != 0 { return "the NAT laboratory needs root: run the tests with sudo" }
        for tool in ["ip", "nft", "curl", "nc"] where Binaries.find(tool) == nil {
            return "the NAT laboratory needs \(tool), which is not installed"
        }
        let name = "p2lab\(getpid())probe"
        guard (try? Ran(["ip", "netns", "add", name]))?.status == 0 else {
            return "network namespaces cannot be made here (a container without CAP_SYS_ADMIN?)"
        }
        defer { _ = try? Ran(["ip", "netns", "del", name]) }
        let rules =
            "table ip t { chain c { type nat hook postrouting priority 100; oifname x "
            + "masquerade random,fully-random; }; }"
        guard let result = try? Ran(["ip", "netns", "exec", name, "nft", rules]) else { return "nft does not start" }
        return result.status == 0 ? nil : "nftables with masquerade does not work here: \(result.words)"
    }()

    public static var isAvailable: Bool { whyNot == nil }

    private let prefix: String
    private static let counter = Locked(0)

    public var relay: Place { place("relay") }
    public var relay2: Place { place("relay2") }
    public var visitor: Place { place("visitor") }
    public var third: Place { place("third") }
    public func home(_ nat: NAT) -> Place { place("home-\(nat.rawValue)") }
    public func router(_ nat: NAT) -> Place { place("nat-\(nat.rawValue)") }

    /// The home's addresses in its LAN.
    public func homeAddress(_ nat: NAT) -> String { "192.168.\(nat.network).2" }
    public func lanMachine(_ nat: NAT) -> String { "192.168.\(nat.network).3" }

    private func place(_ name: String) -> Place { Place(namespace: "\(prefix)-\(name)") }

    fileprivate init() throws {
        prefix = try Lab.newPrefix()
        for name in Lab.places { Undertaker.shared.watch(namespace: "\(prefix)-\(name)") }
        do {
            try build()
        } catch {
            remove()
            throw error
        }
    }

    /// For the names of another laboratory's namespaces.
    static func newPrefix() throws -> String {
        if let reason = Lab.whyNot { throw Failure(reason) }
        Lab.removeStale()
        let number = Lab.counter.with { count -> Int in
            count += 1
            return count
        }
        return "p2lab\(getpid())x\(number)"
    }

    private static let places = [
        "net", "relay", "relay2", "visitor", "third", "nat-ordinary", "nat-hard", "home-ordinary", "home-hard",
    ]

    private func build() throws {
        try ip(Lab.places.map { "netns add \(prefix)-\($0)" })
        let net = "\(prefix)-net"
        try ip(["-n \(net) link add br0 type bridge forward_delay 0", "-n \(net) link set br0 up"])
        for name in Lab.places { try ip(["-n \(prefix)-\(name) link set lo up"]) }
        let hosts = [
            ("relay", 11), ("relay2", 12), ("visitor", 50), ("third", 60), ("nat-ordinary", 101), ("nat-hard", 102),
        ]
        for (name, number) in hosts {
            try ip([
                "link add \(name) netns \(net) type veth peer name wan netns \(prefix)-\(name)",
                "-n \(net) link set \(name) master br0", "-n \(net) link set \(name) up",
                "-n \(prefix)-\(name) addr add 203.0.113.\(number)/24 dev wan",
                "-n \(prefix)-\(name) addr add 2001:db8:113::\(number)/64 dev wan nodad",
                "-n \(prefix)-\(name) link set wan up",
            ])
        }
        for nat in NAT.allCases {
            let (router, home) = ("\(prefix)-nat-\(nat.rawValue)", "\(prefix)-home-\(nat.rawValue)")
            try ip([
                "link add lan netns \(router) type veth peer name eth0 netns \(home)",
                "-n \(router) addr add 192.168.\(nat.network).1/24 dev lan", "-n \(router) link set lan up",
                "-n \(home) addr add \(homeAddress(nat))/24 dev eth0",
                "-n \(home) addr add \(lanMachine(nat))/24 dev eth0",
                "-n \(home) link set eth0 up", "-n \(home) route add default via 192.168.\(nat.network).1",
            ])
            try sysctl(self.router(nat), "net.ipv4.ip_forward", "1")
            if nat == .hard { try sysctl(self.router(nat), "net.netfilter.nf_conntrack_tcp_loose", "0") }
            let masquerade = nat == .hard ? "masquerade random,fully-random" : "masquerade"
            // Every flow carries the generation in which it began; `loseFlows` kills the living generation.
            try nft(
                self.router(nat),
                """
                table inet lab {
                    set dead { type mark; }
                    chain stamp { ct mark set 1; }
                    chain forwarded {
                        type filter hook forward priority filter; policy drop;
                        # A router that forgot a flow takes its first packet for a new one, whatever its ports.
                        iifname "lan" tcp flags & (fin | syn | rst | ack) == syn jump stamp
                        ct mark @dead drop
                        ct state invalid drop
                        ct state established,related accept
                        iifname "lan" jump stamp
                        iifname "lan" accept
                    }
                    chain arriving {
                        type filter hook input priority filter; policy drop;
                        ct state established,related accept
                        iifname { "lan", "lo" } accept
                        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
                    }
                    chain leaving {
                        type nat hook postrouting priority srcnat; policy accept;
                        oifname "wan" \(masquerade)
                    }
                }
                """)
        }
    }

    // MARK: Misfortunes

    private let generations = Locked<[NAT: Int]>([:])

    /// Every flow through this router is dead from now on, in both directions and without a word to anyone (no FIN or
    /// RST of it passes); new flows work at once. That is a changed address, or a router that was switched off and on.
    public func loseFlows(_ nat: NAT) throws {
        let old = generations.with { generations -> Int in
            generations[nat, default: 1] += 1
            return generations[nat, default: 1] - 1
        }
        try nft(
            router(nat),
            """
            add element inet lab dead { \(old) }
            flush chain inet lab stamp
            add rule inet lab stamp ct mark set \(old + 1)
            """)
    }

    /// Whether the router lets UDP through; TCP always.
    public func setUDP(_ nat: NAT, isOpen: Bool) throws {
        try nft(
            router(nat),
            isOpen
                ? "delete table inet blocked"
                : """
                table inet blocked {
                    chain forwarded {
                        type filter hook forward priority filter - 1; policy accept;
                        meta l4proto udp drop
                    }
                }
                """)
    }

    /// The wire between the router and the internet is out, and back. Nobody sees a carrier loss at home.
    public func setLink(_ nat: NAT, up: Bool) throws {
        try ip(["-n \(prefix)-net link set nat-\(nat.rawValue) \(up ? "up" : "down")"])
    }

    /// How many seconds the router remembers a flow on which nothing moves.
    public func setEstablishedTimeout(_ nat: NAT, seconds: Int) throws {
        try sysctl(router(nat), "net.netfilter.nf_conntrack_tcp_timeout_established", "\(seconds)")
    }

    // MARK: Tools

    private func ip(_ lines: [String]) throws {
        for line in lines {
            let result = try Ran(["ip"] + line.split(separator: " ").map(String.init))
            guard result.status == 0 else { throw Failure("ip \(line): \(result.words)") }
        }
    }

    private func sysctl(_ place: Place, _ name: String, _ value: String) throws {
        let path = "/proc/sys/" + name.replacingOccurrences(of: ".", with: "/")
        let result = try Ran(["ip", "netns", "exec", place.namespace ?? "", "sh", "-c", "echo \(value) > \(path)"])
        guard result.status == 0 else { throw Failure("sysctl \(name): \(result.words)") }
    }

    private func nft(_ place: Place, _ rules: String) throws {
        let result = try Ran(["ip", "netns", "exec", place.namespace ?? "", "nft", rules])
        guard result.status == 0 else { throw Failure("nft: \(result.words)") }
    }

    fileprivate func remove() {
        for name in Lab.places { Lab.remove(namespace: "\(prefix)-\(name)") }
    }

    static func remove(namespace: String) {
        guard FileManager.default.fileExists(atPath: "/run/netns/\(namespace)") else { return }
        let pids = (try? Ran(["ip", "netns", "pids", namespace]))?.output ?? ""
        for pid in pids.split(separator: "\n").compactMap({ pid_t($0) }) {
            kill(pid, SIGKILL)
        }
        _ = try? Ran(["ip", "netns", "del", namespace])
    }

    /// What test processes that are dead left behind.
    private static func removeStale() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        for name in names where name.hasPrefix("p2lab") {
            let digits = name.dropFirst(5).prefix { $0.isNumber }
            guard let pid = pid_t(digits), kill(pid, 0) != 0, errno == ESRCH else { continue }
            remove(namespace: name)
        }
    }
}

extension Scenario {
    /// Builds a laboratory; it is taken down when the scenario ends.
    public func lab() throws -> Lab {
        let lab = try Lab()
        atEnd { lab.remove() }
        return lab
    }
}
