import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// The API of the real program, asked as its reactor asks: over the socket in the home, with a preface.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct APITests {
        private static let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()

        /// Asks for a path on behalf of 198.51.100.7, with a node key or none; `nil` while nobody listens.
        private func ask(_ s: Scenario, _ node: Node, _ path: String, key: String = "") async throws -> String? {
            let script = """
                import socket, struct, sys
                path, question, key = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
                rest = bytes([198, 51, 100, 7, 203, 0, 113, 11]) + struct.pack(">HH", 49152, 8088)
                if key: rest += struct.pack(">BH", 0xe5, len(key)) + key
                preface = b"\\r\\n\\r\\n\\0\\r\\nQUIT\\n" + struct.pack(">BBH", 0x21, 0x11, len(rest)) + rest
                caller = socket.socket(socket.AF_UNIX)
                caller.settimeout(5)
                try: caller.connect(path)
                except (FileNotFoundError, ConnectionRefusedError): sys.exit(7)
                head = f"GET {question} HTTP/1.1\\r\\nHost: node\\r\\nConnection: close\\r\\n\\r\\n"
                caller.sendall(preface + head.encode())
                answer = b""
                while piece := caller.recv(65536): answer += piece
                head, body = answer.split(b"\\r\\n\\r\\n", 1)
                print(head.split()[1].decode(), body.decode())
                """
            let words = ["-c", script, node.home + "/api.sock", path, key]
            let ended = try await s.run("caller", "/usr/bin/python3", words)
            s.forget(ended.program)
            if ended.status == 7 { return nil }
            try #require(ended.status == 0, "\(ended.stderr)")
            return ended.stdout.trimmingCharacters(in: .newlines)
        }

        private func key(of node: Node) async throws -> String {
            let printed = try await node.command(["status", "--json"]).stdout
            let status = try JSONSerialization.jsonObject(with: Data(printed.utf8)) as? [String: Any]
            return try #require(status?["Key"] as? String)
        }

        @Test("a running node says that it lives, and to a member what it is")
        func answers() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                try await eventually("the API answers", within: .seconds(5)) {
                    try await ask(s, relay, "/v1/alive") == #"200 {"alive":true}"#
                }
                let mode = try FileManager.default.attributesOfItem(atPath: relay.home + "/api.sock")[.posixPermissions]
                try #require(mode as? Int == 0o600)
                let own = try await key(of: relay)
                let told = try #require(try await ask(s, relay, "/v1/node", key: own))
                try #require(told.hasPrefix("200 "))
                let file = s.folder + "/node.json"
                try told.dropFirst(4).write(toFile: file, atomically: true, encoding: .utf8)
                let check =
                    "import json, sys, jsonschema; jsonschema.validate(*[json.load(open(f)) for f in sys.argv[1:]])"
                let schema = Self.root.appending(path: "json/schema/api_node.schema.json").path
                let verdict = try await s.run("python3", "/usr/bin/python3", ["-c", check, file, schema])
                try #require(verdict.status == 0, "\(verdict.stderr)\n\(told)")
                try #require(told.contains(#""roles":["relay"]"#) && told.contains(own))

                let stranger = String(repeating: "ab", count: 32)
                try #require(try await ask(s, relay, "/v1/node")?.hasPrefix("401 ") == true)
                try #require(try await ask(s, relay, "/v1/node", key: stranger)?.hasPrefix("403 ") == true)
            }
        }

        @Test("a node that ends takes its socket along, and one that was killed leaves none in the way")
        func lives() async throws {
            try await scenario { s in
                let node = try s.node(NodeSettings("node"))
                try await node.listening()
                try await eventually("the API answers", within: .seconds(5)) {
                    try await ask(s, node, "/v1/alive") != nil
                }
                node.program.kill()
                _ = try await node.program.exit()
                try #require(FileManager.default.fileExists(atPath: node.home + "/api.sock"))
                try #require(try await ask(s, node, "/v1/alive") == nil)
                try await node.restart()
                try await eventually("the API answers again", within: .seconds(5)) {
                    try await ask(s, node, "/v1/alive") != nil
                }
                try #require(try await node.program.terminate() == 0)
                let left = try FileManager.default.contentsOfDirectory(atPath: node.home)
                try #require(!left.contains("api.sock") && !left.contains(".api"), "\(left)")
            }
        }

        @Test("what is in the socket's way is named, and left alone")
        func inTheWay() async throws {
            try await scenario { s in
                let home = "\(s.folder)/occupied"
                try FileManager.default.createDirectory(
                    atPath: home + "/api.sock", withIntermediateDirectories: true)
                var settings = NodeSettings("node")
                settings.serverPort = try FreePorts.one()
                let node = try s.node(settings, home: home)
                try #require(try await node.program.exit() == ExitCode.homeUnusable)
                let line = node.program.stderr.split(separator: "\n").last.map(String.init) ?? ""
                try #require(line.hasPrefix("p2prc: the API cannot listen on \(home)/api.sock: "), "\(line)")
                try #require(FileManager.default.fileExists(atPath: home + "/api.sock"))
            }
        }
    }
}
