import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Mappings for UDP, from the command line to the service.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct DatagramMappingTests {
        private static func text(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) } }

        private func service(port: Int = 0) throws -> DatagramVisitor {
            let service = try DatagramVisitor(port: port)
            service.echo()
            return service
        }

        /// Datagrams may get lost, so it is asked some times.
        private func echoes(_ port: Int, _ bytes: [UInt8], from address: String = "127.0.0.1") throws -> Bool {
            let visitor = try DatagramVisitor(at: address)
            for _ in 0..<3 where try visitor.ask(bytes, at: port) == bytes { return true }
            return false
        }

        @Test(
            "--udp carries datagrams of all sizes to the service and back, encrypted or plain",
            arguments: [false, true])
        func udp(_ isPlain: Bool) async throws {
            try await scenario { s in
                let service = try service()
                let more = isPlain ? ["--plain"] : []
                let relay = try await s.relay { $0.more = more }
                let peer = try await s.peer(of: relay) { $0.more = more }
                // By the name that P2PRC has for it.
                let made = try await peer.command(["--MAPPort", "\(service.port)", "--udp"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let row = try await peer.verified(service.port)
                try #require(row.type == "UDP")
                for size in [0, 1, 1_472, 3_000, 65_442] {
                    try #require(try echoes(row.port, Self.text(size)), "\(size) bytes")
                }
                // No TCP there, and nobody at a port that is not mapped any more.
                let tcp = try await s.shell("timeout 3 bash -c 'exec 3<>/dev/tcp/127.0.0.1/\(row.port)' 2>&1")
                try #require(tcp.status != 0)
                let gone = try await peer.command(["unmap", "\(service.port)"])
                try #require(gone.status == ExitCode.fine, "\(gone.stderr)")
                let visitor = try DatagramVisitor()
                try await eventually("nobody is there", within: .seconds(5)) {
                    do {
                        _ = try visitor.ask([1], at: row.port, within: 1)
                        return false
                    } catch is DatagramVisitor.Refused { return true }
                }
            }
        }

        @Test("a service here is down where no socket is bound; of one elsewhere it is said that nobody looked")
        func unseen() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let port = try FreePorts.one()
                for place in ["127.0.0.2:\(port)", "[::1]:\(port)"] {
                    let down = try await peer.command(["--mp", place, "--udp"])
                    try #require(down.status == ExitCode.targetDown, "\(down.status): \(down.stderr)")
                    try #require(down.stderr.contains("nothing takes datagrams at \(place)"), "\(down.stderr)")
                }
                let made = try await peer.command(["--mp", "192.0.2.9:\(port)", "--udp"])
                try #require(made.status == ExitCode.fine, "\(made.status): \(made.stderr)")
                try #require(made.stderr.contains("192.0.2.9:\(port) is on another machine"), "\(made.stderr)")
                try #require(made.stdout.contains("verified") && !made.stdout.contains("another"), "\(made.stdout)")
            }
        }

        @Test("ports of a range that are down for the same reason are one row")
        func downRange() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "127.9.9.9:21000-21019", "--udp"])
                try #require(made.status == ExitCode.targetDown, "\(made.status): \(made.stderr)")
                let table = try await peer.command(["--view-rpm"]).stdout.split(separator: "\n")
                let rows = table.filter { $0.contains("127.9.9.9:") }
                // Somebody else's socket on all addresses would split it.
                try #require(rows.count <= 10, "\(table)")
                try #require(rows.contains { $0.contains("nothing takes datagrams at 127.9.9.9:21") }, "\(table)")
            }
        }

        @Test("--both is one mapping for TCP and UDP on one number")
        func both() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let service = try service(port: echo.port)
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(echo.port)", "--both"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let rows = try await peer.viewRPM().filter { $0.target == "127.0.0.1:\(echo.port)" }
                try #require(Set(rows.map(\.type)) == ["TCP", "UDP"])
                try #require(Set(rows.map(\.port)).count == 1)
                let port = try #require(rows.first).port
                try await s.expectEcho("127.0.0.1", port)
                try #require(try echoes(port, Self.text(100)))
                withExtendedLifetime(service) {}
            }
        }

        @Test("a relay holds each visitor's address to its limits, and counts what is above them")
        func limited() async throws {
            try await scenario { s in
                let service = try service()
                let relay = try await s.relay {
                    $0.config = "[datagrams]\nflows_per_source = 3\nsource_per_second = 40\n"
                }
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(service.port)", "--udp"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let port = try await peer.verified(service.port).port
                let visitors = try (0..<3).map { _ in try DatagramVisitor(at: "127.0.0.2") }
                for visitor in visitors { try #require(try visitor.ask([1], at: port) == [1]) }
                let fourth = try DatagramVisitor(at: "127.0.0.2")
                try #require(try fourth.ask([2], at: port, within: 1) == nil)
                // Another address has its own share.
                try #require(try echoes(port, [3], from: "127.0.0.3"))
                visitors[0].repeatLast([4], times: 100)
                try await eventually("both are counted", within: .seconds(5)) {
                    let asked = try await relay.command(["status", "--json"])
                    let status = try JSONSerialization.jsonObject(with: Data(asked.stdout.utf8)) as? [String: Any]
                    let traffic = try #require((status?["Mapping_traffic"] as? [[String: Any]])?.first)
                    let datagrams = try #require(traffic["Datagrams"] as? [String: Any])
                    let (refused, limited) = (traffic["Refused"] as? Int, datagrams["Limited"] as? Int)
                    return refused ?? 0 >= 1 && limited ?? 0 >= 40
                }
            }
        }

        @Test("where another program has the relay's UDP port, datagrams go over TCP")
        func taken() async throws {
            try await scenario { s in
                let holder = try DatagramVisitor()
                let relay = try await s.relay { $0.serverPort = holder.port }
                try await relay.program.line(containing: "peers' datagrams go over TCP")
                let service = try service()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(service.port)", "--udp"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let row = try await peer.verified(service.port)
                let visitors = try (0..<3).map { _ in try DatagramVisitor() }
                for visitor in visitors {
                    for size in [0, 1_472, 65_000] {
                        let text = Self.text(size)
                        try #require(try visitor.ask(text, at: row.port) == text, "\(size) bytes")
                    }
                }
                for node in [peer, relay] {
                    let rows = try await node.viewRPM().filter { $0.type == "UDP" }
                    try #require(rows.map(\.carrier) == ["stream"] && rows[0].flows ?? 0 >= 3, "\(rows)")
                    let table = try await node.command(["--view-rpm"])
                    try #require(table.stdout.contains("CARRIER") && table.stdout.contains("stream"), "\(table.stdout)")
                }
                withExtendedLifetime(holder) {}
            }
        }

        @Test("a forgotten --udp is named, and of two mappings each is taken back by its protocol")
        func forgotten() async throws {
            try await scenario { s in
                let service = try service()
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let silent = try await peer.command(["--mp", "\(service.port)"])
                try #require(silent.status == ExitCode.targetDown, "\(silent.status): \(silent.stderr)")
                try #require(silent.stderr.contains("a program has that port for UDP: --udp"), "\(silent.stderr)")
                let made = try await peer.command(["--mp", "\(service.port)", "--udp"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let either = try await peer.command(["unmap", "\(service.port)"])
                try #require(either.status == ExitCode.notFound, "\(either.status): \(either.stderr)")
                let gone = try await peer.command(["unmap", "\(service.port)/tcp"])
                try #require(gone.status == ExitCode.fine, "\(gone.stderr)")
                try #require(try await peer.viewRPM().filter { $0.leads(to: service.port) }.map(\.type) == ["UDP"])
            }
        }

        @Test("a relay with --no-udp refuses, and says so")
        func refused() async throws {
            try await scenario { s in
                let relay = try await s.relay { $0.more = ["--no-udp"] }
                try await relay.program.line(containing: "for TCP alone (no UDP)")
                let status = try await relay.command(["status"]).stdout
                try #require(status.contains("for TCP alone (no UDP); "), "\(status)")
                let peer = try await s.peer(of: relay) { $0.more = ["--mp", "5354", "--udp"] }
                let reason = "does not carry UDP; use a relay that does"
                // What was given at the start is kept and asked again, what a command asked for is dropped.
                let kept = try await peer.program.line(containing: "refuses 127.0.0.1:5354")
                try #require(kept.contains(reason) && kept.hasSuffix("asked again by and by"), "\(kept)")
                let table = try await peer.command(["--view-rpm"]).stdout
                try #require(table.contains(reason), "\(table)")
                let made = try await peer.command(["--mp", "5353", "--udp"])
                try #require(made.status == ExitCode.refused, "\(made.status): \(made.stderr)")
                try #require(made.stderr.contains(reason), "\(made.stderr)")
                let dropped = try await peer.program.line(containing: "refuses 127.0.0.1:5353")
                try #require(dropped.contains(reason) && !dropped.contains("asked again"), "\(dropped)")
            }
        }

        @Test("a mapping for some visitors is proven all the same, and lets in nobody else")
        func filtered() async throws {
            try await scenario { s in
                let service = try service()
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(service.port)", "--udp", "--allow", "127.0.0.7"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let row = try await peer.verified(service.port)
                try #require(try echoes(row.port, [1, 2, 3], from: "127.0.0.7"))
                let stranger = try DatagramVisitor(at: "127.0.0.8")
                try #require(try stranger.ask([1], at: row.port, within: 1) == nil)
                let neighbour = try DatagramVisitor()
                try #require(try neighbour.ask([1], at: row.port, within: 1) == nil, "from the peer's own address")
            }
        }

        @Test(
            "a flow goes on after a restart of the relay and of the peer, at the same public port",
            arguments: [true, false])
        func restarted(_ isRelay: Bool) async throws {
            try await scenario { s in
                let service = try service()
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(service.port)", "--udp"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let row = try await peer.verified(service.port)
                let visitor = try DatagramVisitor()
                try #require(try visitor.ask([1], at: row.port) == [1])
                let node = isRelay ? relay : peer
                node.program.kill()
                try await node.restart()
                try await eventually("the flow goes on", within: .seconds(15)) {
                    do { return try visitor.ask([2], at: row.port, within: 1) == [2] } catch is DatagramVisitor.Refused
                    {
                        return false
                    }
                }
            }
        }
    }
}
