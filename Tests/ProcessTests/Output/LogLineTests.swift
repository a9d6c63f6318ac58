import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What the log says, and how.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct LogLineTests {
        @Test("a line has a date, a time of day, a level and a text, and says whose session ended")
        func form() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let first = try #require(relay.program.stderr.split(separator: "\n").first)
                try #require(
                    first.wholeMatch(
                        of: #/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d info: reverse proxy [0-9a-f]{16} listening on .+/#) != nil,
                    "\(first)")
                let peer = try await s.peer(of: relay) { $0.nodeName = "home" }
                try await relay.program.line(containing: "session of home (")
                let issued = try await relay.command(["token", "issue", "--name", "box", "--expires", "30d"])
                let file = "\(s.folder)/token"
                _ = FileManager.default.createFile(
                    atPath: file, contents: Data(issued.stdout.utf8), attributes: [.posixPermissions: 0o600])
                var settings = NodeSettings("outsider")
                settings.meshKey = nil
                settings.nodeName = "outsider"
                let outsider = try s.node(settings)
                try await outsider.listening()
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                try #require(
                    try await outsider.command(["join", address, "--token-file", file]).status == ExitCode.fine)
                try await relay.program.line(containing: "session of outsider (")
                try #require(try await relay.command(["token", "revoke", "box"]).status == ExitCode.fine)
                let line = try await relay.program.line(containing: "ended: it was revoked")
                try #require(line.contains("info: session of outsider ("), "\(line)")
                relay.program.kill()
                try await peer.program.line(containing: "warning: relay \(address): the relay went away; trying again")
            }
        }

        /// Comes in at an open relay and goes again, with a long name, until it has done so often enough.
        private static let visitor = """
            import os, socket, ssl, struct, sys, time
            port, count, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["p2prc/1"])
            context.load_cert_chain(folder + "/stranger.crt", folder + "/stranger.key")
            def frame(kind, *fields):
                payload = b"".join(bytes([tag]) + len(value).to_bytes(2, "big") + value for tag, value in fields)
                return bytes([kind, 0]) + len(payload).to_bytes(2, "big") + payload
            welcome, patience = 0, time.monotonic() + 40
            while welcome < count and time.monotonic() < patience:
                try:
                    end = context.wrap_socket(socket.create_connection(("127.0.0.1", port), None, ("127.9.9.9", 0)))
                    end.settimeout(5)
                    end.sendall(b"p2prcs\\x00\\x01" + frame(6, (1, b""), (2, b"")))
                    if end.recv(4096)[:1] != b"\\x07": continue
                    fields = (2, b"n" * 60), (3, b"127.0.0.1:1"), (4, b"x"), (5, b"\\x00")
                    end.sendall(frame(8, (1, os.urandom(16)), *fields))
                    if end.recv(4096)[:1] == b"\\x04": welcome += 1
                    end.close()
                except OSError: time.sleep(0.05)
            print(welcome)
            """

        @Test(
            "members that come and go all the time leave a bounded number of lines, and the last one counts the others")
        func passing() async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.more = ["--open"] }
                try await s.makeStranger()
                let words = ["-c", Self.visitor, "\(relay.settings.serverPort ?? 0)", "150", s.folder]
                let came = try await s.run("passing", "/usr/bin/python3", words, within: .seconds(60))
                try #require(came.stdout == "150\n", "\(came.stdout)\(came.stderr)")
                let lines = relay.program.stderr.split(separator: "\n").count { $0.contains("session of n") }
                s.note("\(lines) lines for 150 sessions")
                // Twenty of each of the two kinds at once, and one more of each every 5 s.
                try #require(lines >= 40 && lines < 70, "\(lines) lines")
                // Whoever comes from elsewhere has lines of his own.
                let other = try await s.peer(of: relay) { $0.nodeName = "home" }
                try await relay.program.line(containing: "session of home (", within: .seconds(1))
                other.program.kill()
                try await eventually("the end of that session is told", within: .seconds(8)) {
                    relay.program.stderr.contains(#/session of home \([0-9a-f]+\) ended/#)
                }
                try await relay.program.line(containing: "more like it", within: .seconds(10))
            }
        }

        @Test("SIGHUP is an orderly end, and no end at all for who was started with it ignored")
        func hangUp() async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.wrapper = ["nohup"] }
                let peer = try await s.peer(of: relay) { $0.nodeName = "home" }
                try await relay.program.line(containing: "session of home (")
                relay.program.signal(SIGHUP)
                peer.program.signal(SIGHUP)
                try #require(try await peer.program.exit(within: .seconds(3)) == 0)
                try await peer.program.line(containing: "stopping on SIGHUP")
                // It said goodbye: of a session that broke off the relay has a line.
                try await throughout(.seconds(1), "the relay runs, and misses nobody") {
                    relay.program.isRunning && relay.program.find("ended") == nil
                }
            }
        }
    }
}
