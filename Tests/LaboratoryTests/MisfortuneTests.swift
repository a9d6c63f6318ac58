import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// Links cut without a word, relays that die: the ports come back, the same ones.
    @Suite(.serialized, .timeLimit(.minutes(30)))
    struct MisfortuneTests {
        @Test(
            "a peer cut off without a FIN and started again has its ports within 1 s, every time",
            arguments: Lab.NAT.allCases)
        func cutAndRestarted(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                _ = try await s.service("echo", port: 7000, ["--count", "2"], in: world.lab.home(nat))
                let peer = try await world.peer(behind: nat, mappings: ["7000", "7001"])
                let ports = [try await peer.verified(7000).port, try await peer.verified(7001).port]
                var times: [Int] = []
                for round in 1...Scale.pick(10, long: 200) {
                    try world.lab.loseFlows(nat)
                    peer.program.kill()
                    try await peer.restart()
                    for port in ports {
                        let took = try await s.firstAnswer(Lab.relayAddress, port, in: world.lab.visitor)
                        times.append(took)
                        try #require(took < 1000, "round \(round), port \(port): \(took) ms")
                    }
                    s.forget(peer.program)
                }
                let rows = [try await peer.verified(7000).port, try await peer.verified(7001).port]
                try #require(rows == ports)
                print(
                    "\(nat): \(times.count) returns, longest \(times.max() ?? 0) ms, mean "
                        + "\(times.reduce(0, +) / times.count) ms"
                )
            }
        }

        @Test(
            "a peer whose flows all die finds back by itself, whether visitors knock meanwhile or not",
            arguments: Lab.NAT.allCases, [true, false])
        func cutAndAlone(_ nat: Lab.NAT, knocking: Bool) async throws {
            try await scenario { s in
                let world = try await World(s)
                let t = try await world.tunnel(nat, "echo", port: 7000)
                for round in 1...Scale.pick(3, long: 20) {
                    try world.lab.loseFlows(nat)
                    // A hundred a second, each of which may hang until the relay knows.
                    let crowd = knocking ? try world.startVisitor("first-answer", port: t.port, seconds: 12) : nil
                    // Served are all, not only one that happened to get a new channel.
                    let took = try await milliseconds {
                        try await eventually("round \(round): five visitors are served", within: .seconds(12)) {
                            let options = [
                                "--address", Lab.relayAddress, "--port", "\(t.port)", "--connections", "5", "--bytes",
                                "1KiB",
                            ]
                            let visitors = try s.startVisitor("hitters", options, seconds: 1, in: world.lab.visitor)
                            defer { s.forget(visitors) }
                            return try await visitors.exit(within: .seconds(5)) == 0
                        }
                    }
                    crowd?.kill()
                    try #require(took < 8000, "round \(round): \(took) ms")
                }
                try #require(try await t.peer.verified(7000).port == t.port)
            }
        }

        @Test(
            "a link that is out for a while and back again has the port within 5 s of its return",
            arguments: Lab.NAT.allCases)
        func linkOut(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let t = try await world.tunnel(nat, "echo", port: 7000)
                try world.lab.setLink(nat, up: false)
                try await eventually("the relay's port refuses", within: .seconds(13)) {
                    let words = ["expect-refused", "--address", Lab.relayAddress, "--port", "\(t.port)"]
                    return try await s.run("expect-refused", Binaries.labtool(), words, in: world.lab.visitor).status
                        == 0
                }
                try await pass(.seconds(Scale.pick(5, long: 60)), because: "the link is out")
                try world.lab.setLink(nat, up: true)
                let took = try await s.firstAnswer(Lab.relayAddress, t.port, in: world.lab.visitor)
                try #require(took < 5000, "\(took) ms")
                try #require(try await t.peer.verified(7000).port == t.port)
            }
        }

        @Test("a relay killed and started again has every peer back on its port within 3 s")
        func relayKilled() async throws {
            try await scenario { s in
                let world = try await World(s)
                var ports: [Int] = []
                for nat in Lab.NAT.allCases { ports.append(try await world.tunnel(nat, "echo", port: 7000).port) }
                for absence in Scale.pick([1, 8], long: [1, 300]) {
                    world.relay.program.kill()
                    try await pass(.seconds(absence), because: "the relay is away")
                    try await world.relay.restart()
                    let start = ContinuousClock.now
                    for port in ports { _ = try await s.firstAnswer(Lab.relayAddress, port, in: world.lab.visitor) }
                    let took = (ContinuousClock.now - start).inMilliseconds
                    try #require(took < 3000, "after \(absence) s of absence: \(took) ms")
                }
            }
        }

        @Test("a port whose peer is cut off refuses as soon as the relay knows, and never accepts and drops")
        func silentPeer() async throws {
            try await scenario { s in
                let world = try await World(s)
                let t = try await world.tunnel(.ordinary, "echo", port: 7000)
                try world.lab.setLink(.ordinary, up: false)
                try await eventually("the relay's port refuses", within: .seconds(13)) {
                    let words = ["expect-refused", "--address", Lab.relayAddress, "--port", "\(t.port)"]
                    return try await s.run("expect-refused", Binaries.labtool(), words, in: world.lab.visitor).status
                        == 0
                }
                _ = try await world.visit("expect-refused", port: t.port, ["--times", "200"], seconds: 10)
            }
        }
    }
}
