import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// A target is told by a header who each visitor is: by the ones that echo it, and to a DNS server that reads it.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct ProxyProtocolTests {
        private static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

        /// Version 2 over IPv4, put together without the code under test.
        private func header(family: UInt8, _ visitor: UInt8, _ visitorPort: Int, to port: Int) -> [UInt8] {
            let ports = [visitorPort, port].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
            return Self.signature + [0x21, family, 0, 12] + [127, 0, 0, visitor] + [127, 0, 0, 1] + ports
        }

        /// What a service that echoes has heard of a visitor's datagram.
        private func heard(_ visitor: DatagramVisitor, _ bytes: [UInt8], at port: Int) throws -> [UInt8]? {
            for _ in 0..<3 { if let heard = try visitor.ask(bytes, at: port) { return heard } }
            return nil
        }

        @Test(
            "v2 stands before each datagram, until it is taken back, and after a restart of the peer",
            arguments: [nil, "localhost"])
        func datagrams(_ advertised: String?) async throws {
            try await scenario { s in
                let service = try DatagramVisitor()
                service.echo()
                // Visitors may be told a name; a header has an address all the same.
                let relay = try await s.relay { $0.advertise = advertised }
                let peer = try await s.peer(of: relay)
                let words = ["--mp", "\(service.port)", "--udp"]
                let made = try await peer.command(words + ["--proxy-protocol", "v2"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let port = try await peer.verified(service.port).port
                for last: UInt8 in [7, 8] {
                    let visitor = try DatagramVisitor(at: "127.0.0.\(last)")
                    let expected = header(family: 0x12, last, visitor.port, to: port)
                    for bytes: [UInt8] in [[1], [], [2, 3]] {
                        let heard = try heard(visitor, bytes, at: port)
                        try #require(heard == expected + bytes, "\(heard ?? [])")
                    }
                }
                // It is kept, and a mapping that is asked for again without a word about it stays as it is.
                peer.program.kill()
                try await peer.restart()
                let again = try await peer.command(words)
                try #require(again.status == ExitCode.fine, "\(again.stderr)")
                _ = try await peer.verified(service.port)
                let visitor = try DatagramVisitor(at: "127.0.0.9")
                let expected = header(family: 0x12, 9, visitor.port, to: port)
                try #require(try heard(visitor, [4], at: port) == expected + [4])
                let back = try await peer.command(words + ["--proxy-protocol", "off"])
                try #require(back.status == ExitCode.fine, "\(back.stderr)")
                try #require(try heard(visitor, [5], at: port) == [5])
            }
        }

        @Test("listings show it, and it comes back with a mapping whose table is damaged")
        func listed() async throws {
            try await scenario { s in
                let service = try DatagramVisitor()
                service.echo()
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(service.port)", "--udp", "--proxy-protocol", "v2"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                _ = try await peer.verified(service.port)
                func expectShown() async throws {
                    let row = try await peer.verified(service.port)
                    try #require(row.proxyProtocol == "v2")
                    for command in ["--view-rpm", "status"] {
                        let shown = try await peer.command([command])
                        try #require(shown.stdout.contains(":\(service.port) (PROXY v2)  "), "\(shown.stdout)")
                        let json = try await peer.command([command, "--json"])
                        try #require(json.stdout.contains("\"Proxy_protocol\": \"v2\""), "\(json.stdout)")
                    }
                    let heard = try heard(try DatagramVisitor(at: "127.0.0.7"), [1], at: row.port)
                    try #require(heard?.prefix(Self.signature.count) == Self.signature[...], "\(heard ?? [])")
                }
                try await expectShown()
                // The relay is not told how the peer tells its target.
                try #require(try await relay.viewRPM().allSatisfy { $0.proxyProtocol == nil })
                try #require(try await peer.program.terminate() == 0)
                for rest in ["-wal", "-shm"] {
                    try? FileManager.default.removeItem(atPath: "\(peer.home)/ip_table.sqlite\(rest)")
                }
                try Data("no table".utf8).write(to: URL(fileURLWithPath: "\(peer.home)/ip_table.sqlite"))
                try await peer.restart()
                try await peer.program.line(containing: "took over from the registries")
                try await expectShown()
                let back = try await peer.command(["--mp", "\(service.port)", "--udp", "--proxy-protocol", "off"])
                try #require(back.status == ExitCode.fine, "\(back.stderr)")
                let rows = try await peer.viewRPM()
                try #require(!rows.isEmpty && rows.allSatisfy { $0.proxyProtocol == nil }, "\(rows)")
            }
        }

        @Test("v1 and v2 stand before a connection once, at a mapping for both as well", arguments: ["v1", "v2"])
        func connections(_ version: String) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let both = version == "v2" ? ["--both"] : []
                let made = try await peer.command(["--mp", "\(echo.port)", "--proxy-protocol", version] + both)
                try #require(made.status != ExitCode.usage, "\(made.stderr)")
                let port = try await peer.verified(echo.port).port
                let script = """
                    import socket
                    s = socket.create_connection(("127.0.0.1", \(port)), 5, ("127.0.0.7", 0))
                    s.sendall(b"hello")
                    s.shutdown(socket.SHUT_WR)
                    heard = b""
                    while True:
                        more = s.recv(4096)
                        if not more: break
                        heard += more
                    print(s.getsockname()[1], heard.hex())
                    """
                let ran = try await s.run("visitor", "python3", ["-c", script])
                let told = ran.stdout.split(separator: " ").map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
                try #require(told.count == 2, "\(ran.stdout) \(ran.stderr)")
                let visitorPort = try #require(Int(told[0]))
                let line = Array("PROXY TCP4 127.0.0.7 127.0.0.1 \(visitorPort) \(port)\r\n".utf8)
                let front = version == "v1" ? line : header(family: 0x11, 7, visitorPort, to: port)
                let expected = (front + Array("hello".utf8)).map { String(format: "%02x", $0) }.joined()
                try #require(told[1] == expected, "\(told[1])")
            }
        }

        @Test("a visitor with IPv6 has a header with IPv6")
        func ipv6() async throws {
            try await scenario { s in
                let service = try DatagramVisitor()
                service.echo()
                let relay = try await s.relay { $0.bind = "::1" }
                let peer = try await s.peer(of: relay) { $0.relays = ["[::1]:\(relay.settings.serverPort ?? 0)"] }
                let made = try await peer.command(["--mp", "\(service.port)", "--udp", "--proxy-protocol", "v2"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let port = try await peer.verified(service.port).port
                let script = """
                    import socket
                    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                    s.bind(("::1", 0))
                    s.settimeout(2)
                    for _ in range(3):
                        s.sendto(b"hello", ("::1", \(port)))
                        try: print(s.getsockname()[1], s.recv(4096).hex()); break
                        except TimeoutError: pass
                    """
                let ran = try await s.run("visitor", "python3", ["-c", script])
                let told = ran.stdout.split(separator: " ").map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
                try #require(told.count == 2, "\(ran.stdout) \(ran.stderr)")
                let one = [UInt8](repeating: 0, count: 15) + [1]
                let ports = [try #require(Int(told[0])), port].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
                let expected = Self.signature + [0x21, 0x22, 0, 36] + one + one + ports + Array("hello".utf8)
                try #require(told[1] == expected.map { String(format: "%02x", $0) }.joined(), "\(told[1])")
            }
        }

        @Test("v1 is refused for datagrams, in one line", arguments: ["--udp", "--both"])
        func version1(_ flag: String) async throws {
            try await scenario { s in
                let made = try await s.run(
                    "p2prc", Binaries.product(), ["--mp", "53", flag, "--proxy-protocol", "v1"])
                try #require(made.status == ExitCode.usage, "\(made.status)")
                let lines = made.stderr.split(separator: "\n").filter { $0.contains("--proxy-protocol v1") }
                try #require(lines.count == 1, "\(made.stderr)")
            }
        }

        @Test(
            "dnsdist knows each visitor by it, over UDP and TCP, and takes nothing without it",
            .enabled(if: Ran.isInstalled("dnsdist", "--version"), "needs dnsdist (scripts/setup test installs it)"),
            .enabled(if: Ran.isInstalled("dig", "-v"), "needs dig"))
        func dnsdist() async throws {
            try await scenario { s in
                let server = try FreePorts.one()
                let file = "\(s.folder)/dnsdist.conf"
                // An answer tells whom the server takes the visitor for.
                try """
                addLocal("127.0.0.1:\(server)")
                setSecurityPollSuffix("")
                setACL({"127.0.0.0/8"})
                setProxyProtocolACL({"127.0.0.1/32"})
                addAction("127.0.0.7/32", SpoofAction("192.0.2.7"))
                addAction("127.0.0.8/32", SpoofAction("192.0.2.8"))
                addAction(AllRule(), SpoofAction("192.0.2.99"))
                """.write(toFile: file, atomically: true, encoding: .utf8)
                _ = try s.start("dnsdist", "dnsdist", ["--supervised", "--disable-syslog", "-C", file])
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let words = ["--mp", "\(server)", "--both", "--proxy-protocol", "v2"]
                let made = try await peer.command(words)
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let port = try await peer.verified(server).port
                for (last, transport) in [(7, "+notcp"), (8, "+notcp"), (7, "+tcp"), (8, "+tcp")] {
                    let asked = try await s.shell(
                        "dig +short +time=2 +tries=2 \(transport) -b 127.0.0.\(last) -p \(port) @127.0.0.1 a.example")
                    try #require(asked.stdout == "192.0.2.\(last)\n", "\(transport): \(asked.stdout)")
                }
                let bare = try await s.shell("dig +short +time=1 +tries=1 -p \(server) @127.0.0.1 a.example")
                try #require(!bare.stdout.contains("192.0.2."), "\(bare.stdout)")
            }
        }
    }
}
