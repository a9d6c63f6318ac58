import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Becoming a member by a join link, however it is handed over.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct JoiningTests {
        private func link(of relay: Node) async throws -> String {
            let shown = try await relay.command(["mesh-key", "link"])
            try #require(shown.status == ExitCode.fine, "\(shown.stderr)")
            return shown.stdout.trimmingCharacters(in: .newlines)
        }

        private func secretFile(_ s: Scenario, _ text: String, mode: Int = 0o600) -> String {
            let path = "\(s.folder)/secret-\(UInt32.random(in: 0...999_999))"
            _ = FileManager.default.createFile(
                atPath: path, contents: Data("\(text)\n".utf8), attributes: [.posixPermissions: mode])
            return path
        }

        private func newcomer(_ s: Scenario, _ name: String = "newcomer") async throws -> Node {
            var settings = NodeSettings(name)
            settings.meshKey = nil
            let node = try s.node(settings)
            try await node.listening()
            return node
        }

        private func connected(_ node: Node) async throws {
            try await eventually("\(node.settings.name) is connected", within: .seconds(10)) {
                try await node.viewRPS().contains { $0.state == "connected" }
            }
        }

        @Test("a relay prints its join link once, and somebody who knew nothing joins with it")
        func firstStart() async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.meshKey = nil }
                let line = try await relay.program.line(containing: "join link, a secret")
                let printed = try #require(line.split(separator: " ").last.map(String.init))
                try #require(printed == (try await link(of: relay)))
                let peer = try await s.peer(of: relay) {
                    $0.meshKey = nil
                    $0.relays = [printed]
                }
                try await connected(peer)
                try #require(try await relay.program.terminate() == 0)
                try await relay.restart()
                try await relay.program.line(containing: "mesh-key link prints")
                try #require(relay.program.find("p2prc://") == nil, "a log would keep the secret")
            }
        }

        @Test(
            "by file, standard input and environment nothing of the secret is on a command line",
            arguments: [true, false])
        func handedOver(_ isRunning: Bool) async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let link = try await link(of: relay)
                let file = secretFile(s, link)
                for way in ["file", "standard input", "environment"] {
                    let node = try await newcomer(s)
                    if !isRunning { try #require(try await node.program.terminate() == 0) }
                    let words =
                        switch way {
                        case "file": ["join", "--file", file]
                        case "standard input": ["join", "-"]
                        default: ["join"]
                        }
                    let joined = try await s.run(
                        "join", Binaries.product(), words + ["--home", node.home],
                        environment: way == "environment" ? ["P2PRC_JOIN_LINK": link] : [:],
                        standardInput: way == "standard input" ? file : nil)
                    try #require(joined.status == ExitCode.fine, "\(way): \(joined.stderr)")
                    try #require(
                        !(joined.stdout + joined.stderr).contains(link.suffix(64)), "\(way): it is not repeated")
                    if !isRunning { try await node.restart() }
                    try await connected(node)
                    let shown = try await s.shell("tr '\\0' ' ' < /proc/\(node.program.pid)/cmdline")
                    try #require(!shown.stdout.contains("p2prc://") && shown.stdout.contains(node.home))
                }
            }
        }

        @Test("-s takes the link from the environment too, and then ps shows nothing of it")
        func environmentOfTheNode() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                var settings = NodeSettings("newcomer")
                settings.meshKey = nil
                settings.environment = ["P2PRC_JOIN_LINK": try await link(of: relay)]
                let node = try s.node(settings)
                try await connected(node)
                let shown = try await s.shell("tr '\\0' ' ' < /proc/\(node.program.pid)/cmdline")
                try #require(!shown.stdout.contains("p2prc://") && shown.stdout.contains(node.home))
                try #require(!(node.program.stdout + node.program.stderr).contains("p2prc://"))
            }
        }

        @Test("the link once, and from then on the address is enough")
        func once() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let node = try await newcomer(s)
                try #require(try await node.command(["join", try await link(of: relay)]).status == ExitCode.fine)
                try await connected(node)
                try #require(try await node.program.terminate() == 0)
                node.settings.relays = ["127.0.0.1:\(relay.settings.serverPort ?? 0)"]
                try await node.restart()
                try await connected(node)
            }
        }

        @Test(
            "a file with a secret that others may read is refused with the fix", arguments: ["--file", "--token-file"])
        func exposed(_ flag: String) async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let link = try await link(of: relay)
                let node = try await newcomer(s)
                let file = secretFile(s, link, mode: 0o640)
                let words =
                    flag == "--file" ? [flag, file] : ["127.0.0.1:\(relay.settings.serverPort ?? 0)", flag, file]
                let refused = try await node.command(["join"] + words)
                try #require(refused.status == ExitCode.usage)
                try expectOneLine(refused, naming: "chmod 600")
                try expectOneLine(refused, naming: file)
                try #require(try await node.viewRPS().isEmpty)
            }
        }

        @Test("a link with a piece cut off is refused, and not repeated")
        func cutOff() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let link = try await link(of: relay)
                let node = try await newcomer(s)
                for cut in [1, 2, 63, 66] {
                    let refused = try await node.command(["join", String(link.dropLast(cut))])
                    try #require(refused.status == ExitCode.usage, "\(cut) digits are missing")
                    try expectOneLine(refused, naming: "not complete")
                    try #require(!refused.stderr.contains(link.suffix(64).prefix(16)))
                }
                try #require(try await node.viewRPS().isEmpty)
            }
        }

        private func expectOneLine(_ ended: Finished, naming what: String) throws {
            try #require(ended.stderr.contains(what), "\(ended.stderr)")
            try #require(ended.stderr.split(separator: "\n").count == 1, "one clear line: \(ended.stderr)")
        }
    }
}
