import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Where the home is, whose it is, and who may look into it.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct HomePlaceTests {
        private func run(
            _ s: Scenario, _ words: [String], environment: [String] = [], user: Int? = nil
        ) async throws -> Finished {
            let become = user.map { ["setpriv", "--reuid=\($0)", "--regid=\($0)", "--clear-groups"] } ?? []
            return try await s.run(
                "asked", "env", ["-u", "P2PRC", "-u", "HOME"] + environment + become + [Binaries.product()] + words)
        }

        private func mode(_ path: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        }

        @Test("in a home that others may enter, tables and listings are private all the same, and the log says it once")
        func exposed() async throws {
            try await scenario { s in
                let home = "\(s.folder)/exposed"
                try FileManager.default.createDirectory(
                    atPath: home, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
                let echo = try await s.service("echo")
                let relay = try await s.relay(home: home)
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                try await peer.verified(echo.port)
                let expected = [
                    "ip_table.sqlite", "reverse_proxy_server.json", "reverse_proxy_mapping.json", "node.key", "lock",
                ]
                try await eventually("all of them are written", within: .seconds(5)) {
                    Set(try FileManager.default.contentsOfDirectory(atPath: home)).isSuperset(of: expected)
                }
                // Not what is on its way to its place.
                let files = try FileManager.default.contentsOfDirectory(atPath: home).filter { !$0.hasSuffix(".tmp") }
                // Whatever else is there, too.
                for name in files {
                    let wanted = [".api", "receipts"].contains(name) ? 0o700 : 0o600
                    try #require(try mode("\(home)/\(name)") == wanted, "\(name)")
                }
                let warnings = relay.program.stderr.split(separator: "\n").filter { $0.contains("other users may") }
                try #require(warnings.count == 1 && warnings[0].contains("chmod 700 '\(home)'"), "\(warnings)")
                try #require(peer.program.find("other users may") == nil)

                // One that was written for everybody becomes private too.
                try #require(try await relay.program.terminate() == 0)
                for name in ["ip_table.sqlite", "reverse_proxy_mapping.json"] { chmod("\(home)/\(name)", 0o644) }
                try await relay.restart()
                try await peer.verified(echo.port)
                for name in ["ip_table.sqlite", "reverse_proxy_mapping.json"] {
                    try await eventually("\(name) is private", within: .seconds(3)) {
                        try mode("\(home)/\(name)") == 0o600
                    }
                }
            }
        }

        @Test("a home that is removed while its node runs is an error in the log, once")
        func removed() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                try await eventually("it has begun", within: .seconds(5)) {
                    try await relay.command(["status"]).status == 0
                }
                try FileManager.default.moveItem(atPath: relay.home, toPath: "\(s.folder)/moved")
                let line = try await relay.program.line(containing: "was removed", within: .seconds(15))
                try #require(line.contains("error: the home \(relay.home)"), "\(line)")
                try FileManager.default.moveItem(atPath: "\(s.folder)/moved", toPath: relay.home)
                try await relay.program.line(containing: "is in its place again", within: .seconds(15))
                try #require(relay.program.stderr.split(separator: "\n").count { $0.contains("was removed") } == 1)
            }
        }

        @Test("without HOME the list of users tells where the home is, and where nothing does, that is said")
        func unnamed() async throws {
            try await scenario { s in
                let known = try await run(s, ["status"])
                let folder = try #require(getpwuid(geteuid()).map { String(cString: $0.pointee.pw_dir) })
                try #require(known.stderr.contains("\(folder)/.p2prc"), "\(known.stderr)")
                let named = try await run(s, ["status"], environment: ["HOME=\(s.folder)"])
                try #require(named.status == ExitCode.noNode && named.stderr.contains("\(s.folder)/.p2prc"))
                // Only root may become somebody that no list knows.
                guard geteuid() == 0 else { return }
                for words in [["status"], ["-s"], ["--view-rpm"]] {
                    let nobody = try await run(s, words, user: 64_123)
                    try #require(nobody.status == ExitCode.homeUnusable, "\(nobody.stderr)")
                    try #require(nobody.stderr.contains("HOME is not set") && nobody.stderr.contains("--home DIR"))
                }
                try #require(!FileManager.default.fileExists(atPath: "/.p2prc"))
            }
        }

        @Test(
            "asked of another user's home, a command says to be run as that user",
            .enabled(if: geteuid() == 0, "needs root, to be somebody else"))
        func anothers() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                chmod(s.folder, 0o755)
                for words in [["status"], ["--mp", "80"], ["-s"], ["token", "list"]] {
                    let other = try await run(s, words + ["--home", relay.home], user: 64_123)
                    try #require(other.status == ExitCode.homeUnusable, "\(words): \(other.status) \(other.stderr)")
                    try #require(other.stderr.contains("sudo -u"), "\(words): \(other.stderr)")
                    try #require(!other.stderr.contains("restart"), "\(words): \(other.stderr)")
                }
                // Root has none of its own here, and may mean another's.
                let root = try await run(s, ["status"], environment: ["HOME=\(s.folder)"])
                try #require(
                    root.status == ExitCode.noNode && root.stderr.contains("sudo -u USER p2prc"), "\(root.stderr)")
            }
        }
    }
}
