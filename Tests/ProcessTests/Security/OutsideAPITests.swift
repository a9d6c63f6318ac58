import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// The API at the server port as curl sees it: members only.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct OutsideAPITests {
        private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()

        /// Every path that the sources give a route, so that a new one is tried too.
        private static func routes() throws -> Set<String> {
            let folder = root.appending(path: "Sources/PeerAPI")
            let files = try #require(FileManager.default.enumerator(atPath: folder.path)).compactMap { $0 as? String }
            return try files.filter { $0.hasSuffix(".swift") }.reduce(into: []) { found, file in
                let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
                for match in text.matches(of: #/"(/v1[^" ]*)"/#) { found.insert(String(match.output.1)) }
            }
        }

        /// The status and the body, in one line; curl's exit code where there is neither.
        private func ask(_ s: Scenario, _ node: Node, _ path: String, _ words: [String] = []) async throws -> String {
            let url = "https://127.0.0.1:\(node.settings.serverPort ?? 0)\(path)"
            let ended = try await s.run(
                "curl", "curl",
                ["-sk", "--http1.1", "--path-as-is", "--max-time", "8", "-w", " %{http_code}"] + words + [url])
            s.forget(ended.program)
            return ended.status == 0 ? ended.stdout : "curl \(ended.status)"
        }

        private func node(_ s: Scenario) async throws -> Node {
            let relay = try await s.relay { $0.nodeName = "a-very-particular-name" }
            try await s.makeStranger()
            try await eventually("the API answers", within: .seconds(5)) {
                try await ask(s, relay, "/v1/alive") == #"{"alive":true} 200"#
            }
            return relay
        }

        @Test("without a client certificate there is nothing but the liveness answer, on any path and with any method")
        func withoutCertificate() async throws {
            try await scenario { s in
                let relay = try await node(s)
                let routes = try Self.routes()
                try #require(routes.contains("/v1/node") && routes.contains("/v1/alive"))
                var answers: Set<String> = []
                let others = [
                    "/", "/v1", "/v1/", "/v1/alive/", "/v1/alive/../node", "//v1/node", "/metrics", "/%2e%2e/node.key",
                    "/*",
                ]
                for path in routes.subtracting(["/v1/alive"]).sorted() + others {
                    answers.insert(try await ask(s, relay, path))
                }
                for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
                    answers.insert(try await ask(s, relay, "/v1/node", ["-X", method]))
                }
                try #require(answers.count == 1, "the same to all of them: \(answers)")
                let answer = try #require(answers.first)
                try #require(answer.hasSuffix(" 401") && answer.contains("members only"), "\(answer)")
                try #require(!answer.contains("particular"))
                // Not by HTTP/2 either, which is not spoken here, nor without TLS.
                let second = try await ask(s, relay, "/v1/node", ["--http2-prior-knowledge"])
                try #require(second.hasPrefix("curl ") || second == answer, "\(second)")
                let plain = try await s.shell(
                    "curl -s --max-time 8 http://127.0.0.1:\(relay.settings.serverPort ?? 0)/v1/alive; echo $?")
                try #require(plain.stdout.trimmingCharacters(in: .newlines).count <= 2, "\(plain.stdout)")
            }
        }

        @Test("a certificate with a key that is no member's opens as little, and a key of another kind is none")
        func strangersCertificate() async throws {
            try await scenario { s in
                let relay = try await node(s)
                let own = ["--cert", "\(s.folder)/stranger.crt", "--key", "\(s.folder)/stranger.key"]
                try #require(try await ask(s, relay, "/v1/alive", own) == #"{"alive":true} 200"#)
                for path in try Self.routes().subtracting(["/v1/alive"]).sorted() + ["/", "/metrics"] {
                    let answer = try await ask(s, relay, path, own)
                    try #require(answer.hasSuffix(" 403") && !answer.contains("particular"), "\(answer)")
                }
                try #require(
                    try await s.shell(
                        """
                        cd \(s.folder) && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 \
                        -subj /CN=p2prc -keyout ec.key -out ec.crt
                        """
                    ).status == 0)
                let foreign = ["--cert", "\(s.folder)/ec.crt", "--key", "\(s.folder)/ec.key"]
                // No key but Ed25519 is asked for, so curl keeps it to itself and is a stranger without any.
                let answer = try await ask(s, relay, "/v1/node", foreign)
                try #require(answer.hasSuffix(" 401") && answer.contains("no client certificate"), "\(answer)")
            }
        }

        @Test("two hundred silent callers with certificates of their own making keep nobody from an answer")
        func placesHeld() async throws {
            try await scenario { s in
                let relay = try await node(s)
                // Held open for as long as it is let; whoever is thrown out comes back. Ends by itself.
                let script = """
                    import socket, ssl, sys, time
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                    context.set_alpn_protocols(["http/1.1"])
                    context.load_cert_chain("\(s.folder)/stranger.crt", "\(s.folder)/stranger.key")
                    held, told, end = [], False, time.monotonic() + 15
                    while time.monotonic() < end:
                        try:
                            plain = socket.create_connection(("127.0.0.1", \(relay.settings.serverPort ?? 0)), 2)
                            held = (held + [context.wrap_socket(plain)])[-200:]
                        except OSError: pass
                        if len(held) == 200 and not told: told = not print("holding", flush=True)
                        time.sleep(0.02)
                    """
                let holder = try s.start("holder", "/usr/bin/python3", ["-c", script])
                try await holder.line(containing: "holding", within: .seconds(15))
                for round in 1...10 {
                    let answer = try await ask(s, relay, "/v1/alive")
                    try #require(answer == #"{"alive":true} 200"#, "question \(round): \(answer)")
                }
                try #require(holder.isRunning, "they are still there")
            }
        }

        @Test("a member's key opens it, with a certificate that openssl made of it, for as long as it is a member")
        func membersKey() async throws {
            try await scenario { s in
                let relay = try await node(s)
                // By a token: a holder of the mesh key shows that when it first asks for news, and counts for ten
                // minutes then.
                var settings = NodeSettings("peer")
                settings.meshKey = nil
                let peer = try s.node(settings)
                try await peer.listening()
                let issued = try await relay.command(["token", "issue", "--name", "peer", "--expires", "1h"])
                let token = "\(s.folder)/token"
                _ = FileManager.default.createFile(
                    atPath: token, contents: Data(issued.stdout.utf8), attributes: [.posixPermissions: 0o600])
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                let joined = try await peer.command(["join", address, "--token-file", token])
                try #require(joined.status == ExitCode.fine, "\(joined.stderr)")
                try await eventually("it is connected", within: .seconds(10)) {
                    try await peer.viewRPS().contains { $0.state == "connected" }
                }
                let made = try await s.shell(
                    "openssl req -x509 -key \(peer.home)/node.key -days 9 -subj /CN=anything -out "
                        + "\(s.folder)/member.crt"
                )
                try #require(made.status == 0, "\(made.stderr)")
                let own = ["--cert", "\(s.folder)/member.crt", "--key", "\(peer.home)/node.key"]
                let answer = try await ask(s, relay, "/v1/node", own)
                try #require(answer.hasSuffix(" 200") && answer.contains("a-very-particular-name"), "\(answer)")
                try #require(try await ask(s, relay, "/v1/nothing", own).hasSuffix(" 404"))
                try #require(try await peer.program.terminate() == 0)
                try await eventually("it is a stranger again", within: .seconds(5)) {
                    try await ask(s, relay, "/v1/node", own).hasSuffix(" 403")
                }
            }
        }
    }
}
