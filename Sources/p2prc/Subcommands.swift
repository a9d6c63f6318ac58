import ArgumentParser
import P2PRCKit

/// Flags that every command takes.
struct Common: ParsableArguments {
    @Option(
        help: ArgumentHelp("Where the node keeps its files (default: $P2PRC, else ~/.p2prc).", valueName: "dir"),
        completion: .directory)
    var home: String?

    @Flag(help: "Print exactly one JSON document.")
    var json = false

    var homePath: String { NodeSettings.home(named: home) }
}
/// What is to be exposed, and how.
struct MappingFlags: ParsableArguments {
    @Option(
        name: [.customLong("mp"), .customLong("MAPPort")],
        help: ArgumentHelp(
            "Expose a port of this machine, or of another one; may be repeated. Alone it asks the running node.",
            valueName: "[host:]port[:public]"))
    var mapPort: [String] = []

    @Flag(name: .customLong("any"), help: "With --mp LOCAL:PUBLIC: another public port will do.")
    var anyPort = false

    @Flag(help: "With --mp: for datagrams (UDP) instead of connections (TCP).")
    var udp = false

    @Flag(help: "With --mp: for TCP and UDP, on one number.")
    var both = false

    @Option(help: ArgumentHelp("With --mp PORT: on another machine of the LAN.", valueName: "host[:port]"))
    var target: String?

    @Option(
        help: ArgumentHelp(
            "With --mp: tell other nodes of it by this name; '' takes it back.", valueName: "name"))
    var tell: String?

    /// Two flags with a text each, which an inversion cannot have.
    enum OnDemand: EnumerableFlag {
        case on, off

        static func name(for value: Self) -> NameSpecification {
            .customLong(value == .on ? "on-demand" : "no-on-demand")
        }

        static func help(for value: Self) -> ArgumentHelp? {
            value == .on
                ? "With --mp: accept always, and dial the target when a visitor comes."
                : "With --mp: accept only while the target answers, as without --on-demand."
        }
    }

    @Flag(exclusivity: .chooseLast)
    var onDemand: OnDemand?

    @Option(
        name: .customLong("proxy-protocol"),
        help: ArgumentHelp(
            "With --mp: tell the target who each visitor is, by this header; off: no longer.",
            valueName: "v1 | v2 | off"))
    var proxyProtocol: String?

    @Option(
        help: ArgumentHelp(
            "With --mp: call the mapping so in listings and commands; '' takes it back.", valueName: "name"))
    var name: String?

    @Flag(help: "With --mp or --connect-reverse-proxy: forget it when the node stops.")
    var temporary = false
}

/// Who is let in, by address.
struct Networks: ParsableArguments {
    @Option(
        name: .customLong("allow-visitors"),
        help: ArgumentHelp(SettingText.help(of: "--allow-visitors"), valueName: "cidr"))
    var allowVisitors: [String] = []

    @Option(
        name: .customLong("deny-visitors"),
        help: ArgumentHelp(SettingText.help(of: "--deny-visitors"), valueName: "cidr"))
    var denyVisitors: [String] = []

    @Option(
        name: .customLong("allow-peers"),
        help: ArgumentHelp(SettingText.help(of: "--allow-peers"), valueName: "cidr"))
    var allowPeers: [String] = []

    @Option(
        name: .customLong("deny-peers"),
        help: ArgumentHelp(SettingText.help(of: "--deny-peers"), valueName: "cidr"))
    var denyPeers: [String] = []

    @Option(
        help: ArgumentHelp(
            "With --mp: let only these use its public port, or any again; may be repeated.", valueName: "cidr"))
    var allow: [String] = []

    @Option(help: ArgumentHelp("With --mp: do not let these; may be repeated.", valueName: "cidr"))
    var deny: [String] = []
}

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show what the running node does.")
    // The root has a flag of that name and takes it from there; this one is for the help.
    @Flag(help: "All columns.")
    var wide = false
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "status")
        let isWide = wide || parent.wide
        try Execution.end(with: Commands(home: common.homePath, json: common.json, isWide: isWide).status())
    }
}

struct Unmap: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take a mapping back; its public port is free at once.")
    @Argument(help: "The mapping's name, its public or local port or range, or its target, as --view-rpm lists them.")
    var mapping: String
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "unmap")
        try Execution.end(with: Commands(home: common.homePath, json: common.json).unmap(mapping))
    }
}

struct Release: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "On a reverse proxy: end the lease of a port, or send a node away.",
        discussion: """
            What visitors have open there is broken off. The node is refused what was taken for 10 minutes, or until \
            the reverse proxy is started again.
            """)
    @Argument(
        help: ArgumentHelp(
            "A public port, or a node by its name or the first digits of its key, as --view-rpm lists them.",
            valueName: "port | node"))
    var released: String
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "release")
        try Execution.end(with: Commands(home: common.homePath, json: common.json).release(released))
    }
}

struct Leave: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Use a reverse proxy no longer, and forget its token and its mesh key.")
    @Argument(help: ArgumentHelp("The reverse proxy, as --view-rps lists it.", valueName: "host[:port] | name"))
    var relay: String
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "leave")
        try Execution.end(with: await Commands(home: common.homePath, json: common.json).leave(relay))
    }
}

struct Netcheck: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show how the running node stands in the network: addresses, NAT, IPv6, relays with their figures.")
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "netcheck")
        try Execution.end(with: Commands(home: common.homePath, json: common.json).netcheck())
    }
}
