import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// UDP through both kinds of NAT, with programs that are not ours, and what networks do to it.
    @Suite(.serialized, .timeLimit(.minutes(6)))
    struct DatagramTests {
        /// A world with an echo for UDP at home, and its public port.
        private func tunnel(
            _ s: Scenario, _ nat: Lab.NAT, port: Int, _ words: [String]
        ) async throws -> (world: World, peer: Node, port: Int) {
            let world = try await World(s)
            try await startEcho(s, world, nat, port: port)
            let peer = try await world.peer(behind: nat)
            let made = try await peer.command(["--mp", "\(port)"] + words)
            try #require(made.status == ExitCode.fine, "\(made.stderr)")
            return (world, peer, try await peer.verified(port).port)
        }

        /// Datagrams that an echo at home answers, one each 20 ms, for as long as it is told to.
        private static let visitor = """
            import socket, sys, time
            host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.settimeout(0.02)
            s.connect((host, port))
            begin = last = time.monotonic()
            gap, number, answered = 0.0, 0, 0
            while time.monotonic() - begin < seconds:
                number += 1
                s.send(b"%d" % number)
                until = time.monotonic() + 0.02
                while time.monotonic() < until:
                    try:
                        s.recv(100)
                    except OSError:
                        continue
                    now = time.monotonic()
                    gap, last, answered = max(gap, now - last), now, answered + 1
                    time.sleep(max(0, until - now))
                    break
            gap = max(gap, time.monotonic() - last)
            print("sent %d answered %d gap %d" % (number, answered, gap * 1000))
            """

        private static let echo = """
            import socket, sys
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("127.0.0.1", int(sys.argv[1])))
            print("ready", flush=True)
            while True:
                text, source = s.recvfrom(65535)
                s.sendto(text, source)
            """

        private func startEcho(_ s: Scenario, _ world: World, _ nat: Lab.NAT, port: Int) async throws {
            let program = try s.start("echo", "python3", ["-c", Self.echo, "\(port)"], in: world.lab.home(nat))
            try await program.line(containing: "ready")
        }

        /// The longest time without an answer, in milliseconds, while `body` does something to the network.
        private func gap(
            _ s: Scenario, _ world: World, port: Int, seconds: Int, _ body: () async throws -> Void
        ) async throws -> Int {
            let visitor = try s.start(
                "visitor", "python3", ["-c", Self.visitor, Lab.relayAddress, "\(port)", "\(seconds)"],
                in: world.lab.visitor)
            try await pass(.seconds(1), because: "the flow is on by then")
            try await body()
            let told = try await visitor.line(containing: "gap", within: .seconds(seconds + 10))
            let words = told.split(separator: " ").compactMap { Int($0) }
            try #require(words.count == 3 && words[1] > words[0] / 4, "\(told)")
            s.forget(visitor)
            return words[2]
        }

        @Test("a resolver at home answers dig, each visitor its own question", arguments: Lab.NAT.allCases)
        func dns(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                _ = try s.start(
                    "dnsmasq", "dnsmasq",
                    [
                        "-k", "-p", "5300", "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv",
                        "--no-hosts",
                    ]
                        + ["--conf-file=/dev/null", "--user=root", "--pid-file="]
                        + (1...20).map { "--address=/host\($0).lab/192.0.2.\($0)" }, in: world.lab.home(nat))
                let peer = try await world.peer(behind: nat)
                let made = try await peer.command(["--mp", "5300", "--udp"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let port = try await peer.verified(5300).port
                let questions = (1...20).map { number in
                    "dig +short +time=3 +tries=2 -p \(port) @\(Lab.relayAddress) host\(number).lab > $D/\(number) &"
                }
                let asked = try await s.shell(
                    "D=$(mktemp -d); " + questions.joined(separator: " ")
                        + " wait; for n in $(seq 20); do echo $n $(cat $D/$n); done", in: world.lab.visitor)
                let answers = asked.stdout.split(separator: "\n").map(String.init)
                try #require(answers == (1...20).map { "\($0) 192.0.2.\($0)" }, "\(asked.stdout)")
            }
        }

        @Test("iperf3 measures UDP both ways through one mapping for both", arguments: Lab.NAT.allCases)
        func iperf(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let server = try s.start(
                    "iperf3", "iperf3", ["-s", "-p", "5201", "--forceflush"], in: world.lab.home(nat))
                try await server.line(containing: "listening")
                let peer = try await world.peer(behind: nat)
                let made = try await peer.command(["--mp", "5201", "--both"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let port = try await peer.verified(5201).port
                for direction in [[], ["-R"]] {
                    let words =
                        ["-c", Lab.relayAddress, "-p", "\(port)", "-u", "-b", "20M", "-t", "2", "-J"] + direction
                    let ran = try await s.run("iperf3", "iperf3", words, in: world.lab.visitor, within: .seconds(30))
                    try #require(ran.status == 0, "\(ran.stdout.suffix(500)) \(ran.stderr)")
                    let report = try #require(
                        try JSONSerialization.jsonObject(with: Data(ran.stdout.utf8)) as? [String: Any])
                    let sum = try #require((report["end"] as? [String: Any])?["sum"] as? [String: Any])
                    let lost = try #require(sum["lost_percent"] as? Double)
                    let packets = try #require(sum["packets"] as? Int)
                    print("iperf3 -u \(direction): \(packets) datagrams, \(lost) % lost")
                    try #require(packets > 3_000 && lost < 2, "\(packets) datagrams, \(lost) % lost")
                }
            }
        }

        @Test("a router that forgets all flows interrupts one for less than 2 s", arguments: Lab.NAT.allCases)
        func forgotten(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let (world, _, port) = try await tunnel(s, nat, port: 5300, ["--udp"])
                let gap = try await gap(s, world, port: port, seconds: 8) { try world.lab.loseFlows(nat) }
                print("without an answer for \(gap) ms")
                try #require(gap < 2_000, "\(gap) ms")
            }
        }

        @Test("where UDP is blocked between node and relay it goes over TCP within 2 s, and comes back")
        func blocked() async throws {
            try await scenario { s in
                let (world, peer, port) = try await tunnel(s, .ordinary, port: 5300, ["--udp"])
                let gap = try await gap(s, world, port: port, seconds: 8) {
                    try world.lab.setUDP(.ordinary, isOpen: false)
                }
                print("without an answer for \(gap) ms")
                try #require(gap < 2_000, "\(gap) ms")
                try await peer.program.line(containing: "no UDP gets through")
                try world.lab.setUDP(.ordinary, isOpen: true)
                try await peer.program.line(containing: "UDP gets through", within: .seconds(60))
            }
        }
    }
}
