import ArgumentParser
import P2PRCKit

struct Join: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Become a member through a reverse proxy, by its join link, and use it from now on.",
        discussion: """
            The link is a secret. To keep it off the command line, where others on this machine can see it, give - and \
            type it, or put it into a file (mode 0600) or into $P2PRC_JOIN_LINK.
            """)
    @Argument(
        help: ArgumentHelp("A join link or an address; - for standard input.", valueName: "link | host[:port] | -"))
    var link: String?
    @Option(help: ArgumentHelp("Read the join link from this file.", valueName: "file"), completion: .file())
    var file: String?
    @Option(
        name: .customLong("token-file"),
        help: ArgumentHelp(
            "Read a token of that reverse proxy from this file; - for standard input.", valueName: "file"),
        completion: .file())
    var tokenFile: String?
    @Flag(name: .customLong("accept-open"), help: "It may take anybody and prove nothing but its key.")
    var acceptOpen = false
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "join")
        if file != nil, link != nil { throw ValidationError("--file and a link say two things; give one of them") }
        try await Execution.end(
            with: Commands(home: common.homePath, json: common.json).join(
                link, file: file, tokenFile: tokenFile, acceptsOpen: acceptOpen || parent.acceptOpen))
    }
}

struct Trust: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Accept another key of a reverse proxy than the one it had.",
        discussion: "Ask whoever runs it for the key (p2prc status shows it there), and give it with --key.")
    @Argument(help: ArgumentHelp("The reverse proxy, as --view-rps lists it.", valueName: "host[:port]"))
    var relay: String
    @Option(help: ArgumentHelp("Its key; without, whatever it proves next.", valueName: "64 digits"))
    var key: String?
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "trust")
        try await Execution.end(with: Commands(home: common.homePath, json: common.json).trust(relay, key: key))
    }
}

/// The key of this node's own mesh.
struct MeshKey: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mesh-key", abstract: "Show the join link of a running reverse proxy, or change the mesh key.",
        subcommands: [Link.self, Rotate.self])

    struct Link: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the join link, a secret: whoever has it is a member.")
        @OptionGroup var common: Common

        mutating func run() async throws {
            try Execution.end(with: Commands(home: common.homePath, json: common.json).joinLink())
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new mesh key and tell it to the members that are connected.",
            discussion: "When the key has leaked, --keep 0s tells it to nobody: every member has to join again.")
        @Option(help: ArgumentHelp("For how long the former key still counts.", valueName: "7d | 12h | 0s"))
        var keep = "7d"
        @OptionGroup var common: Common

        mutating func run() async throws {
            try Execution.end(with: Commands(home: common.homePath, json: common.json).rotateMeshKey(keep: keep))
        }
    }
}

/// The key that this node is known by.
struct NodeKey: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node-key", abstract: "Change this node's own key.", subcommands: [Rotate.self])

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new node key, signed over by the former one; ports, tokens and members follow.",
            discussion: """
                Relays move this node's ports to the new key when it next comes, and refuse the former one from then \
                on. On a relay, members that are connected are told, and others follow when they come in time. When \
                the key has leaked, do this at once, for the thief could do the same: whoever comes to a relay first \
                counts there. With --keep 0s nothing connects the two keys.
                """)
        @Option(help: ArgumentHelp("For how long the former key's name counts.", valueName: "30d | 12h | 0s"))
        var keep = "30d"
        @OptionGroup var common: Common

        mutating func run() async throws {
            try Execution.end(with: await Commands(home: common.homePath, json: common.json).rotateNodeKey(keep: keep))
        }
    }
}
