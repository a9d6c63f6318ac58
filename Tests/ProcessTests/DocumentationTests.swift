import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What is written of the program is true of it.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct DocumentationTests {
        private static let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()

        private func p2prc(_ words: [String]) async throws -> Finished {
            var ended: Finished?
            try await scenario { s in ended = try await s.run("p2prc", try Binaries.product(), words) }
            return try #require(ended)
        }

        private func text(_ path: String) throws -> String {
            try String(contentsOf: Self.root.appending(path: path), encoding: .utf8)
        }

        /// What `--help` says, of the program and of each subcommand, those below others included; by their words.
        private func helps(_ words: [String] = []) async throws -> [String: String] {
            let text = try await p2prc(words + ["--help"]).stdout
            var all = [words.joined(separator: " "): text]
            let below = text.components(separatedBy: "\nSUBCOMMANDS:\n").dropFirst().joined()
            for line in below.matches(of: #/(?:^|\n)  ([a-z][a-z-]*)/#) {
                all.merge(try await helps(words + [String(line.output.1)])) { $1 }
            }
            return all
        }

        private func flags(_ texts: some Sequence<String>) -> Set<String> {
            Set(texts.flatMap { $0.matches(of: #/--[A-Za-z][A-Za-z-]+/#).map { String($0.output) } })
        }

        @Test("docs/cli.md names every flag and subcommand of --help, and no other flag")
        func flags() async throws {
            let helps = try await helps()
            let cli = try text("docs/cli.md")
            let offered = flags(helps.values).subtracting(["--help", "--version"])
            #expect(offered.subtracting(flags([cli])) == [], "docs/cli.md does not know these")
            #expect(flags([cli]).subtracting(offered) == [], "the program does not know these")
            #expect(helps.count > 3)
            for words in helps.keys where words != "" { #expect(cli.contains("p2prc \(words)")) }
        }

        @Test("the manual page is what make man makes of the program, and names every flag and subcommand of --help")
        func manual() async throws {
            let page = try text("docs/man/p2prc.1")
            var made: Finished?
            try await scenario { s in
                let script = Self.root.appending(path: "scripts/manual").path
                made = try await s.run("manual", "/usr/bin/python3", [script, try Binaries.product()])
            }
            let now = try #require(made)
            try #require(now.status == 0, "\(now.stderr)")
            #expect(now.stdout == page, "docs/man/p2prc.1 is of another version; run: make man")

            let helps = try await helps()
            // Hyphens that are to be typed as such are escaped in a page.
            let plain = page.replacing("\\-", with: "-")
            #expect(flags([plain]) == flags(helps.values))
            for words in helps.keys where words != "" && helps.keys.allSatisfy({ !$0.hasPrefix(words + " ") }) {
                #expect(plain.contains("\\fB\(words)\\fR"))
            }
        }

        @Test("every command of the README and of docs/cli.md is one that the program takes")
        func commands() async throws {
            let lines = try (text("README.md") + text("docs/cli.md")).split(separator: "\n")
                .compactMap { line in line.firstRange(of: #/(?:^|\$ +)p2prc [^#|`<]*/#).map { String(line[$0]) } }
            try #require(lines.count >= 8)
            for line in lines {
                let words = line.replacing(#/^.*?p2prc /#, with: "").split(separator: " ").map(String.init)
                // No node runs with this home, so a command that is understood says that and does nothing.
                guard !words.contains("-s") else { continue }
                let ended = try await p2prc(words + ["--home", "/nonexistent/p2prc"])
                #expect(ended.status == 10, "\(line): \(ended.stderr)")
            }
        }

        @Test("the exit codes in docs/cli.md are those that commands end with")
        func exitCodes() async throws {
            let table = try text("docs/cli.md")
            #expect(try await p2prc(["--mp", "0"]).status == 64)
            #expect(try await p2prc(["status", "--home", "/nonexistent/p2prc"]).status == 10)
            #expect(try await p2prc(["-s", "--home", "/dev/null/x"]).status == 19)
            for code in [0, 1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 64, 65, 69] {
                #expect(table.contains("\n| \(code) | "))
            }
        }

        @Test("what status, --view-rps and --view-rpm print as JSON fits its schema, and the files are the same document")
        func schemas() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay(ports: try FreePorts.range(5))
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                _ = try await peer.verified(echo.port)
                for node in [relay, peer] {
                    for (words, schema) in [
                        (["status"], "status"), (["--view-rps"], "reverse_proxy_server"),
                        (["--view-rpm"], "reverse_proxy_mapping"),
                    ] {
                        let printed = try await node.command(words + ["--json"])
                        let file = s.folder + "/\(schema).json"
                        try printed.stdout.write(toFile: file, atomically: true, encoding: .utf8)
                        let check = """
                            import json, sys, jsonschema
                            jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))
                            """
                        let path = Self.root.appending(path: "json/schema/\(schema).schema.json").path
                        let verdict = try await s.run("python3", "/usr/bin/python3", ["-c", check, file, path])
                        #expect(verdict.status == 0, "\(words): \(verdict.stderr)\n\(printed.stdout)")
                    }
                    try await eventually("the mapping file is the document that is printed", within: .seconds(5)) {
                        let printed = try await node.command(["--view-rpm", "--json"]).stdout
                        return try String(contentsOfFile: node.home + "/reverse_proxy_mapping.json", encoding: .utf8) == printed
                    }
                }
            }
        }
    }
}
