import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What happens to a visitor's bytes, and how streams end.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct StreamTests {
        /// A relay and a peer between a service and its visitors.
        private func tunnel(
            _ s: Scenario, _ tool: String, _ options: [String] = []
        ) async throws -> (service: Service, relay: Node, peer: Node, port: Int) {
            let service = try await s.service(tool, options)
            let relay = try await s.relay()
            let peer = try await s.peer(of: relay, mappings: ["\(service.port)"])
            return (service, relay, peer, try await peer.verified(service.port).port)
        }

        @Test("500 visitors at once each get their own bytes back")
        func manyVisitors() async throws {
            try await scenario { s in
                let t = try await tunnel(s, "echo")
                let options = ["--port", "\(t.port)", "--connections", "500", "--bytes", "64KiB", "--rounds", "2"]
                try await s.visit("hitters", options)
                try await s.visit("hitters", options + ["--half-close"])
            }
        }

        @Test("1 GiB down and 1 GiB up arrive unchanged")
        func bulk() async throws {
            try await scenario { s in
                let t = try await tunnel(s, "http")
                let size = 1 << 30
                let expected = try await s.curl("http://127.0.0.1:\(t.service.port)/sha256/\(size)", ["-m", "60"])
                let url = "http://127.0.0.1:\(t.port)"
                let down = try await s.shell("curl -sS -m 100 \(url)/blob/\(size) | sha256sum | head -c 64")
                try #require(down.stdout + "\n" == expected)
                let file = "\(s.folder)/upload"
                try await s.shell("curl -sS -m 60 http://127.0.0.1:\(t.service.port)/blob/\(size) > \(file)")
                let up = try await s.shell("curl -sS -m 100 -T \(file) \(url)/sink", within: .seconds(110))
                let digest = expected.prefix(64)
                try #require(up.stdout == "\(digest) \(size)\n", "\(up.stdout)\(up.stderr)")
            }
        }

        @Test("a service that speaks first is heard")
        func banner() async throws {
            try await scenario { s in
                let t = try await tunnel(s, "banner", ["--text", "220 good morning"])
                let heard = try await s.shell("timeout 5 nc -d -w 1 127.0.0.1 \(t.port) | head -n 1")
                try #require(heard.stdout == "220 good morning\r\n")
            }
        }

        @Test("half-close is carried through in both directions")
        func halfClose() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                try await HalfClose(s, host: "127.0.0.1").check { local in
                    try #require(try await peer.command(["--mp", "\(local)"]).status == 0)
                    return try await peer.verified(local).port
                }
            }
        }

        @Test("a service's reset reaches the visitor as a reset")
        func resetByService() async throws {
            try await scenario { s in
                let t = try await tunnel(s, "reset-mid-download")
                try await s.visit("expect-abort", ["--port", "\(t.port)"], seconds: 10)
            }
        }

        @Test("a visitor's reset reaches the service as a reset")
        func resetByVisitor() async throws {
            try await scenario { s in
                let t = try await tunnel(s, "discard")
                try await s.visit("abort", ["--port", "\(t.port)"], seconds: 10)
                // The connections of the mapping's own checks may have ended before, in their own way.
                try await t.service.program.line(containing: "ECONNRESET", within: .seconds(5))
            }
        }

        /// In the middle of an answer, with bytes on the way to them.
        private static let resetters = """
            import socket, struct, sys
            for number in range(100):
                visitor = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
                visitor.settimeout(5)
                visitor.sendall(b"GET /blob/64KiB HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
                assert visitor.recv(10)
                visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                visitor.close()
            """

        @Test("visitors who leave by a reset cost no new connections between the nodes", arguments: [false, true])
        func channelsOutliveResets(_ isPlain: Bool) async throws {
            try await scenario { s in
                let http = try await s.service("http")
                let relay = try await s.relay { $0.more = isPlain ? ["--plain"] : [] }
                let wire = try await s.wiretap(to: relay.settings.serverPort ?? 0)
                let peer = try await s.peer(of: relay, mappings: ["\(http.port)"]) {
                    $0.relays = ["127.0.0.1:\(wire.port)"]
                    $0.more = isPlain ? ["--plain"] : []
                }
                let port = try await peer.verified(http.port).port
                let before = try wire.connections().count
                let ran = try await s.run("visitors", "/usr/bin/python3", ["-c", Self.resetters, "\(port)"])
                try #require(ran.status == 0, "\(ran.stderr)")
                let new = try wire.connections().count - before
                // The pools fill up to what so many at a time want; without being used again it would be 100 and more.
                try #require(new <= 20, "\(new) connections for 100 visitors")
            }
        }

        @Test(
            "a service or a peer killed in the middle of a download reaches the visitor as a reset",
            arguments: ["service", "peer"])
        func killed(_ victim: String) async throws {
            try await scenario { s in
                let t = try await tunnel(s, "http", ["--abort-when-killed"])
                let visitor = try s.startVisitor(
                    "expect-abort", ["--port", "\(t.port)", "--rate", "20MiB"], seconds: 20)
                try await visitor.line(containing: "downloading")
                if victim == "peer" { t.peer.program.kill() } else { t.service.program.kill() }
                try #require(try await visitor.exit(within: .seconds(25)) == 0, "\(visitor.stdout)")
            }
        }

        @Test(
            "a download never looks complete to curl when a program on its way dies",
            arguments: ["service", "peer", "relay"])
        func killedForCurl(_ victim: String) async throws {
            try await scenario { s in
                // This service's death is an ordinary FIN: only the promised length tells.
                let t = try await tunnel(s, "http")
                let url = "http://127.0.0.1:\(t.port)/blob/1024GiB"
                let file = "\(s.folder)/part"
                let curl = try s.start("curl", "curl", ["-sS", "--limit-rate", "20M", "-o", file, url])
                try await eventually("the download has begun", within: .seconds(5)) {
                    FileManager.default.fileExists(atPath: file)
                }
                switch victim {
                case "service": t.service.program.kill()
                case "peer": t.peer.program.kill()
                default: t.relay.program.kill()
                }
                let status = try await curl.exit(within: .seconds(10))
                try #require(status == 18 || status == 56, "curl ended with \(status)")
            }
        }

        @Test("a slow reader gets its rate while the memory of relay and peer stays flat")
        func slowReader() async throws {
            try await scenario { s in
                let t = try await tunnel(s, "http")
                let watch = try MemoryWatch([t.relay.program, t.peer.program])
                let seconds = Scale.pick(10, long: 60)
                let options = ["--port", "\(t.port)", "--path", "/blob/1GiB", "--rate", "10KiB", "--for", "\(seconds)"]
                let visitor = try s.startVisitor("slow-read", options, seconds: seconds + 10)
                try await watch.expectFlat(2048, until: visitor)
                try #require(visitor.status == 0, "\(visitor.stdout)")
            }
        }
    }
}
