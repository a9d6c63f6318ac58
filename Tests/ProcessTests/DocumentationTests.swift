import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What is written of the program is true of it.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct DocumentationTests {
        private static let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()

        private static let subcommands = [
            ["status"], ["netcheck"], ["unmap"], ["release"], ["join"], ["leave"], ["drain"], ["trust"],
            ["mesh-key", "link"], ["mesh-key", "rotate"],
            ["token", "issue"], ["token", "list"], ["token", "revoke"],
            ["token", "rotate-key"], ["receipt", "show"], ["receipt", "verify"],
            ["export", "ip-table"], ["import", "ip-table"], ["completion"], ["version"],
        ]

        private func p2prc(_ words: [String]) async throws -> Finished {
            var ended: Finished?
            try await scenario { s in ended = try await s.run("p2prc", try Binaries.product(), words) }
            return try #require(ended)
        }

        /// What the program says of itself to scripts/manual.
        private struct Command: Decodable {
            struct Name: Decodable {
                var kind: String
                var name: String
            }
            struct Argument: Decodable { var names: [Name]? }
            var arguments: [Argument]?
            var subcommands: [Command]?

            var flags: Set<String> {
                let own = (arguments ?? []).flatMap { $0.names ?? [] }.filter { $0.kind == "long" }.map {
                    "--\($0.name)"
                }
                return (subcommands ?? []).reduce(into: Set(own)) { $0.formUnion($1.flags) }
            }
        }

        private func program() async throws -> Command {
            struct Dump: Decodable { var command: Command }
            let dump = try await p2prc(["--experimental-dump-help"]).stdout
            return try JSONDecoder().decode(Dump.self, from: Data(dump.utf8)).command
        }

        private func text(_ path: String) throws -> String {
            try String(contentsOf: Self.root.appending(path: path), encoding: .utf8)
        }

        @Test("docs/cli.md names every flag and subcommand of --help, and no other flag")
        func flags() async throws {
            let pattern = #/--[A-Za-z][A-Za-z-]+/#
            let offered = try await program().flags.subtracting(["--help"])
            let described = Set(try text("docs/cli.md").matches(of: pattern).map { String($0.output) })
            #expect(offered.subtracting(described) == [], "docs/cli.md does not know these")
            #expect(described.subtracting(offered) == [], "the program does not know these")
            for words in Self.subcommands {
                #expect(try text("docs/cli.md").contains("p2prc \(words.joined(separator: " "))"))
            }
        }

        @Test("p2prc --help is one screen with every flag and subcommand, P2PRC's own names at its end")
        func overview() async throws {
            let help = try await p2prc(["--help"])
            #expect(help.status == 0)
            #expect(try await p2prc([]).stdout == help.stdout)
            #expect(try await p2prc(["help"]).stdout == help.stdout)
            let lines = help.stdout.split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.count <= 50 && lines.allSatisfy { $0.count <= 80 }, "\(lines.count) lines")
            for argument in try await program().arguments ?? [] {
                for name in argument.names ?? [] where !["help", "version", "h"].contains(name.name) {
                    #expect(help.stdout.contains((name.kind == "short" ? "-" : "--") + name.name), "\(name)")
                }
            }
            for words in Self.subcommands { for word in words { #expect(help.stdout.contains(word)) } }
            let groups = help.stdout.split(separator: "P2PRC's names:")
            #expect(groups.count == 2 && !groups[0].contains("--ListServers"))
            // A command's own help is whole: its flags, and those of every command.
            for words in Self.subcommands {
                let own = try await p2prc(words + ["--help"])
                #expect(own.status == 0 && own.stdout.hasPrefix("OVERVIEW: "), "\(words)")
            }
            #expect(try await p2prc(["token", "issue", "--help"]).stdout.contains("--ports"))
        }

        @Test(
            "p2prc completion makes a script that its shell takes, with every subcommand",
            arguments: ["bash", "zsh", "fish"])
        func completion(_ shell: String) async throws {
            let script = try await p2prc(["completion", shell])
            #expect(script.status == 0 && script.stderr.isEmpty)
            for words in Self.subcommands { #expect(script.stdout.contains(words[0])) }
            // What holds the choices of an argument is a variable, whatever the argument is called.
            for line in script.stdout.split(separator: "\n") where line.contains("local -ar ") {
                #expect(line.contains(#/local -ar [A-Za-z_][A-Za-z0-9_]*=/#), "\(line)")
            }
            if Ran.isInstalled(shell, "--version") { #expect(try await reads(shell, script.stdout)) }
            guard shell == "bash" else { return }
            let asked =
                "COMP_WORDS=(p2prc unm); COMP_CWORD=1; COMP_LINE='p2prc unm'; COMP_POINT=9; _p2prc p2prc unm p2prc"
            let candidates = try await bash("\(script.stdout)\n\(asked); echo ${COMPREPLY[@]}\n")
            #expect(candidates == "unmap\n", "\(candidates)")
        }

        /// Whether a shell finds no fault with the grammar of a script.
        private func reads(_ shell: String, _ text: String) async throws -> Bool {
            var status = -1
            try await scenario { s in
                let file = s.folder + "/script"
                try text.write(toFile: file, atomically: true, encoding: .utf8)
                status = try await s.run(shell, shell, ["-n", file]).status
            }
            return status == 0
        }

        @Test("p2prc version has the commit that make saw, and none where the build was told none")
        func version() async throws {
            let said = try await p2prc(["version"])
            #expect(said.stdout == (try await p2prc(["--version"]).stdout) && said.status == 0)
            #expect(
                said.stdout.wholeMatch(of: #/\d+\.\d+\.\d+( \([0-9a-f]{7,40}(-dirty)?\))?\n/#) != nil, "\(said.stdout)")
            var made: [String] = []
            try await scenario { s in
                // As make does it, with a compiler that just says what it was told; and once where no repository is.
                for folder in [Self.root.path, s.folder] {
                    let clean = ["-u", "P2PRC_COMMIT", "-u", "MAKEFLAGS", "make", "--no-print-directory"]
                    let words = clean + ["-C", folder, "-f", "\(Self.root.path)/Makefile", "print-commit"]
                    made.append(try await s.run("make", "env", words).stdout)
                }
            }
            #expect(made.count == 2 && made.last == "\n")
            let isRepository = FileManager.default.fileExists(atPath: Self.root.appending(path: ".git").path)
            #expect((made.first?.wholeMatch(of: #/[0-9a-f]{7,40}(-dirty)?\n/#) != nil) == isRepository, "\(made)")
        }

        private func bash(_ text: String) async throws -> String {
            var said = ""
            try await scenario { s in
                let file = s.folder + "/script"
                try text.write(toFile: file, atomically: true, encoding: .utf8)
                said = try await s.run("bash", "/bin/bash", [file]).stdout
            }
            return said
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

            // Hyphens that are to be typed as such are escaped in a page.
            let plain = page.replacing("\\-", with: "-")
            let pattern = #/--[A-Za-z][A-Za-z-]+/#
            let offered = try await program().flags
            #expect(Set(plain.matches(of: pattern).map { String($0.output) }) == offered)
            for words in Self.subcommands {
                #expect(plain.contains("\\fB\(words.joined(separator: " "))\\fR"))
            }
            for heading in ["EXAMPLES", "SEE ALSO", "ENVIRONMENT"] { #expect(page.contains("\n.SH \(heading)\n")) }
            #expect(plain.contains("P2PRC_JOIN_LINK"))
            // A flag of a subcommand that has the name of another one's is not lost.
            let issue = try #require(plain.split(separator: ".SH COMMANDS")[1].split(separator: "\\fBtoken list").first)
            #expect(issue.split(separator: "\\fBtoken issue").last?.contains("\\fB--ports\\fR") == true)
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

        @Test(
            "every test that docs/security.md names exists, and no threat and no cost goes without one",
            arguments: [("Threats", 45), ("What others can make a node do", 29)])
        func threats(_ heading: String, _ count: Int) throws {
            let chapter = try #require(
                try text("docs/security.md").split(separator: "\n## ").first { $0.hasPrefix(heading) })
            let entries = chapter.split(separator: "\n### ").dropFirst()
            try #require(entries.count >= count)
            var files: [String: String] = [:]
            let folder = Self.root.appending(path: "Tests")
            for case let path as String in try #require(FileManager.default.enumerator(atPath: folder.path))
            where path.hasSuffix("Tests.swift") || path.contains("Tests+") {
                // A suite that is in several files is named before the plus sign.
                let file = URL(filePath: path).deletingPathExtension().lastPathComponent
                let name = String(file.prefix { $0 != "+" })
                files[name, default: ""] += try String(contentsOf: folder.appending(path: path), encoding: .utf8)
            }
            for entry in entries {
                let title = entry.prefix { $0 != "\n" }
                let paragraphs = entry.split(separator: "\n\n").dropFirst()
                #expect(paragraphs.first { !$0.hasPrefix("- ") } != nil, "\(title): nothing is said against it")
                // Sentences longer than a line go on in the next one.
                let list = paragraphs.filter { $0.hasPrefix("- ") }.joined(separator: " ")
                    .split(whereSeparator: \.isWhitespace).joined(separator: " ")
                let named = list.matches(of: #/`(\w+Tests): ([^`]+)`/#)
                #expect(!named.isEmpty, "\(title) names no test")
                for test in named {
                    let (suite, sentence) = (String(test.output.1), String(test.output.2))
                    let isThere = files[suite].map { $0.contains("\"\(sentence)\"") || $0.contains("`\(sentence)`") }
                    #expect(isThere == true, "there is no test \(suite): \(sentence)")
                }
            }
        }

        @Test("the exit codes in docs/cli.md are those that commands end with")
        func exitCodes() async throws {
            let table = try text("docs/cli.md")
            #expect(try await p2prc(["--mp", "0"]).status == 64)
            #expect(try await p2prc(["status", "--home", "/nonexistent/p2prc"]).status == 10)
            #expect(try await p2prc(["-s", "--home", "/dev/null/x"]).status == 19)
            for code in [0, 1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 64, 65, 69] {
                #expect(table.contains("\n| \(code) | "))
            }
        }

        @Test(
            "what status, --view-rps and --view-rpm print as JSON fits its schema, and the files are the same document")
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
                        return try String(contentsOfFile: node.home + "/reverse_proxy_mapping.json", encoding: .utf8)
                            == printed
                    }
                }
            }
        }
    }
}
