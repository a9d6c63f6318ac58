import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Commands that wait for the node, while something happens to them.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct WaitingCommandTests {
        @Test("--mp that is stopped and continued while it waits goes on waiting, and ends as it should")
        func stopped() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                try await peer.program.line(containing: "session to relay")
                // Nothing is agreed as long as the relay stands still, which a session outlives for some seconds.
                relay.program.signal(SIGSTOP)
                let command = try s.start("mp", Binaries.product(), ["--mp", "\(echo.port)", "--home", peer.home])
                try await eventually("the node has been asked", within: .seconds(3)) {
                    try await peer.viewRPM().contains { $0.leads(to: echo.port) }
                }
                for _ in 0..<5 {
                    command.signal(SIGTSTP)
                    try await eventually("it is stopped", within: .seconds(2)) { try state(command.pid) == "T" }
                    command.signal(SIGCONT)
                    try await eventually("it waits again", within: .seconds(2)) { try state(command.pid) == "S" }
                }
                try #require(command.isRunning, "\(command.transcript)")
                relay.program.signal(SIGCONT)
                try #require(try await command.exit() == ExitCode.fine, "\(command.transcript)")
                try #require(command.stdout.contains("verified"))
            }
        }

        /// As in proc(5): T stopped, S asleep.
        private func state(_ pid: pid_t) throws -> String {
            let text = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
            return String(text[text.index(text.lastIndex(of: ")") ?? text.startIndex, offsetBy: 2)...].prefix(1))
        }
    }
}
