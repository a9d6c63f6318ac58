import Foundation
import TestSupport
import Testing

/// Ranges of ports for datagrams, and for both.
extension ProcessTests.RangeTests {
    /// Binds ports of 127.0.0.1 and answers each datagram with its port and itself.
    private static let service = """
        import selectors, socket, sys
        first, count = int(sys.argv[1]), int(sys.argv[2])
        waiting = selectors.DefaultSelector()
        for port in range(first, first + count):
            own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            own.bind(("127.0.0.1", port))
            waiting.register(own, selectors.EVENT_READ, port)
        print("ready", flush=True)
        while True:
            for key, _ in waiting.select():
                said, visitor = key.fileobj.recvfrom(65536)
                key.fileobj.sendto(key.data.to_bytes(2, "big") + said, visitor)
        """

    /// Asks each port of a range, all at once and again where no answer came; says how many answered with their number.
    private static let visitors = """
        import selectors, socket, sys, time
        host, first, count, target = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
        waiting = selectors.DefaultSelector()
        open_ports = {}
        for offset in range(count):
            own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            own.connect((host, first + offset))
            waiting.register(own, selectors.EVENT_READ, offset)
            open_ports[offset] = own
        right, end = 0, time.time() + 15
        while open_ports and time.time() < end:
            for own in open_ports.values(): own.send(b"hello")
            again = time.time() + 1
            while open_ports and time.time() < again:
                for key, _ in waiting.select(0.1):
                    try: said = key.fileobj.recv(65536)
                    except OSError: continue
                    if key.data not in open_ports: continue
                    if said == (target + key.data).to_bytes(2, "big") + b"hello": right += 1
                    waiting.unregister(key.fileobj)
                    del open_ports[key.data]
        print("right", right)
        """

    private func startService(_ s: Scenario, _ ports: ClosedRange<Int>) async throws -> Program {
        let program = try s.start(
            "service", "python3", ["-c", Self.service, "\(ports.lowerBound)", "\(ports.count)"])
        try await program.line(containing: "ready")
        return program
    }

    private func milliseconds(_ span: Duration) -> Int {
        Int(span.components.seconds * 1_000 + span.components.attoseconds / 1_000_000_000_000_000)
    }

    @Test(
        "a range of ports for UDP, or for both, is verified and serves port by port",
        arguments: [(100, "--udp"), (1_024, "--udp"), (100, "--both"), (1_024, "--both")])
    func datagrams(_ count: Int, _ flag: String) async throws {
        try await scenario { s in
            // Above those that other tests take, and the relay on an address of its own.
            let ports = 31_100...(31_100 + count - 1)
            let relay = try await s.relay(ports: ports) { $0.bind = "127.0.0.4" }
            var services = [try await startService(s, ports)]
            if flag == "--both" {
                let echo = try await s.service(
                    "echo", port: ports.lowerBound, ["--count", "\(count)", "--bind", "127.0.0.1"])
                services.append(echo.program)
            }
            let peer = try await s.peer(of: relay) { $0.relays = ["127.0.0.4:\(relay.settings.serverPort ?? 0)"] }
            let (idle, idlePeer) = try (relay.program.facts().descriptors, peer.program.facts().descriptors)
            let range = "\(ports.lowerBound)-\(ports.upperBound)"
            let began = ContinuousClock.now
            let made = try await peer.command(["--mp", "\(range):\(range)", flag])
            print("\(count) ports \(flag): all verified after \(milliseconds(ContinuousClock.now - began)) ms")
            try #require(made.status == ExitCode.fine, "\(made.status): \(made.stderr.prefix(500))")
            #expect(made.stdout.split(separator: "\n").count == count)
            let each = flag == "--both" ? 2 : 1
            let used = try relay.program.facts().descriptors - idle
            #expect((each * count...each * count + 64).contains(used), "\(used)")
            // One flow a port, each with a socket at the peer.
            let asked = try await s.run(
                "visitors", "python3",
                ["-c", Self.visitors, "127.0.0.4", "\(ports.lowerBound)", "\(count)", "\(ports.lowerBound)"],
                within: .seconds(30))
            try #require(asked.stdout == "right \(count)\n", "\(asked.stdout)\(asked.stderr.suffix(500))")
            let flows = try peer.program.facts().descriptors - idlePeer
            #expect((count...count + 64).contains(flows), "\(flows)")
            if flag == "--both" { try await s.expectEcho("127.0.0.4", ports.upperBound) }
            let table = try await peer.command(["--view-rpm"])
            #expect(table.stdout.split(separator: "\n").count == 1 + each, "\(table.stdout.prefix(2_000))")
            for service in services { service.kill() }
            try await peer.mapping(ports.upperBound, in: "target-down")
            let gone = try await peer.command(["unmap", range])
            #expect(gone.status == ExitCode.fine, "\(gone.stderr)")
            try await eventually("the relay has its descriptors back", within: .seconds(10)) {
                try relay.program.facts().descriptors <= idle + 64
            }
        }
    }

    @Test("a number that somebody has for UDP alone is passed over with --both, and not with TCP alone")
    func takenForDatagrams() async throws {
        try await scenario { s in
            let open = try FreePorts.range(2)
            let relay = try await s.relay(ports: open)
            let peer = try await s.peer(of: relay)
            let taken = try DatagramVisitor(port: open.lowerBound)
            let both = try await s.service("echo")
            let service = try await startService(s, both.port...both.port)
            let made = try await peer.command(["--mp", "\(both.port)", "--both"])
            try #require(made.status == ExitCode.fine, "\(made.stderr)")
            try #require(try await peer.verified(both.port).port == open.upperBound)
            // And neither is the number given for UDP when it is wanted, nor is anything of it left bound.
            let exact = try await peer.command(["--mp", "\(both.port):\(open.lowerBound)", "--udp"])
            try #require(exact.status == ExitCode.portTaken, "\(exact.status): \(exact.stderr)")
            let echo = try await s.service("echo")
            let tcp = try await peer.command(["--mp", "\(echo.port)"])
            try #require(tcp.status == ExitCode.fine, "\(tcp.stderr)")
            try #require(try await peer.verified(echo.port).port == open.lowerBound)
            withExtendedLifetime((taken, service)) {}
        }
    }

    @Test("a range for UDP is had whole or not at all")
    func allOrNothing() async throws {
        try await scenario { s in
            let open = try FreePorts.range(10)
            let local = try FreePorts.range(10)
            let relay = try await s.relay(ports: open)
            let peer = try await s.peer(of: relay)
            let service = try await startService(s, local)
            let taken = try DatagramVisitor(port: open.lowerBound + 7)
            let words = [
                "--mp", "\(local.lowerBound)-\(local.upperBound):\(open.lowerBound)-\(open.upperBound)", "--udp",
            ]
            let made = try await peer.command(words)
            try #require(made.status == ExitCode.portTaken, "\(made.status): \(made.stderr)")
            for port in open where port != open.lowerBound + 7 { _ = try DatagramVisitor(port: port) }
            withExtendedLifetime((taken, service)) {}
        }
    }

    @Test("a relay with too few descriptors refuses a range for both, gives back what it took, and serves a small one")
    func tooFewDescriptors() async throws {
        try await scenario { s in
            let ports = 31_100...32_123
            let relay = try await s.relay(ports: ports) {
                $0.bind = "127.0.0.4"
                $0.wrapper = ["prlimit", "--nofile=1500:1500"]
            }
            let peer = try await s.peer(of: relay) { $0.relays = ["127.0.0.4:\(relay.settings.serverPort ?? 0)"] }
            let idle = try relay.program.facts().descriptors
            let made = try await peer.command(["--mp", "31100-32123", "--both"])
            try #require(made.status == ExitCode.refused, "\(made.status): \(made.stderr)")
            try #require(made.stderr.contains("at most 187 ports for one mapping"), "\(made.stderr)")
            try #require(try relay.program.facts().descriptors <= idle + 64)
            let local = try FreePorts.range(10)
            let service = try await startService(s, local)
            let small = try await peer.command(["--mp", "\(local.lowerBound)-\(local.upperBound)", "--udp"])
            try #require(small.status == ExitCode.fine, "\(small.stderr)")
            withExtendedLifetime(service) {}
        }
    }
}
