// The command line: parse, call, print. No logic (P2PRCKit has it).
import ArgumentParser
import P2PRCKit

@main
enum Main {
    static func main() async {
        do {
            let words = Array(CommandLine.arguments.dropFirst())
            try Mistakes.refuseUnknownHelp(words)
            var command = try P2PRC.parseAsRoot(words)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let error as CommandError {
            Output.error("p2prc: \(error.text)")
            P2PRC.exit(withError: ExitCode(error.status.rawValue))
        } catch {
            leave(error)
        }
    }

    /// Help and version are results; everything that is wrong is one line.
    private static func leave(_ error: any Error) -> Never {
        let text = P2PRC.message(for: error)
        switch P2PRC.exitCode(for: error) {
        case .validationFailure where !text.isEmpty:
            Output.error("p2prc: \(Mistakes.line(text, P2PRC.fullMessage(for: error), CommandLine.arguments.dropFirst()))")
            P2PRC.exit(withError: ExitCode.validationFailure)
        // As long as no terminal wraps the line.
        case .success where text.hasPrefix("OVERVIEW: \(P2PRC.configuration.abstract.prefix(40))"):
            Output.result(Overview.text)
            P2PRC.exit()
        default: P2PRC.exit(withError: error)
        }
    }
}

enum Execution {
    static func end(with status: ExitStatus) throws {
        if status != .success { throw ExitCode(status.rawValue) }
    }
}
