import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// `p2prc token` and `p2prc receipt`, with a running node and without one.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct TokenCommandTests {
        private static let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()

        private struct List: Decodable {
            struct Row: Decodable {
                var Name: String
                var Id: String
                var State: String
                var Key: String
            }

            var tokens: [Row]
        }

        private func list(_ relay: Node) async throws -> [List.Row] {
            let result = try await relay.command(["token", "list", "--json"])
            try #require(result.status == ExitCode.fine)
            return try JSONDecoder().decode(List.self, from: Data(result.stdout.utf8)).tokens
        }

        private func issue(_ relay: Node, _ name: String, _ more: [String] = []) async throws -> String {
            let result = try await relay.command(["token", "issue", "--name", name, "--expires", "1h"] + more)
            try #require(result.status == ExitCode.fine, "\(result.stderr)")
            let lines = result.stderr.split(separator: "\n")
            try #require(lines.allSatisfy { $0.hasPrefix("p2prc: warning: --") }, "\(result.stderr)")
            let printed = result.stdout.split(separator: "\n", omittingEmptySubsequences: false)
            try #require(printed.count == 2 && printed[1].isEmpty, "the token and nothing else: \(result.stdout)")
            try #require(printed[0].split(separator: ".").count == 3)
            return String(printed[0])
        }

        /// Everything works alike with a running node and on the home that one left behind.
        @Test("tokens are issued, listed, revoked, and their key is rotated", arguments: [true, false])
        func life(_ isRunning: Bool) async throws {
            try await scenario { s in
                let relay = try await s.relay()
                if !isRunning { try #require(try await relay.program.terminate() == 0) }
                try #require(try await list(relay).isEmpty)

                let token = try await issue(
                    relay, "ci-box",
                    [
                        "--ports", "30000-30010", "--ports", "40000", "--protocol", "tcp", "--domains",
                        "*.Example.org,b.example", "--max-connections", "100", "--rate", "10MB", "--mappings", "2",
                        "--leases", "3",
                    ])
                let other = try await issue(relay, "other", ["--for", String(repeating: "ab", count: 32)])
                try #require(token != other)
                let claims = try await verified(s, token, by: relay)
                try #require(claims["sub"] as? String == "ci-box")
                try #require(
                    claims["scope"] as? NSDictionary == [
                        "ports": ["30000-30010", "40000"], "protocols": ["tcp"],
                        "domains": ["*.example.org", "b.example"], "max_connections": 100, "rate": 10_000_000,
                        "max_mappings": 2, "max_leases": 3,
                    ])
                try #require(try await list(relay).map(\.Name) == ["other", "ci-box"])
                try #require(try await list(relay).map(\.State) == ["valid", "valid"])
                let printed = try await relay.command(["token", "list"])
                try #require(printed.stdout.contains("ci-box") && !printed.stdout.contains(token))
                try #require(!(try await relay.command(["token", "list", "--json"])).stdout.contains(token))

                let id = try #require(try await list(relay).last?.Id)
                try #require(try await relay.command(["token", "revoke", id]).status == ExitCode.fine)
                try #require(try await list(relay).map(\.State) == ["valid", "revoked"])
                try #require(try await relay.command(["token", "revoke", "ci-box"]).status == ExitCode.fine)
                let unknown = try await relay.command(["token", "revoke", "nobody"])
                try #require(unknown.status == ExitCode.notFound && unknown.stderr.contains("nobody"))

                let key = try await list(relay)[0].Key
                try #require(try await relay.command(["token", "rotate-key"]).status == ExitCode.fine)
                _ = try await verified(s, try await issue(relay, "third"), by: relay)
                try #require(try await list(relay).map(\.State) == ["valid", "valid", "revoked"])
                let keys = try await list(relay).map(\.Key)
                try #require(keys[0] != key && keys[1] == key)
                let rotated = try await relay.command(["token", "rotate-key", "--keep", "0s", "--json"])
                try #require(rotated.stdout.contains("\"Previous_key\""))
                try #require(try await list(relay).map(\.State) == ["key-replaced", "key-replaced", "revoked"])
            }
        }

        @Test("--out makes a file for its owner alone, replaces none, and leaves no token that nobody has")
        func out() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let file = s.folder + "/box.token"
                let order = ["token", "issue", "--name", "box", "--expires", "1h", "--out"]
                let made = try await relay.command(order + [file])
                try #require(made.status == ExitCode.fine && made.stdout.contains(file), "\(made.stderr)")
                let rights = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
                let token = try String(contentsOfFile: file, encoding: .utf8)
                try #require(rights == 0o600 && token.split(separator: ".").count == 3 && token.hasSuffix("\n"))
                try #require(!made.stdout.contains(token.dropLast()))
                _ = try await verified(s, String(token.dropLast()), by: relay)

                let again = try await relay.command(order + [file])
                try #require(again.status == ExitCode.usage && again.stderr.contains(file), "\(again.stderr)")
                try #require(try String(contentsOfFile: file, encoding: .utf8) == token)
                try #require(try await list(relay).count == 1)
                let nowhere = try await relay.command(order + [s.folder + "/none/box.token"])
                try #require(nowhere.status == ExitCode.homeUnusable, "\(nowhere.stderr)")
                try #require(try await list(relay).map(\.State) == ["revoked", "valid"])
            }
        }

        @Test("what a token does not limit, or nobody gets, is said; a home that was never a relay's issues none")
        func warnings() async throws {
            try await scenario { s in
                let relay = try await s.relay(ports: try FreePorts.range(5))
                let order = ["token", "issue", "--name", "box", "--expires", "1h"]
                let odd = try await relay.command(
                    order + ["--ports", "81,\(relay.settings.ports?.lowerBound ?? 0)", "--domains", "a.example"])
                try #require(odd.status == ExitCode.fine)
                try #require(
                    odd.stderr.contains("--ports 81: nobody") && odd.stderr.contains("--domains limits nothing"))
                try #require(odd.stderr.split(separator: "\n").count == 2, "\(odd.stderr)")

                let peer = try await s.peer(of: relay)
                try await peer.listening()
                try #require(try await peer.program.terminate() == 0)
                // Nodes of a scenario are given the key of one mesh; a home that was never a relay's has none of its
                // own.
                try FileManager.default.removeItem(atPath: peer.home + "/mesh.key")
                let stopped = try await peer.command(order)
                try #require(
                    stopped.status == ExitCode.notFound && stopped.stderr.contains("never a relay"), "\(stopped.stderr)"
                )
                try #require(stopped.stdout.isEmpty)
            }
        }

        @Test("what was issued and revoked is known after the relay was killed")
        func crash() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                _ = try await issue(relay, "one")
                _ = try await issue(relay, "two")
                try #require(try await relay.command(["token", "revoke", "one"]).status == ExitCode.fine)
                relay.program.kill()
                try #require(try await list(relay).map(\.State) == ["valid", "revoked"])
                try await relay.restart()
                try #require(try await list(relay).map(\.State) == ["valid", "revoked"])
            }
        }

        @Test("what token list --json prints fits its schema")
        func schema() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                _ = try await issue(relay, "one", ["--ports", "1-2", "--rate", "1kB", "--protocol", "tcp"])
                _ = try await issue(relay, "two", ["--for", String(repeating: "ab", count: 32)])
                try #require(try await relay.command(["token", "revoke", "one"]).status == ExitCode.fine)
                let file = s.folder + "/tokens.json"
                let printed = try await relay.command(["token", "list", "--json"]).stdout
                try printed.write(toFile: file, atomically: true, encoding: .utf8)
                let check = """
                    import json, sys, jsonschema
                    jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))
                    """
                let schema = Self.root.appending(path: "json/schema/tokens.schema.json").path
                let verdict = try await s.run("python3", "/usr/bin/python3", ["-c", check, file, schema])
                try #require(verdict.status == 0, "\(verdict.stderr)\n\(printed)")
            }
        }

        @Test(
            "wrong arguments are usage errors that name what is wrong, and nothing is made",
            arguments: [
                (["--expires", "1h"], "--name"), (["--name", "a"], "--expires"),
                (["--name", "a", "--expires", "30"], "30"), (["--name", "a", "--expires", "0s"], "0s"),
                (["--name", "a", "--expires", "11000d"], "11000d"),
                (["--name", "two words", "--expires", "1h"], "two words"),
                (["--name", "a", "--expires", "1h", "--ports", "9-3"], "9-3"),
                (["--name", "a", "--expires", "1h", "--ports", "1,"], "--ports"),
                (["--name", "a", "--expires", "1h", "--protocol", "sctp"], "sctp"),
                (["--name", "a", "--expires", "1h", "--protocol", "tcp,quic"], "write tcp or udp"),
                (["--name", "a", "--expires", "1h", "--domains", "*"], "--domains *"),
                (["--name", "a", "--expires", "1h", "--rate", "10"], "10"),
                (["--name", "a", "--expires", "1h", "--rate", "99999999999GB"], "GB"),
                (["--name", "a", "--expires", "1h", "--max-connections", "0"], "--max-connections 0"),
                (["--name", "a", "--expires", "1h", "--mappings", "-1"], "--mappings"),
                (["--name", "a", "--expires", "1h", "--leases", "many"], "many"),
                (["--name", "a", "--expires", "1h", "--for", "abc"], "abc"),
                (["--name", "a", "--expires", "1h", "--bind", "127.0.0.1"], "--bind"),
            ])
        func usage(_ words: [String], _ culprit: String) async throws {
            try await scenario { s in
                let home = "\(s.folder)/home"
                let result = try await s.run(
                    "p2prc", Binaries.product(), ["token", "issue"] + words + ["--home", home], within: .seconds(5))
                try #require(result.status == ExitCode.usage, "\(result.stderr)")
                try expectOneLine(result, naming: culprit)
                try #require(!FileManager.default.fileExists(atPath: home))
            }
        }

        @Test(
            "a home in which no node ever ran is none to issue tokens from, and stays as it was",
            arguments: [
                ["issue", "--name", "a", "--expires", "1h"], ["list"], ["revoke", "a"], ["rotate-key"],
            ])
        func noHome(_ words: [String]) async throws {
            try await scenario { s in
                let home = "\(s.folder)/home"
                let result = try await s.run("p2prc", Binaries.product(), ["token"] + words + ["--home", home])
                try #require(result.status == ExitCode.noNode)
                try expectOneLine(result, naming: home)
                try #require(!FileManager.default.fileExists(atPath: home))
                try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
                let empty = try await s.run("p2prc", Binaries.product(), ["token"] + words + ["--home", home])
                try #require(empty.status == ExitCode.noNode)
                let names = try FileManager.default.contentsOfDirectory(atPath: home)
                try #require(names.filter { $0 != "lock" } == [], "no key, no table")
            }
        }

        @Test("a key for tokens that is damaged, or that others may read, is named and left as it is")
        func keyFile() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                _ = try await issue(relay, "one")
                try #require(try await relay.program.terminate() == 0)
                let path = "\(relay.home)/token.key"
                let key = try #require(FileManager.default.contents(atPath: path))
                chmod(path, 0o644)
                let exposed = try await relay.command(["token", "list"])
                try #require(exposed.status == ExitCode.homeUnusable)
                try expectOneLine(exposed, naming: "chmod 600")
                try Data("no key".utf8).write(to: URL(filePath: path))
                chmod(path, 0o600)
                for words in [["token", "list"], ["token", "rotate-key"]] {
                    let damaged = try await relay.command(words)
                    try #require(damaged.status == ExitCode.damagedData)
                    try expectOneLine(damaged, naming: "token.key")
                }
                try #require(FileManager.default.contents(atPath: path) == Data("no key".utf8))
                try await relay.restart(waitingUntilListening: false)
                try #require(try await relay.program.exit() == ExitCode.damagedData)
                try key.write(to: URL(filePath: path))
                chmod(path, 0o600)
                try await relay.restart()
            }
        }

        // MARK: Receipts

        private static let example = root.appending(path: "json/vectors/example.receipt").path

        @Test("a receipt is shown and verified without a node, a home or the net")
        func receipt() async throws {
            try await scenario { s in
                let home = "\(s.folder)/home"
                for words in [["verify"], ["show"], ["verify", "--json"], ["show", "--json"]] {
                    let result = try await s.run(
                        "p2prc", Binaries.product(), ["receipt"] + words + [Self.example], environment: ["P2PRC": home])
                    try #require(result.status == ExitCode.fine, "\(result.stderr)")
                    try #require(result.stdout.contains("40000-40009"))
                    if words.contains("--json") {
                        let object = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8))
                        try #require((object as? [String: Any])?["Verified"] as? Bool == true)
                    }
                }
                try #require(!FileManager.default.fileExists(atPath: home))
            }
        }

        @Test(
            "a receipt that was changed ends with its own exit code, and says where",
            arguments: [
                ("connections=100", "connections=999", "relay's signature", true),
                ("expires: 2027", "expires: 2037", "relay's signature", true),
                ("peer: 79", "peer: 78", "signature", true), ("tcp", "TCP", "line 5", false),
                ("==\npeer", "= \npeer", "line 11", false), ("\n", "\r\n", "line 1", false),
            ])
        func changed(_ old: String, _ new: String, _ culprit: String, _ isReadable: Bool) async throws {
            try await scenario { s in
                let file = "\(s.folder)/changed.receipt"
                let text = try String(contentsOfFile: Self.example, encoding: .utf8)
                try text.replacing(old, with: new).write(toFile: file, atomically: true, encoding: .utf8)
                let verified = try await s.run("p2prc", Binaries.product(), ["receipt", "verify", file])
                try #require(verified.status == ExitCode.notVerified)
                try #require(verified.stdout.isEmpty)
                try expectOneLine(verified, naming: culprit)
                let shown = try await s.run("p2prc", Binaries.product(), ["receipt", "show", file])
                try #require(shown.status == ExitCode.notVerified)
                try #require(shown.stdout.isEmpty == !isReadable)
            }
        }

        @Test("a file that is not there, or no receipt, is named")
        func noReceipt() async throws {
            try await scenario { s in
                let away = try await s.run("p2prc", Binaries.product(), ["receipt", "verify", "\(s.folder)/none"])
                try #require(away.status == ExitCode.notFound)
                try expectOneLine(away, naming: "none")
                for file in ["/dev/null", s.folder, try Binaries.product()] {
                    let other = try await s.run("p2prc", Binaries.product(), ["receipt", "verify", file])
                    try #require(other.status == ExitCode.notVerified)
                    try expectOneLine(other, naming: file)
                }
                let home = try await s.run(
                    "p2prc", Binaries.product(), ["receipt", "verify", Self.example, "--home", s.folder])
                try #require(home.status == ExitCode.usage)
                try expectOneLine(home, naming: "--home")
            }
        }

        // MARK: -

        /// The claims, checked by PyJWT with the public key that openssl takes from the relay's `token.key`, as
        /// docs/tokens.md says.
        private func verified(_ s: Scenario, _ token: String, by relay: Node) async throws -> [String: Any] {
            let program = """
                import json, jwt, subprocess, sys
                key = subprocess.run(["openssl", "pkey", "-in", sys.argv[1], "-pubout"], check=True,
                    capture_output=True, text=True).stdout
                token = open(sys.argv[2]).read().strip()
                audience = jwt.decode(token, options={"verify_signature": False})["aud"]
                print(json.dumps(jwt.decode(token, key, algorithms=["EdDSA"], audience=audience, issuer=audience)))
                """
            let file = s.folder + "/token"
            try token.write(toFile: file, atomically: true, encoding: .utf8)
            let result = try await s.run(
                "python3", "/usr/bin/python3", ["-c", program, "\(relay.home)/token.key", file])
            try #require(result.status == 0, "\(result.stderr)")
            let claims = try JSONSerialization.jsonObject(with: Data(result.stdout.utf8)) as? [String: Any]
            return try #require(claims)
        }

        private func expectOneLine(_ result: Finished, naming text: String) throws {
            let lines = result.stderr.split(separator: "\n")
            try #require(lines.count == 1, "one clear line: \(result.stderr)")
            try #require(lines[0].contains(text), "\(lines[0])")
        }
    }
}
