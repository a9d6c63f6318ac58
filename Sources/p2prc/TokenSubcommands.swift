import ArgumentParser
import P2PRCKit

struct Token: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let others use this relay, within limits: issue, list and revoke tokens.",
        subcommands: [Issue.self, List.self, Revoke.self, RotateKey.self])

    struct Issue: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print a new token. Whoever has it may use this relay until it ends or is revoked.",
            discussion: "What is not limited by a flag is limited by the relay only.")

        // The root has flags of these two names and takes them from there; these are for the help.
        @Option(help: "Who it is for; listings show it.")
        var name: String?

        @Option(help: ArgumentHelp("Public ports it may have; may be repeated.", valueName: "low-high"))
        var ports: [String] = []

        @Option(
            name: .customLong("protocol"),
            help: ArgumentHelp("What its ports may be for (default: both); may be repeated.", valueName: "tcp | udp"))
        var protocols: [String] = []

        @Option(
            help: ArgumentHelp("For names that are to come: it limits nothing yet; may be repeated.", valueName: "name")
        )
        var domains: [String] = []

        @Option(name: .customLong("max-connections"), help: ArgumentHelp("Visitors at once.", valueName: "n"))
        var maxConnections: String?

        @Option(help: ArgumentHelp("Bytes per second in each direction, such as 10MB.", valueName: "size"))
        var rate: String?

        @Option(help: ArgumentHelp("Mappings at once.", valueName: "n"))
        var mappings: String?

        @Option(help: ArgumentHelp("Ports leased at once.", valueName: "n"))
        var leases: String?

        @Option(help: ArgumentHelp("How long it is valid, such as 12h or 30d.", valueName: "time"))
        var expires: String

        @Option(
            name: .customLong("for"),
            help: ArgumentHelp("The only node that may use it (default: the first that does).", valueName: "node-key"))
        var node: String?

        @Option(
            help: ArgumentHelp("Write it into this new file (mode 0600), and print where.", valueName: "file"),
            completion: .file())
        var out: String?

        @OptionGroup var common: Common
        @ParentCommand var parent: P2PRC

        mutating func run() async throws {
            try parent.refuseOwnFlags(for: "token issue")
            guard let name = name ?? parent.mapping.name else {
                throw ValidationError("token issue needs --name: who it is for, such as --name ci-box")
            }
            var flags = TokenRequest.Flags(name: name, expires: expires)
            flags.ports = ports + parent.ports
            flags.protocols = protocols
            flags.domains = domains
            flags.maxConnections = maxConnections
            flags.rate = rate
            flags.mappings = mappings
            flags.leases = leases
            flags.node = node
            let request = try TokenRequest(flags)
            try Execution.end(
                with: await TokenCommands(home: common.homePath, json: common.json).issue(request, to: out))
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the tokens that were issued, not their texts.")
        @OptionGroup var common: Common
        @ParentCommand var parent: P2PRC

        mutating func run() async throws {
            try parent.refuseOwnFlags(for: "token list")
            try Execution.end(with: await TokenCommands(home: common.homePath, json: common.json).list())
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a token at once, or all of a name, with the sessions that live by them.")
        @Argument(help: ArgumentHelp("A token's id or name, as token list shows them.", valueName: "id|name"))
        var token: String
        @OptionGroup var common: Common
        @ParentCommand var parent: P2PRC

        mutating func run() async throws {
            try parent.refuseOwnFlags(for: "token revoke")
            try Execution.end(with: await TokenCommands(home: common.homePath, json: common.json).revoke(token))
        }
    }

    struct RotateKey: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate-key",
            abstract: "Sign tokens with a new key; those of the key before count for a while.")
        @Option(help: ArgumentHelp("How long they do; 0s ends them at once.", valueName: "time"))
        var keep = "7d"
        @OptionGroup var common: Common
        @ParentCommand var parent: P2PRC

        mutating func run() async throws {
            try parent.refuseOwnFlags(for: "token rotate-key")
            try Execution.end(with: await TokenCommands(home: common.homePath, json: common.json).rotateKey(keep: keep))
        }
    }
}

struct ReceiptCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "receipt", abstract: "Look at what a relay and a peer signed about a mapping, offline.",
        subcommands: [Show.self, Verify.self])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print what a receipt says, and check it.")
        @Argument(help: "The receipt.", completion: .file()) var file: String
        @OptionGroup var common: Common
        @ParentCommand var parent: P2PRC

        mutating func run() throws {
            try ReceiptCommand.refuse(parent, common, "receipt show")
            try Execution.end(with: ReceiptCommands(file: file, json: common.json).show())
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Check both signatures of a receipt.")
        @Argument(help: "The receipt.", completion: .file()) var file: String
        @OptionGroup var common: Common
        @ParentCommand var parent: P2PRC

        mutating func run() throws {
            try ReceiptCommand.refuse(parent, common, "receipt verify")
            try Execution.end(with: ReceiptCommands(file: file, json: common.json).verify())
        }
    }

    private static func refuse(_ parent: P2PRC, _ common: Common, _ name: String) throws {
        try parent.refuseOwnFlags(for: name)
        if common.home != nil { throw ValidationError("--home does nothing with \(name); leave it out") }
    }
}
