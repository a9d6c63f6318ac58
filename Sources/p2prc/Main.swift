// The command line: parse, call, print. No logic (P2PRCKit has it).
import ArgumentParser
import P2PRCKit

@main
enum Main {
    static func main() async {
        do {
            var command = try P2PRC.parseAsRoot()
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
        if P2PRC.exitCode(for: error) == .validationFailure, !text.isEmpty {
            Output.error("p2prc: \(text.split(separator: "\n")[0]); see p2prc --help")
            P2PRC.exit(withError: ExitCode.validationFailure)
        }
        P2PRC.exit(withError: error)
    }
}

enum Execution {
    static func end(with status: ExitStatus) throws {
        if status != .success { throw ExitCode(status.rawValue) }
    }
}
