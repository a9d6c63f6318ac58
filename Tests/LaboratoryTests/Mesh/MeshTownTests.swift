import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// Nodes that have nothing but one address, in an internet with distance.
    @Suite(.serialized, .enabled(if: DistantLab.isAvailable), .timeLimit(.minutes(20)))
    struct MeshTownTests {
        @Test("twelve namespaces, one seed: every home has a verified address, every node lists every relay")
        func oneSeed() async throws {
            // A machine that stands still for some seconds is no fault of the program: it does not do so twice.
            do {
                try await allKnown()
            } catch  where "\(error)".contains(Self.slow) {
                print("a first town was slow, a second one must not be:\n\(error)")
                try await allKnown()
            }
        }

        private static let slow = "all was known only after"

        private func allKnown() async throws {
            try await scenario { s in
                let town = try await MeshTown(s, relays: [5, 20, 40].map { .init($0) }, homes: 3, walls: 1)
                try #require(town.lab.size == 12)
                let names = Set(["relay0", "relay1", "relay2"])
                let took = try await milliseconds {
                    for home in town.homes {
                        try await home.verified(MeshTown.local, within: .seconds(10))
                        s.note("\(home.settings.name) was verified at \(Date.now)")
                    }
                    for node in town.relays + town.homes {
                        try await eventually("\(node.settings.name) lists every relay", within: .seconds(20)) {
                            Set(try await node.viewRPS().compactMap(\.serverName)).isSuperset(of: names)
                        }
                        s.note("\(node.settings.name) listed every relay at \(Date.now)")
                    }
                }
                guard took < 10_000 else { throw Failure("\(Self.slow) \(took) ms") }
                for (index, body) in town.bodies.enumerated() {
                    for row in try await town.settled(index) {
                        #expect(try await s.curl("http://\(MeshTown.address(row))/", in: town.lab.visitor) == body)
                    }
                }
                // It claims to be a relay, and nobody has a session there or could.
                try await town.walls[0].program.line(
                    containing: "other nodes cannot reach this node", within: .seconds(60))
                let wall = "\(town.lab.wallAddress(0)):8088"
                for home in town.homes {
                    #expect(try await !home.viewRPS().contains { $0.address == wall && $0.state != "known" })
                    #expect(home.program.find("relay \(wall)") == nil)
                }
            }
        }

        @Test("a node that only knows a seed chooses by itself, and exposes its server port too")
        func plain() async throws {
            try await scenario { s in
                let town = try await MeshTown(s, relays: [30, 4, 8].map { .init($0) }, isNamed: false)
                let rows = try await town.settled()
                #expect(Set(rows.map(\.port)).count == 1)
                #expect(rows.first?.address == town.lab.relayAddress(1))
                #expect(try await s.curl("http://\(MeshTown.address(rows[0]))/", in: town.lab.visitor) == "home 0")
                try await eventually("the server port is exposed", within: .seconds(20)) {
                    try await town.homes[0].viewRPM().contains { $0.isServerPort && $0.state == "verified" }
                }
                let asked = try await town.homes[0].command(["--connect-reverse-proxy", "auto"])
                #expect(asked.status == 0 && asked.stdout.contains("this node chooses"), "\(asked.stderr)")
            }
        }

        @Test("a mapping that is for some visitors alone is verified, though the other relay is none of them")
        func forSome() async throws {
            try await scenario { s in
                let town = try await MeshTown(s, relays: [4, 8].map { .init($0) })
                try await town.settled()
                let home = town.homes[0]
                let few = try await home.command(
                    ["--mp", "\(MeshTown.local)", "--name", "few", "--allow", "\(town.lab.visitorAddress)/32"],
                    within: .seconds(30))
                #expect(few.status == 0, "\(few.stdout)\(few.stderr)")
                try await throughout(.seconds(15), "it works for them") {
                    try await pass(.milliseconds(500), because: "asking costs")
                    let rows = try await town.verified()
                    return rows.count == 2
                }
                for row in try await town.verified() {
                    #expect(try await s.curl("http://\(MeshTown.address(row))/", in: town.lab.visitor) == "home 0")
                }
                let explained = try await home.command(["--view-rps", "--explain"])
                #expect(!explained.stdout.contains("cannot be reached"), "\(explained.stdout)")
            }
        }

        @Test(
            "the nearest of five is used first; when it becomes slow it is left within 30 s, and the next best is used")
        func nearest() async throws {
            try await scenario { s in
                // The seed is one of the far ones.
                let town = try await MeshTown(s, relays: [80, 20, 5, 40, 150].map { .init($0) }, homes: 2)
                var misses: [String] = []
                for round in 0..<Scale.pick(1, long: 50) {
                    for home in 0..<2 {
                        if round > 0 { try await town.restart(home) }
                        let rows = try await town.settled(home)
                        let nearest = town.lab.relayAddress(2)
                        // The seed was named and comes first; what is chosen beside it is what counts.
                        if !rows.contains(where: { $0.address == nearest }) { misses.append("\(round): \(rows)") }
                        try await eventually("home\(home) uses the nearest first", within: .seconds(40)) {
                            try await town.verified(home).first?.address == nearest
                        }
                    }
                }
                #expect(misses.count <= 1, "\(misses)")
                try town.lab.setDistance(ofRelay: 2, .init(65))
                let took = try await milliseconds {
                    for home in 0..<2 {
                        try await eventually("home\(home) uses the next best first", within: .seconds(45)) {
                            try await town.verified(home).first?.address == town.lab.relayAddress(1)
                        }
                    }
                }
                s.note("moved after \(took) ms")
                #expect(took < 30_000, "it took \(took) ms")
                // Back, and not at once: five minutes' best is what counts, but it is clearly better again.
                try town.lab.setDistance(ofRelay: 2, .init(5))
                try await eventually("the nearest is first again", within: .seconds(40)) {
                    try await town.verified(0).first?.address == town.lab.relayAddress(2)
                }
            }
        }

        @Test("a link that is good and bad by turns of 15 s changes the first address three times at most")
        func goodAndBad() async throws {
            try await scenario { s in
                let file = "\(s.folder)/hook"
                let town = try await MeshTown(
                    s, relays: [25, 5].map { .init($0) }, config: "hook = 'echo $P2PRC_HOSTS >> \(file)'",
                    isNamed: false)
                try await town.settled()
                let near = town.lab.relayAddress(1)
                try await eventually("the nearer one is first", within: .seconds(40)) {
                    try await town.verified().first?.address == near
                }
                var firsts = [near]
                for round in 0..<Scale.pick(6, long: 12) {
                    try town.lab.setDistance(ofRelay: 1, .init(round % 2 == 0 ? 65 : 5))
                    let end = ContinuousClock.now + .seconds(15)
                    try await eventually("15 s are over", within: .seconds(30), every: .milliseconds(300)) {
                        if let first = try await town.verified().first?.address, first != firsts.last {
                            firsts.append(first)
                        }
                        return ContinuousClock.now >= end
                    }
                }
                s.note("first were \(firsts)")
                #expect(firsts.count - 1 >= 1 && firsts.count - 1 <= 3, "\(firsts)")
            }
        }

        @Test("two relays within 5 ms of each other do not take turns")
        func sticky() async throws {
            try await scenario { s in
                let file = "\(s.folder)/hook"
                let town = try await MeshTown(
                    s, relays: [.init(22, jitter: 2), .init(20, jitter: 2), .init(24, jitter: 2)],
                    config: "hook = 'echo $P2PRC_HOSTS >> \(file)'")
                try await town.settled()
                func firsts() -> [Substring] {
                    let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
                    return text.split(separator: "\n").compactMap { $0.split(separator: " ").first }
                }
                try await eventually("the hook heard of both", within: .seconds(10)) { !firsts().isEmpty }
                let before = firsts().count
                try await pass(.seconds(Scale.pick(25, long: 600)), because: "they could take turns meanwhile")
                let all = firsts()
                let changes = zip(all.dropFirst(before - 1), all.dropFirst(before)).count { $0 != $1 }
                #expect(changes <= 1, "\(all)")
            }
        }

        @Test(
            "a home that starts before its relays goes back to them, with the number that it had",
            arguments: Scale.pick([0], long: [0, 60]))
        func startsFirst(seconds: Int) async throws {
            try await scenario { s in
                let town = try await MeshTown(s, relays: [10, 12, 14].map { .init($0) }, isNamed: false)
                let before = Set(try await town.settled().prefix(2).map(MeshTown.address))
                for node in [town.homes[0], town.relays[0], town.relays[1]] { node.program.signal(SIGKILL) }
                for node in [town.homes[0], town.relays[0], town.relays[1]] { _ = try await node.program.exit() }
                try await town.homes[0].restart()
                try await eventually("somebody serves meanwhile", within: .seconds(30)) {
                    try await !town.verified().isEmpty
                }
                try await pass(.seconds(seconds), because: "their machines take so long to start")
                try await town.relays[0].restart()
                try await town.relays[1].restart()
                let took = try await milliseconds {
                    try await eventually("it is back", within: .seconds(30), every: .milliseconds(250)) {
                        let now = try await town.verified().map(MeshTown.address)
                        return now.count >= 2 && Set(now.prefix(2)) == before
                    }
                }
                s.note("back after \(took) ms")
            }
        }

        @Test("of two relays that died the one that comes back is proven and used, though the other one stays away")
        func oneOfTwo() async throws {
            try await scenario { s in
                let town = try await MeshTown(
                    s, relays: [20, 4, 6].map { .init($0) }, homes: 2, isNamed: false, late: (homes: 1, relays: 0))
                try await town.settled()
                for relay in town.relays.dropFirst() {
                    relay.program.signal(SIGKILL)
                    _ = try await relay.program.exit()
                }
                try await eventually("the home is at the one that is left", within: .seconds(30)) {
                    try await town.verified().map(\.address) == [town.lab.relayAddress(0)]
                }
                try await town.relays[1].restart()
                let took = try await milliseconds {
                    try await eventually("the home is back at the nearer one", within: .seconds(30)) {
                        try await town.verified().first?.address == town.lab.relayAddress(1)
                    }
                }
                let fresh = try await milliseconds {
                    try await town.startHome()
                    try await town.settled(1)
                }
                s.note("back after \(took) ms, a new home at both after \(fresh) ms")
                try #require(fresh < 15_000)
            }
        }
    }
}
