import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What a node says when the system gives it too few threads.
    @Suite(
        .serialized, .timeLimit(.minutes(1)),
        .enabled(if: geteuid() == 0, "needs root, to be a user whose processes are limited"))
    struct FewThreadsTests {
        @Test(
            "without the threads that it needs a node says so and ends, before it promises anything",
            arguments: [1, 8, 14])
        func few(_ limit: Int) async throws {
            try await scenario { s in
                // Limits do not hold for root; they count all processes of a user, so it is one that has no others.
                let user = Int.random(in: 70_000...99_999)
                let home = "\(s.folder)/home"
                let port = try FreePorts.one()
                let words = [
                    "--reuid=\(user)", "--regid=\(user)", "--clear-groups", "prlimit", "--nproc=\(limit)",
                    try Binaries.product(), "-s", "--bind", "127.0.0.1", "--server-port", "\(port)", "--home", home,
                ]
                let ended = try await s.run("few", "setpriv", words, within: .seconds(5))
                try #require(ended.status == ExitCode.internalError, "\(ended.status) \(ended.stderr)")
                try #require(ended.stderr.contains("no threads are left here") && ended.stderr.contains("ulimit -u"))
                try #require(!ended.stderr.contains("listening on"), "\(ended.stderr)")
            }
        }
    }
}
