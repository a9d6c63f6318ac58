import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Whom a relay lets in, and what those that it lets in are held to.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct PolicyTests {
        /// All of 127.0.0.0/8 is this machine, so visitors can come from many addresses.
        private func answer(_ s: Scenario, _ port: Int, from address: String) async throws -> Int {
            let words = ["-sS", "--max-time", "5", "--interface", address, "http://127.0.0.1:\(port)/"]
            return try await s.run("curl", "curl", words, within: .seconds(10)).status
        }

        private struct Traffic: Decodable {
            struct Row: Decodable {
                var Role: String
                var Connections: Int
                var Refused: Int
            }

            var Mapping_traffic: [Row]
        }

        private func refused(at relay: Node) async throws -> Int {
            let status = try await relay.command(["status", "--json"]).stdout
            return try JSONDecoder().decode(Traffic.self, from: Data(status.utf8)).Mapping_traffic.map(\.Refused)
                .reduce(0, +)
        }

        @Test("a relay's filter and a mapping's filter keep visitors out, and the mapping is verified all the same")
        func visitors() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "hello\n"])
                let relay = try await s.relay { $0.more = ["--deny-visitors", "127.0.0.66"] }
                let peer = try await s.peer(of: relay, mappings: ["\(http.port)"])
                let open = try await peer.verified(http.port)
                try #require(try await answer(s, open.port, from: "127.0.0.2") == 0)
                try #require(try await answer(s, open.port, from: "127.0.0.66") != 0)
                try #require(try await refused(at: relay) == 1)

                // Nobody but 127.0.0.7, so not this peer either: its own check comes through nevertheless.
                let other = try await s.service("http", ["--body", "for one\n"])
                let asked = try await peer.command(
                    ["--mp", "\(other.port)", "--allow", "127.0.0.7", "--allow", "127.0.0.66"])
                try #require(asked.status == ExitCode.fine, "\(asked.stderr)")
                let narrow = try await peer.verified(other.port)
                try #require(try await answer(s, narrow.port, from: "127.0.0.7") == 0)
                for stranger in ["127.0.0.1", "127.0.0.2", "127.0.0.66"] {
                    try #require(try await answer(s, narrow.port, from: stranger) != 0, "\(stranger)")
                }
                try #require(try await answer(s, open.port, from: "127.0.0.2") == 0, "the other mapping is for all")
            }
        }

        @Test("a peer from a denied network gets nothing, not even a handshake")
        func peers() async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.more = ["--deny-peers", "127.0.0.66"] }
                let target = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                let denied = try await s.shell(
                    "timeout 5 openssl s_client -bind 127.0.0.66 -connect \(target) -tls1_3 "
                        + "-alpn p2prc/1 < /dev/null 2>&1"
                )
                try #require(!denied.stdout.contains("BEGIN CERTIFICATE"), "\(denied.stdout)")
                try #require(try await relay.strangers()["Filtered"] == 1)
                let let_in = try await s.shell(
                    "timeout 5 openssl s_client -bind 127.0.0.67 -connect \(target) -tls1_3 "
                        + "-alpn p2prc/1 < /dev/null 2>&1"
                )
                try #require(let_in.stdout.contains("BEGIN CERTIFICATE"), "\(let_in.stdout)")
            }
        }

        /// A relay, a token of it with these limits, and a peer that has nothing else.
        private func limited(
            _ s: Scenario, _ limits: [String], ports: ClosedRange<Int>, mappings: [String]
        ) async throws -> (relay: Node, peer: Node) {
            let relay = try await s.relay(ports: ports)
            let issued = try await relay.command(["token", "issue", "--name", "guest", "--expires", "1h"] + limits)
            try #require(issued.status == ExitCode.fine, "\(issued.stderr)")
            let file = "\(s.folder)/token"
            _ = FileManager.default.createFile(
                atPath: file, contents: Data(issued.stdout.utf8), attributes: [.posixPermissions: 0o600])
            let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
            var settings = NodeSettings("guest")
            settings.meshKey = nil
            settings.serverPort = try FreePorts.one()
            settings.mappings = mappings
            let home = "\(s.folder)/home-guest"
            let joined = try await s.run(
                "join", Binaries.product(), ["join", address, "--token-file", file, "--home", home])
            try #require(joined.status == ExitCode.fine, "\(joined.stderr)")
            settings.more = ["--no-server-port"]
            let peer = try s.node(settings, home: home)
            try await peer.listening()
            return (relay, peer)
        }

        @Test("a limited token is held to its ports, its mappings and its connections")
        func token() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let ports = try FreePorts.range(20)
                let own = ports.lowerBound + 4
                let (relay, peer) = try await limited(
                    s, ["--ports", "\(own)-\(own + 1)", "--max-connections", "5", "--mappings", "2"], ports: ports,
                    mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                try #require((own...own + 1).contains(row.port), "one of its own: \(row.port)")
                let foreign = try await peer.command(["--mp", "\(echo.port):\(ports.upperBound)"])
                try #require(foreign.status == ExitCode.refused, "\(foreign.status) \(foreign.stderr)")
                try #require(foreign.stderr.contains("\(own)"), "it says which there are: \(foreign.stderr)")

                let crowd = try s.startVisitor(
                    "hold", ["--address", "127.0.0.1", "--port", "\(row.port)", "--connections", "12"])
                try await crowd.line(containing: "\"held\"", within: .seconds(20))
                try #require(try crowd.json()["held"] as? Int == 5, "\(crowd.stdout)")
                try #require(try await refused(at: relay) == 7)
                crowd.kill()
                // Their places are free again.
                try await eventually("a new visitor is served", within: .seconds(5)) {
                    (try? await s.expectEcho("127.0.0.1", row.port)) != nil
                }
            }
        }

        @Test(
            "a limited token is held to its bytes per second within 5 %, in each direction", arguments: ["down", "up"])
        func rate(_ direction: String) async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "x"])
                let sink = try await s.service("discard")
                let ports = try FreePorts.range(20)
                let (_, peer) = try await limited(
                    s, ["--rate", "4MB"], ports: ports, mappings: ["\(http.port)", "\(sink.port)"])
                let (down, up) = (try await peer.verified(http.port).port, try await peer.verified(sink.port).port)
                // The burst of one second goes first; what follows is measured, over 5 seconds and four connections.
                let script = """
                    import socket, sys, threading, time
                    direction, port = sys.argv[1], int(sys.argv[2])
                    count, lock = 0, threading.Lock()
                    begin = time.monotonic()
                    marks = []
                    def run():
                        global count
                        end = socket.create_connection(("127.0.0.1", port))
                        end.settimeout(10)
                        if direction == "down": end.sendall(b"GET /blob/1GiB HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
                        block = b"x" * 65536
                        while time.monotonic() - begin < 9:
                            moved = len(end.recv(65536)) if direction == "down" else end.send(block)
                            with lock: count += moved
                    threads = [threading.Thread(target=run, daemon=True) for _ in range(4)]
                    for thread in threads: thread.start()
                    for moment in (3, 8):
                        time.sleep(max(0, begin + moment - time.monotonic()))
                        with lock: marks.append((time.monotonic(), count))
                    print(int((marks[1][1] - marks[0][1]) / (marks[1][0] - marks[0][0])))
                    """
                let measured = try await s.run(
                    "rate", "/usr/bin/python3", ["-c", script, direction, "\(direction == "down" ? down : up)"])
                let rate = try #require(Int(measured.stdout.trimmingCharacters(in: .newlines)), "\(measured.stderr)")
                s.note("\(direction): \(rate) bytes/s of 4000000")
                try #require((3_800_000...4_200_000).contains(rate), "\(rate) bytes per second")
            }
        }

        @Test("a renewed token counts at once and drops no connection; the former one may be revoked then")
        func renewal() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let (relay, peer) = try await limited(
                    s, ["--max-connections", "2"], ports: try FreePorts.range(20), mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                let held = try s.startVisitor(
                    "hold", ["--address", "127.0.0.1", "--port", "\(row.port)", "--connections", "2"])
                try await held.line(containing: "\"held\"", within: .seconds(10))

                let issued = try await relay.command(
                    ["token", "issue", "--name", "guest-2", "--expires", "1h", "--max-connections", "3"])
                let file = "\(s.folder)/token-2"
                _ = FileManager.default.createFile(
                    atPath: file, contents: Data(issued.stdout.utf8), attributes: [.posixPermissions: 0o600])
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                let joined = try await peer.command(["join", address, "--token-file", file])
                try #require(joined.status == ExitCode.fine, "\(joined.stderr)")
                let said = joined.stdout + joined.stderr
                try #require(said.contains("token renewed, valid until 20"), "\(said)")
                try await peer.program.line(containing: "the new token is accepted", within: .seconds(5))
                // The membership is another one, so its account begins anew: three more.
                let more = try s.startVisitor(
                    "hold", ["--address", "127.0.0.1", "--port", "\(row.port)", "--connections", "5"])
                try await more.line(containing: "\"held\"", within: .seconds(10))
                try #require(try more.json()["held"] as? Int == 3, "\(more.stdout)")

                try #require(try await relay.command(["token", "revoke", "guest"]).status == ExitCode.fine)
                held.closeInput()
                try #require(try await held.exit() == 0, "both were alive to the end: \(held.stdout)")
            }
        }
    }
}
