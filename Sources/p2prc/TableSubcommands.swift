import ArgumentParser
import P2PRCKit

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write what this node knows for other programs.", subcommands: [Table.self])

    struct Table: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ip-table", abstract: "Write the known nodes as an ip_table.json of P2PRC.")
        @Argument(help: ArgumentHelp("The file; without one, standard output.", valueName: "file"), completion: .file())
        var file: String?
        @OptionGroup var common: Common
        @ParentCommand var parent: P2PRC

        mutating func run() async throws {
            try parent.refuseOwnFlags(for: "export ip-table")
            let commands = TableCommands(home: common.homePath, json: common.json)
            try Execution.end(with: await commands.exportTable(to: file))
        }
    }
}

struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take over what other programs know.", subcommands: [Table.self])

    struct Table: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ip-table", abstract: "Add the nodes of an ip_table.json of P2PRC as places to begin with.")
        @Argument(help: ArgumentHelp("The file; - for standard input.", valueName: "file"), completion: .file())
        var file: String
        @OptionGroup var common: Common
        @ParentCommand var parent: P2PRC

        mutating func run() async throws {
            try parent.refuseOwnFlags(for: "import ip-table")
            let commands = TableCommands(home: common.homePath, json: common.json)
            try Execution.end(with: await commands.importTable(from: file))
        }
    }
}
