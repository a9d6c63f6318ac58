import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// The main job through both kinds of NAT, for a visitor with only curl and nc (and, for crowds, labtool).
    @Suite(.serialized, .timeLimit(.minutes(6)))
    struct ThroughNATTests {
        @Test(
            "an HTTP service is reached by IPv4 and IPv6, and listed with its public address",
            arguments: Lab.NAT.allCases)
        func http(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                _ = try await s.service("http", port: 8080, ["--body", "made at home\n"], in: world.lab.home(nat))
                let peer = try await world.peer(behind: nat, mappings: ["8080"])
                let row = try await peer.verified(8080)
                try #require(row.address == Lab.relayAddress)
                try #require(World.ports.contains(row.port))
                try #require(try await s.curl(world.url(row.port), in: world.lab.visitor) == "made at home\n")
                let six = "http://[\(Lab.relayAddress6)]:\(row.port)/"
                try #require(try await s.curl(six, in: world.lab.visitor) == "made at home\n")
                let typed = try await s.shell(
                    "printf 'GET / HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n' | timeout 5 nc "
                        + "\(Lab.relayAddress) \(row.port)",
                    in: world.lab.visitor)
                try #require(typed.stdout.hasSuffix("made at home\n"))
                try await eventually("the relay is listed with its latency", within: .seconds(15)) {
                    try await peer.viewRPS().contains {
                        $0.address == "\(Lab.relayAddress):8088" && $0.state == "connected" && $0.latency != nil
                    }
                }
            }
        }

        @Test("the node's own server port is exposed by itself, verified from outside", arguments: Lab.NAT.allCases)
        func serverPort(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let peer = try await world.peer(behind: nat) { $0.mapsServerPort = true }
                let row = try await eventually("the server port is verified", within: .seconds(15)) {
                    try await peer.viewRPM().first { $0.isServerPort && $0.state == "verified" }
                }
                try #require(row.address == Lab.relayAddress)
                // What answers there is the peer, by its protocol's version.
                let told = try await world.visit("garbage", port: row.port, ["--kind", "newer-version"], seconds: 10)
                try #require((told["answer"] as? String)?.hasPrefix("703270726376") == true)
            }
        }

        @Test("a relay behind a router warns of its private address, at the start and wherever it prints its join link")
        func privateRelay() async throws {
            try await scenario { s in
                let lab = try s.lab()
                let relay = try await s.relay(ports: World.ports, serverPort: 8088) {
                    $0.place = lab.home(.ordinary)
                    $0.bind = nil
                }
                let warning = "\(lab.homeAddress(.ordinary)) is a private address"
                try await relay.program.line(containing: "warning: \(warning)")
                for words in [["link"], ["rotate", "--keep", "0s"], ["link", "--json"]] {
                    let shown = try await relay.command(["mesh-key"] + words)
                    try #require(shown.status == ExitCode.fine && shown.stdout.contains("p2prc://"), "\(shown.stderr)")
                    try #require(shown.stderr.contains("p2prc: warning: \(warning)"), "\(shown.stderr)")
                }
                try #require(try await relay.program.terminate() == 0)
                relay.settings.advertise = "203.0.113.101"
                try await relay.restart()
                try #require(try await relay.command(["mesh-key", "link"]).stderr.isEmpty)
            }
        }

        @Test("another machine of the LAN is exposed", arguments: Lab.NAT.allCases)
        func lanMachine(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let machine = world.lab.lanMachine(nat)
                _ = try await s.service("banner", port: 2222, ["--bind", machine], in: world.lab.home(nat))
                let peer = try await world.peer(behind: nat, mappings: ["\(machine):2222"])
                let row = try await peer.verified(2222)
                let heard = try await s.shell(
                    "timeout 5 nc -d -w 1 \(Lab.relayAddress) \(row.port) | head -n 1", in: world.lab.visitor)
                try #require(heard.stdout == "220 labtool ready\r\n")
            }
        }

        @Test("1 GiB down and 1 GiB up arrive with equal SHA-256", arguments: Lab.NAT.allCases)
        func bulk(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let size = 1 << 30
                let t = try await world.tunnel(nat, "http", port: 8080)
                let direct = "http://127.0.0.1:8080"
                let expected = try await s.curl("\(direct)/sha256/\(size)", ["-m", "60"], in: world.lab.home(nat))
                let down = try await s.shell(
                    "curl -sS -m 100 \(world.url(t.port, "/blob/\(size)")) | sha256sum | head -c 64",
                    in: world.lab.visitor, within: .seconds(110))
                try #require(down.stdout + "\n" == expected)

                let file = "\(s.folder)/upload"
                try await s.shell("head -c \(size) /dev/urandom > \(file)")
                let digest = try await s.shell("sha256sum < \(file) | head -c 64").stdout
                let up = try await s.shell(
                    "curl -sS -m 100 -T \(file) \(world.url(t.port, "/sink"))", in: world.lab.visitor,
                    within: .seconds(110))
                try #require(up.stdout == "\(digest) \(size)\n", "\(up.stdout)\(up.stderr)")
            }
        }

        @Test("500 visitors at once each get their own random bytes back", arguments: Lab.NAT.allCases)
        func crowd(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let t = try await world.tunnel(nat, "echo", port: 7000)
                let options = ["--connections", "500", "--bytes", "64KiB", "--rounds", "2"]
                _ = try await world.visit("hitters", port: t.port, options)
            }
        }

        @Test("a service that speaks first is heard", arguments: Lab.NAT.allCases)
        func banner(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let t = try await world.tunnel(nat, "banner", port: 2525, ["--text", "220 good morning"])
                let heard = try await s.shell(
                    "timeout 5 nc -d -w 1 \(Lab.relayAddress) \(t.port) | head -n 1", in: world.lab.visitor)
                try #require(heard.stdout == "220 good morning\r\n")
            }
        }

        @Test("half-close is carried through in both directions", arguments: Lab.NAT.allCases)
        func halfClose(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let peer = try await world.peer(behind: nat)
                let check = HalfClose(s, host: Lab.relayAddress, visitor: world.lab.visitor, home: world.lab.home(nat))
                try await check.check { local in
                    try #require(try await peer.command(["--mp", "\(local)"]).status == 0)
                    return try await peer.verified(local).port
                }
            }
        }

        @Test(
            "a service or a peer killed in the middle of a download reaches the visitor as an abort",
            arguments: Lab.NAT.allCases, ["service", "peer"])
        func killed(_ nat: Lab.NAT, _ victim: String) async throws {
            try await scenario { s in
                let world = try await World(s)
                let t = try await world.tunnel(nat, "http", port: 8080, ["--abort-when-killed"])
                let visitor = try world.startVisitor("expect-abort", port: t.port, ["--rate", "20MiB"], seconds: 20)
                let file = "\(s.folder)/part"
                let curl = try s.start(
                    "curl", "curl", ["-sS", "--limit-rate", "5M", "-o", file, world.url(t.port, "/blob/1GiB")],
                    in: world.lab.visitor)
                try await visitor.line(containing: "downloading")
                try await eventually("curl has begun", within: .seconds(5)) {
                    FileManager.default.fileExists(atPath: file)
                }
                if victim == "peer" { t.peer.program.kill() } else { t.service.program.kill() }
                try #require(try await visitor.exit(within: .seconds(25)) == 0, "\(visitor.stdout)")
                // 56: the connection was reset; 18 would be a clean end before the promised length.
                try #require(try await curl.exit(within: .seconds(20)) == 56, "\(curl.stderr)")
            }
        }

        @Test(
            "a visitor that reads 10 KiB/s of 1 GiB gets it while relay and peer stay small",
            arguments: Lab.NAT.allCases)
        func slowReader(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let t = try await world.tunnel(nat, "http", port: 8080)
                let watch = try MemoryWatch([world.relay.program, t.peer.program])
                let seconds = Scale.pick(8, long: 60)
                let visitor = try world.startVisitor(
                    "slow-read", port: t.port, ["--path", "/blob/1GiB", "--rate", "10KiB", "--for", "\(seconds)"],
                    seconds: seconds + 10)
                try await watch.expectFlat(2048, until: visitor)
                try #require(visitor.status == 0, "\(visitor.stdout)")
            }
        }

        @Test(
            "an idle connection lives on; where the router forgets flows after 10 s, a new visitor is served at once"
        )
        func idle() async throws {
            try await scenario { s in
                let world = try await World(s)
                var ports: [(nat: Lab.NAT, echo: Int, held: Program)] = []
                for nat in Lab.NAT.allCases {
                    let t = try await world.tunnel(nat, "echo", port: 7000)
                    let held = try world.startVisitor("hold", port: t.port, ["--connections", "3"], seconds: 300)
                    try await held.line(containing: "\"held\":3")
                    ports.append((nat, t.port, held))
                }
                try await pass(.seconds(Scale.pick(30, long: 120)), because: "the connections idle")
                for entry in ports {
                    entry.held.closeInput()
                    try #require(
                        try await entry.held.exit(within: .seconds(20)) == 0, "\(entry.nat): \(entry.held.stdout)")
                }

                for nat in Lab.NAT.allCases { try world.lab.setEstablishedTimeout(nat, seconds: 10) }
                try await pass(.seconds(Scale.pick(25, long: 60)), because: "the routers forget what is silent")
                for entry in ports {
                    let answer = try await world.visit("first-answer", port: entry.echo, [], seconds: 10)
                    let took = answer["milliseconds"] as? Int ?? 9999
                    try #require(took < 500 && answer["attempts"] as? Int ?? 999 < 50, "\(entry.nat): \(answer)")
                    try #require(
                        answer["closed"] as? Int == 0, "\(entry.nat): none was accepted and dropped: \(answer)")
                }
            }
        }

        @Test("two homes behind different routers share a relay, each with its own port")
        func twoHomes() async throws {
            try await scenario { s in
                let world = try await World(s)
                var ports: [Int] = []
                for nat in Lab.NAT.allCases {
                    let body = ["--body", "\(nat.rawValue)\n"]
                    ports.append(try await world.tunnel(nat, "http", port: 8080, body).port)
                }
                try #require(ports[0] != ports[1])
                for (nat, port) in zip(Lab.NAT.allCases, ports) {
                    try #require(try await s.curl(world.url(port), in: world.lab.visitor) == "\(nat.rawValue)\n")
                }
            }
        }
    }
}
