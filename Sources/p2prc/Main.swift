// The command line: parse, call, print. No logic (P2PRCKit has it).
import ArgumentParser
import P2PRCKit

@main
enum Main {
    // On the first thread, so that the others are asked for before any is needed.
    @MainActor static func main() async {
        do { try Threads.require() } catch { fail(error) }
        await run()
    }

    private static func run() async {
        do {
            // Swift's runtime (6.3.1) reads them in /proc/self/cmdline, and finds none where there is no /proc.
            guard !CommandLine.arguments.isEmpty else {
                throw CommandError(
                    .failure, "what was typed cannot be read, for /proc is not mounted here: mount -t proc proc /proc")
            }
            let words = Array(CommandLine.arguments.dropFirst())
            try Mistakes.refuseUnknownHelp(words)
            var command = try P2PRC.parseAsRoot(words)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            Output.finish()
        } catch let error as CommandError {
            fail(error)
        } catch {
            explain(error)
        }
    }

    private static func fail(_ error: CommandError) -> Never {
        Output.error("p2prc: \(error.text)")
        leave(ExitCode(error.status.rawValue))
    }

    /// Help and version are results; everything that is wrong is one line.
    private static func explain(_ error: any Error) -> Never {
        let text = P2PRC.message(for: error)
        switch P2PRC.exitCode(for: error) {
        case .validationFailure where !text.isEmpty:
            Output.error(
                "p2prc: \(Mistakes.line(text, P2PRC.fullMessage(for: error), CommandLine.arguments.dropFirst()))")
            leave(ExitCode.validationFailure)
        // As long as no terminal wraps the line.
        case .success where text.hasPrefix("OVERVIEW: \(P2PRC.configuration.abstract.prefix(40))"):
            Output.result(Overview.text)
            leave(ExitCode.success)
        default: leave(error)
        }
    }

    private static func leave(_ error: any Error) -> Never {
        Output.finish()
        P2PRC.exit(withError: error)
    }
}

enum Execution {
    static func end(with status: ExitStatus) throws {
        if status != .success { throw ExitCode(status.rawValue) }
    }
}
