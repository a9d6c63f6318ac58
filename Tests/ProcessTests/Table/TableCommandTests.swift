import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// The IP table on the command line, with a running node and without one; P2PRC's files and nodes.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct TableCommandTests {
        static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()

        struct Table: Decodable {
            struct Row: Decodable {
                var Name: String
                var Key: String?
                var Source: String
                var Addresses: [String]
                var Note: String?
            }

            var ip_table: [Row]

            /// Seeds as the user sees them.
            var seeds: [String] { ip_table.filter { $0.Source != "self" }.map { "\($0.Source) \($0.Addresses[0])" } }
        }

        /// Runs a command in a home, with a node or without. `input` is a file.
        private func p2prc(_ s: Scenario, _ home: String, _ words: [String], input: String? = nil) async throws
            -> Finished
        {
            try await s.run("p2prc", Binaries.product(), words + ["--home", home], standardInput: input)
        }

        private func list(_ s: Scenario, _ home: String) async throws -> Table {
            let printed = try await p2prc(s, home, ["--ls", "--json"])
            try #require(printed.status == ExitCode.fine, "\(printed.stderr)")
            try await check(s, printed.stdout, "ip_table")
            return try JSONDecoder().decode(Table.self, from: Data(printed.stdout.utf8))
        }

        private func check(_ s: Scenario, _ document: String, _ schema: String) async throws {
            let file = s.folder + "/\(schema).json"
            try document.write(toFile: file, atomically: true, encoding: .utf8)
            let script = """
                import json, sys, jsonschema
                schema = json.load(open(sys.argv[2]))
                jsonschema.Draft202012Validator.check_schema(schema)
                jsonschema.validate(json.load(open(sys.argv[1])), schema)
                """
            let path = Self.root.appending(path: "json/schema/\(schema).schema.json").path
            let verdict = try await s.run("python3", "/usr/bin/python3", ["-c", script, file, path])
            try #require(verdict.status == 0, "\(verdict.stderr)\n\(document)")
        }

        private func node(_ s: Scenario, config: String = "") async throws -> Node {
            let home = "\(s.folder)/home"
            try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
            try Data(config.utf8).write(to: URL(filePath: home + "/config.toml"))
            let node = try s.node(NodeSettings("node"), home: home)
            try await node.listening()
            return node
        }

        @Test("seeds are added, listed and shown, and a root takes their place", arguments: [true, false])
        func seeds(_ isRunning: Bool) async throws {
            try await scenario { s in
                let node = try await node(s)
                if !isRunning { try #require(try await node.program.terminate() == 0) }
                for words in [
                    ["--as", "relay.invalid"], ["--AddServer", "192.0.2.1", "-p", "9000"],
                    ["--as", "[2001:db8::1]:80"],
                    ["--as", "relay.invalid:8088"],
                ] { try #require(try await p2prc(s, node.home, words).status == ExitCode.fine) }
                try #require(
                    try await list(s, node.home).seeds
                        == ["user relay.invalid:8088", "user 192.0.2.1:9000", "user [2001:db8::1]:80"])
                let text = try await p2prc(s, node.home, ["--ListServers"])
                try #require(text.stdout.contains("192.0.2.1:9000") && text.stdout.contains("FROM"))

                let shown = try await p2prc(s, node.home, ["--specs", "192.0.2.1", "--json"])
                try await check(s, shown.stdout, "ip_table_node")
                try #require(shown.stdout.contains("192.0.2.1:9000"))
                let unknown = try await p2prc(s, node.home, ["--Specification", "nobody"])
                try #require(unknown.status == ExitCode.notFound && unknown.stderr.contains("nobody"))

                let root = ["--AddRootNode", "--IPAddress", "192.0.2.9", "-p", "8078"]
                try #require(try await p2prc(s, node.home, root).status == ExitCode.fine)
                try #require(try await list(s, node.home).seeds == ["root 192.0.2.9:8078"])
            }
        }

        @Test("a note is in the node's own record, and comes back with the node")
        func note() async throws {
            try await scenario { s in
                let node = try await node(s)
                let said = try await node.command(["--amd", "Küche, 2. Stock"])
                try #require(said.status == ExitCode.fine && said.stdout.contains("Küche"))
                func own() async throws -> String? {
                    try await list(s, node.home).ip_table.first { $0.Source == "self" }?.Note
                }
                try await eventually("the node says it of itself", within: .seconds(10)) {
                    try await own() == "Küche, 2. Stock"
                }
                try #require(try await node.program.terminate() == 0)
                try #require(try await p2prc(s, node.home, ["--AddMetaData", "im Keller"]).status == ExitCode.fine)
                try await node.restart()
                try await eventually("the node says it from its start", within: .seconds(10)) {
                    try await own() == "im Keller"
                }
                let long = try await node.command(["--amd", String(repeating: "x", count: 193)])
                try #require(long.status == ExitCode.usage && long.stderr.contains("192"))
            }
        }

        @Test("a node that knows nobody says so when it is asked to ask")
        func refreshAlone() async throws {
            try await scenario { s in
                let node = try await node(s)
                let asked = try await node.command(["--us"])
                try #require(asked.status == ExitCode.relayUnreachable, "\(asked.status) \(asked.stderr)")
                try #require(asked.stderr.contains("--as"))
                try #require(try await node.program.terminate() == 0)
                try #require(try await node.command(["--UpdateServerList"]).status == ExitCode.noNode)
            }
        }

        @Test("a node that is told of another asks it at once, and both list each other")
        func refresh() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let other = try await node(s)
                let place = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                try #require(try await other.command(["--as", place]).status == ExitCode.fine)
                try await eventually("the seed answers", within: .seconds(20)) {
                    let asked = try await other.command(["--us", "--json"])
                    return asked.status == ExitCode.fine && asked.stdout.contains("\"record\"")
                }
                let rows = try await list(s, other.home).ip_table
                try #require(rows.map(\.Source).sorted() == ["record", "self", "user"])
                let seen = try #require(rows.first { $0.Source == "record" })
                let shown = try await other.command(["--specs", seen.Key ?? "", "--json"])
                try await check(s, shown.stdout, "ip_table_node")
                try #require(shown.stdout.contains("\"Address\": \"\(place)\""), "where it was met: \(shown.stdout)")
                try await eventually("the other knows it too", within: .seconds(20)) {
                    try await list(s, relay.home).ip_table.contains { $0.Source == "record" }
                }
            }
        }

        @Test(
            "what is wrong about the table's flags is said in one line",
            arguments: [
                (["--as", "host:port"], "host:port"), (["--as", "192.0.2.1:80", "-p", "81"], "192.0.2.1:80"),
                (["--as", "192.0.2.1", "-p", "0"], "-p 0"), (["--arn"], "--ip"), (["--arn", "--ip", "a"], "-p"),
                (["--ip", "192.0.2.1"], "--arn"), (["-p", "8088"], "--as"), (["--ls", "--as", "a"], "--as"),
                (["-s", "--ls"], "--ls"), (["--ls", "--mp", "80"], "--mp"), (["status", "--us"], "--us"),
                (["--amd", "two\nlines"], "--amd"), (["import", "ip-table"], "<file>"),
                (["export", "ip-table", "--ls"], "--ls"),
            ])
        func usage(_ words: [String], _ culprit: String) async throws {
            try await scenario { s in
                let ended = try await p2prc(s, "\(s.folder)/home", words)
                try #require(ended.status == ExitCode.usage)
                try #require(ended.stderr.contains(culprit) && ended.stderr.split(separator: "\n").count == 1)
                try #require(!FileManager.default.fileExists(atPath: "\(s.folder)/home"))
            }
        }

        private static func fixture(_ name: String) -> String {
            root.appending(path: "Tests/PeerWireTests/P2PRC/Fixtures/\(name).json").path
        }

        @Test(
            "P2PRC's tables are taken over in every form, as seeds, and written in its latest",
            arguments: [true, false])
        func exchangeOfFiles(_ isRunning: Bool) async throws {
            try await scenario { s in
                let node = try await node(s)
                if !isRunning { try #require(try await node.program.terminate() == 0) }
                for (name, added) in [
                    ("current", 3), ("texts-2023", 2), ("lowercase-2021", 2), ("null", 0), ("current", 0),
                ] {
                    let taken = try await p2prc(s, node.home, ["import", "ip-table", Self.fixture(name), "--json"])
                    try #require(taken.status == ExitCode.fine, "\(taken.stderr)")
                    let sum = try JSONDecoder().decode([String: Int].self, from: Data(taken.stdout.utf8))
                    try #require(sum["Added"] == added && sum["Refused"] == 0, "\(name): \(sum)")
                }
                let seeds = try await list(s, node.home).seeds
                try #require(seeds.count == 7 && seeds.allSatisfy { $0.hasPrefix("import ") })

                let file = "\(s.folder)/exported.json"
                try #require(try await p2prc(s, node.home, ["export", "ip-table", file]).status == ExitCode.fine)
                let printed = try await p2prc(s, node.home, ["export", "ip-table"])
                try #require(printed.stdout == (try String(contentsOfFile: file, encoding: .utf8)) + "\n")
                let other = "\(s.folder)/other"
                let again = try await p2prc(s, other, ["import", "ip-table", "-"], input: file)
                try #require(again.status == ExitCode.fine && again.stdout.contains("7"), "\(again.stderr)")
                try #require(try await list(s, other).seeds.count == 7)
            }
        }

        @Test("what a file of others names is asked only where others' word may be dialled; what the user names always")
        func importedPrivate() async throws {
            try await scenario { s in
                // Neither answers: the first is in a network that the user allows, the second in one that is not here.
                let (allowed, foreign) = ("203.0.113.9:8088", "10.99.98.97:8088")
                let node = try await node(s, config: "[mesh]\ndial = [\"203.0.113.0/24\"]\n")
                let file = "\(s.folder)/table.json"
                let rows = ["203.0.113.9", "10.99.98.97"].map { #"{"IPV4":"\#($0)","ServerPort":"8088"}"# }
                try Data(#"{"ip_address":[\#(rows.joined(separator: ","))]}"#.utf8).write(to: URL(filePath: file))
                let taken = try await p2prc(s, node.home, ["import", "ip-table", file])
                try #require(taken.status == ExitCode.fine, "\(taken.stderr)")
                func isAsked(_ seed: String) -> Bool {
                    node.program.stderr.contains("the mesh cannot be asked at \(seed)")
                }
                try await eventually("the allowed one is asked", within: .seconds(30)) { isAsked(allowed) }
                // As many rounds, and one of two seeds in each.
                try await throughout(.seconds(12), "the foreign one is not") { !isAsked(foreign) }
                try #require(try await list(s, node.home).seeds.count == 2)
                try #require(try await p2prc(s, node.home, ["--as", foreign]).status == ExitCode.fine)
                try await eventually("it is, when the user names it", within: .seconds(30)) { isAsked(foreign) }
            }
        }

        @Test("damaged and enormous tables are refused in one line, and nothing is taken from them")
        func damagedTables() async throws {
            try await scenario { s in
                let file = "\(s.folder)/table.json"
                let row = #"{"IPV4":"192.0.2.1","ServerPort":"80"}"#
                for (text, culprit) in [
                    ("", "line 1"), ("error: proxy IP not found", "line 1"), (#"{"ip_address":[\#(row)"#, "line 1"),
                    (#"{"ip_address":[\#(row)]} {}"#, "after the end"),
                    (String(repeating: " ", count: 9 << 20), "8388608"),
                    (#"{"ip_address":"# + String(repeating: "[", count: 4 << 20), "deep"),
                    (#"{"ip_address":["# + Array(repeating: row, count: 16_385).joined(separator: ",") + "]}", "16384"),
                ] {
                    try Data(text.utf8).write(to: URL(filePath: file))
                    let start = ContinuousClock.now
                    let ended = try await p2prc(s, "\(s.folder)/home", ["import", "ip-table", file])
                    try #require(ContinuousClock.now - start < .seconds(5))
                    try #require(ended.status == ExitCode.damagedData, "\(culprit): \(ended.stderr)")
                    try #require(ended.stderr.contains(culprit) && ended.stderr.split(separator: "\n").count == 1)
                    try #require(!FileManager.default.fileExists(atPath: "\(s.folder)/home"))
                }
                let missing = try await p2prc(s, "\(s.folder)/home", ["import", "ip-table", "\(s.folder)/none"])
                try #require(missing.status == ExitCode.notFound && missing.stderr.contains("none"))
                let unwritten = try await p2prc(s, "\(s.folder)/home", ["export", "ip-table"])
                try #require(unwritten.status == ExitCode.noNode)
            }
        }

        @Test("a P2PRC node exchanges tables where that is wanted, and what it tells is a seed")
        func adapter() async throws {
            try await scenario { s in
                let port = try FreePorts.one()
                let config = "p2prc_compat = \"127.0.0.1:\(port)\"\n[mesh]\ndial = [\"203.0.113.0/24\"]\n"
                let node = try await node(s, config: config)
                try await node.program.line(containing: "exchange tables at 127.0.0.1:\(port)", within: .seconds(10))
                func curl(_ words: [String]) async throws -> String {
                    let all = ["-sS", "--max-time", "10"] + words
                    let ended = try await s.run("curl", "/usr/bin/curl", all)
                    try #require(ended.status == 0, "\(ended.stderr)")
                    return ended.stdout
                }
                let url = "http://127.0.0.1:\(port)"
                try #require(try await curl(["\(url)/server_info"]).contains("\"Hostname\""))
                let form = ["-F", "json=@\(Self.fixture("texts-2023"))", "\(url)/IpTable"]
                let reply = try await curl(["-H", "Transfer-Encoding: chunked"] + form)
                try #require(reply.contains("\"IPV4\":\"127.0.0.1\"") && reply.contains("\"ServerPort\":\"\(port)\""))
                // Loopback, a network that this node is not part of, and itself are not taken on others' word.
                let bad = [("127.0.0.1", "1"), ("10.99.98.97", "1"), ("169.254.1.1", "80"), ("127.0.0.1", "\(port)")]
                let rows = bad.map { #"{"IPV4":"\#($0.0)","ServerPort":"\#($0.1)"}"# }.joined(separator: ",")
                _ = try await curl(["--data-binary", #"{"ip_address":[\#(rows)]}"#, "\(url)/IpTable"])
                try #require(
                    try await list(s, node.home).seeds.sorted()
                        == ["p2prc 203.0.113.222:61582", "p2prc 203.0.113.222:8078"])
                for path in [
                    "MAPPort?port=22", "startcontainer", "AddProxy?port=1&domain_name=a&ip_address=b", "v1/node",
                ] {
                    try #require(try await curl(["-o", "/dev/null", "-w", "%{http_code}", "\(url)/\(path)"]) == "404")
                }
                try #require(try await node.program.terminate() == 0)
                try await s.expectRefused("127.0.0.1", port)
            }
        }

        @Test("without being wanted there is no such port, and a wrong one is named")
        func adapterConfig() async throws {
            try await scenario { s in
                let taken = try await s.service("echo", ["--bind", "127.0.0.1"])
                for (value, status, culprit) in [
                    ("8078", ExitCode.damagedData, "p2prc_compat"), ("host:8078", ExitCode.damagedData, "p2prc_compat"),
                    ("127.0.0.1:\(taken.port)", ExitCode.serverPortInUse, "127.0.0.1:\(taken.port)"),
                ] {
                    let home = "\(s.folder)/home-\(UInt32.random(in: 0 ... .max))"
                    try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
                    try Data("p2prc_compat = \"\(value)\"\n".utf8).write(to: URL(filePath: home + "/config.toml"))
                    let node = try s.node(NodeSettings("node"), home: home)
                    try #require(try await node.program.exit() == status)
                    let lines = node.program.stderr.split(separator: "\n").filter { $0.contains(culprit) }
                    try #require(lines.count == 1, "\(node.program.stderr)")
                }
            }
        }
    }
}
