import ArgumentParser
import P2PRCKit

struct Drain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let a reverse proxy's peers go to others before it is stopped.",
        discussion: """
            Each peer has a session elsewhere first, and visitors run on. The command ends when nobody is left. A peer \
            that has nowhere to go stays until the time is over.
            """)
    @Option(help: ArgumentHelp("Send away who is still there after so long.", valueName: "10m | 30s"))
    var within = "10m"
    @Flag(name: .customLong("no-wait"), help: "Do not wait until it is empty.")
    var noWait = false
    @Flag(help: "Stay after all, and take peers again.")
    var undo = false
    @OptionGroup var common: Common
    @ParentCommand var parent: P2PRC

    mutating func run() async throws {
        try parent.refuseOwnFlags(for: "drain")
        let commands = Commands(home: common.homePath, json: common.json)
        guard undo else { return try Execution.end(with: commands.drain(within: within, waits: !noWait)) }
        if noWait { throw ValidationError("--no-wait does nothing with --undo; leave it out") }
        try Execution.end(with: commands.stopDraining())
    }
}
