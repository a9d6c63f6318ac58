import ArgumentParser
import P2PRCKit

/// Flags that every command takes.
struct Common: ParsableArguments {
    @Option(help: ArgumentHelp("Where the node keeps its files (default: $P2PRC, else ~/.p2prc).", valueName: "dir"))
    var home: String?

    @Flag(help: "Print exactly one JSON document.")
    var json = false

    var homePath: String { NodeSettings.home(named: home) }
}

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show what the running node does.")
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "status")
        try Execution.end(with: Commands(home: common.homePath, json: common.json).status())
    }
}

struct Unmap: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take a mapping back; its public port is free at once.")
    @Argument(help: "The mapping's name, its public or local port, or its target, as --view-rpm lists them.")
    var mapping: String
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "unmap")
        try Execution.end(with: Commands(home: common.homePath, json: common.json).unmap(mapping))
    }
}

struct Leave: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Use a reverse proxy no longer.")
    @Argument(help: ArgumentHelp("The reverse proxy, as --view-rps lists it.", valueName: "host[:port]"))
    var relay: String
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "leave")
        try Execution.end(with: Commands(home: common.homePath, json: common.json).leave(relay))
    }
}
