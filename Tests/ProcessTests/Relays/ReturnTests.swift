import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Ports belong to keys: whoever comes back has them again, and nobody else gets them.
    @Suite(.serialized, .timeLimit(.minutes(20)))
    struct ReturnTests {
        @Test("a relay killed and started again has its peers back on their ports within 3 s")
        func relayKilled() async throws {
            try await scenario { s in
                let relay = try await s.relay(ports: FreePorts.range(50))
                var expected: [(peer: Node, local: Int, port: Int)] = []
                for name in ["one", "two", "three"] {
                    let echo = try await s.service("echo", ["--count", "1"])
                    let other = try await s.service("echo")
                    let peer = try await s.peer(name, of: relay, mappings: ["\(echo.port)", "\(other.port)"])
                    for local in [echo.port, other.port] {
                        expected.append((peer, local, try await peer.verified(local).port))
                    }
                }
                for round in 1...Scale.pick(4, long: 20) {
                    relay.program.kill()
                    for mapping in expected { try await s.expectRefused("127.0.0.1", mapping.port, times: 1) }
                    let long = round % 20 == 0
                    try await pass(long ? .seconds(300) : .seconds(1), because: "the relay is away")
                    try await relay.restart()
                    let start = ContinuousClock.now
                    for mapping in expected { _ = try await s.firstAnswer("127.0.0.1", mapping.port) }
                    let took = (ContinuousClock.now - start).inMilliseconds
                    try #require(took < 3000, "round \(round): all were back after \(took) ms")
                }
                for mapping in expected {
                    try #require(try await mapping.peer.verified(mapping.local).port == mapping.port)
                }
            }
        }

        @Test("a relay without a session for a port refuses connections on it", arguments: [SIGTERM, SIGKILL])
        func noSession(_ signal: Int32) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                peer.program.signal(signal)
                try await peer.program.exit()
                try await eventually("the port refuses", within: .seconds(2)) {
                    let words = ["expect-refused", "--port", "\(row.port)"]
                    return try await s.run("expect-refused", Binaries.labtool(), words).status == 0
                }
                try await s.expectRefused("127.0.0.1", row.port, times: 200)

                // A relay that comes back knows the lease and refuses as well.
                relay.program.kill()
                try await relay.restart()
                try await s.expectRefused("127.0.0.1", row.port, times: 50)
                try await peer.restart()
                try #require(try await peer.verified(echo.port).port == row.port)
                try await s.expectEcho("127.0.0.1", row.port)
            }
        }

        @Test("who waits for a peer that has gone silent is reset when its session ends, and not seconds later")
        func waitingVisitor() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                // Channels that idled have to prove that they live.
                try await Task.sleep(for: .milliseconds(1_500))
                peer.program.signal(SIGSTOP)
                defer { peer.program.signal(SIGCONT) }
                // Some time before the relay's patience is over.
                try await Task.sleep(for: .seconds(2))
                let script = """
                    import socket, sys, time
                    began = time.monotonic()
                    end = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
                    end.settimeout(20)
                    end.sendall(b"hello")
                    try: end.recv(1)
                    except ConnectionResetError: print(int((time.monotonic() - began) * 1000))
                    """
                let visitor = try await s.run(
                    "visitor", "/usr/bin/python3", ["-c", script, "\(row.port)"], within: .seconds(30))
                let waited = try #require(
                    Int(visitor.stdout.trimmingCharacters(in: .newlines)), "\(visitor.stdout)\(visitor.stderr)")
                // 5 s after it was heard of last, and 10 s if nobody thought of those who wait.
                try #require(waited < 5_000, "\(waited) ms")
                try await s.expectRefused("127.0.0.1", row.port)
            }
        }

        @Test("a peer killed and started again has its port within 1 s")
        func peerKilled() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                for round in 1...Scale.pick(10, long: 200) {
                    peer.program.kill()
                    try await peer.restart()
                    let took = try await s.firstAnswer("127.0.0.1", row.port)
                    try #require(took < 1000, "round \(round): \(took) ms")
                }
            }
        }

        @Test(
            "a new process with the key of a frozen one has the port within 1 s, and the old one stops",
            arguments: [0, 4])
        func superseded(secondsFrozen: Int) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let old = try await s.peer("old", of: relay, mappings: ["\(echo.port)"])
                let row = try await old.verified(echo.port)
                old.program.signal(SIGSTOP)
                try await pass(.seconds(secondsFrozen), because: "the relay may notice the silence, or not")

                let copy = "\(s.folder)/copy-of-home"
                let copied = try await s.shell("cp -a \(old.home) \(copy) && rm -f \(copy)/*.sock")
                try #require(copied.status == 0)
                let new = try await s.peer("new", of: relay, mappings: ["\(echo.port)"], home: copy)
                let took = try await s.firstAnswer("127.0.0.1", row.port)
                try #require(took < 1000, "the port answered after \(took) ms")
                try #require(try await new.verified(echo.port).port == row.port)

                old.program.signal(SIGCONT)
                try #require(try await old.program.exit(within: .seconds(10)) == ExitCode.superseded)
                try #require(old.program.stderr.contains("superseded"))
                try await throughout(.seconds(3), "the new one serves on") {
                    try await s.expectEcho("127.0.0.1", row.port)
                    return new.program.isRunning
                }
            }
        }

        @Test("process after process takes over from a frozen one with its key, and each has the ports within 1 s")
        func takenOver() async throws {
            try await scenario { s in
                let echo = try await s.service("echo", ["--count", "1"])
                let second = try await s.service("echo")
                let relay = try await s.relay()
                let locals = ["\(echo.port)", "\(second.port)"]
                var peer = try await s.peer("peer0", of: relay, mappings: locals)
                let ports = [try await peer.verified(echo.port).port, try await peer.verified(second.port).port]
                for round in 1...Scale.pick(30, long: 200) {
                    // For the relay the old session is alive: nothing of it ends before the new one is there.
                    peer.program.signal(SIGSTOP)
                    let copy = "\(s.folder)/home\(round)"
                    try await s.shell("cp -a \(peer.home) \(copy) && rm -f \(copy)/*.sock")
                    let next = try await s.peer("peer\(round)", of: relay, mappings: locals, home: copy)
                    for port in ports {
                        let took = try await s.firstAnswer("127.0.0.1", port, within: 5)
                        try #require(took < 1000, "round \(round), port \(port): \(took) ms")
                    }
                    peer.program.kill()
                    s.forget(peer.program)
                    peer = next
                }
                let after = [try await peer.verified(echo.port).port, try await peer.verified(second.port).port]
                try #require(after == ports)
            }
        }
    }
}
