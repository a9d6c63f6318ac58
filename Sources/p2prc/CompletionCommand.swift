import ArgumentParser
import P2PRCKit

struct Completion: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print a script that completes p2prc's words in a shell.",
        discussion: """
            bash:  source <(p2prc completion bash)
            zsh:   p2prc completion zsh > ~/.zsh/_p2prc    (a folder of $fpath)
            fish:  p2prc completion fish > ~/.config/fish/completions/p2prc.fish

            make install puts all three where the shells look for them.
            """)
    @Argument(
        // The name of a value that is listed becomes that of a variable in zsh's script.
        help: ArgumentHelp("bash, zsh or fish.", valueName: "shell"), completion: .list(["bash", "zsh", "fish"]))
    var shell: String
    @ParentCommand var parent: P2PRC

    mutating func run() throws {
        try parent.refuseOwnFlags(for: "completion")
        guard let shell = CompletionShell(rawValue: shell) else {
            throw ValidationError("completion \(shell): write bash, zsh or fish")
        }
        Output.result(P2PRC.completionScript(for: shell))
    }
}

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the version, and the commit that it was built from, where the build was told.")
    @ParentCommand var parent: P2PRC

    mutating func run() throws {
        try parent.refuseOwnFlags(for: "version")
        Output.result(P2PRCVersion.full)
    }
}
