import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// Meshes that are small, or of one network, or of another age: what holds attackers off must not hold these up.
    @Suite(.serialized, .enabled(if: DistantLab.isAvailable), .timeLimit(.minutes(10)))
    struct OddMeshTests {
        private func expectServed(_ town: MeshTown, _ home: Int, minimum: Int) async throws {
            for row in try await town.settled(home, minimum: minimum).prefix(2) {
                let host = row.address.map { $0.contains(":") ? "[\($0)]" : $0 } ?? ""
                let url = "http://\(host):\(row.port)/"
                #expect(try await town.scenario.curl(url, in: town.lab.visitor) == town.bodies[home])
            }
        }

        @Test("a mesh of two: one relay, one home that was told of it", arguments: [true, false])
        func two(isJoined: Bool) async throws {
            try await scenario { s in
                let town = try await MeshTown(s, relays: [.init(4)], isJoined: isJoined, awaitsHomes: false)
                let took = try await town.arrivals(of: 0..<1, relays: 1, within: .seconds(20))[0].first
                s.note("a mesh of two: verified after \(took) ms")
                #expect(took < 3_000)
                try await expectServed(town, 0, minimum: 1)
                // Nobody else is there to look for, and nobody is asked in vain for long.
                let asked = try await town.homes[0].command(["--mp", "\(MeshTown.local)"])
                #expect(asked.status == 0, "\(asked.stderr)")
            }
        }

        @Test("everybody is behind NAT but one relay: its peers prove it, and who only knows its address chooses it")
        func oneRelay() async throws {
            try await scenario { s in
                let town = try await MeshTown(
                    s, relays: [.init(4)], homes: 5, hard: 2, late: (homes: 1, relays: 0), awaitsHomes: false)
                let named = try await town.arrivals(of: 0..<4, relays: 1, within: .seconds(20)).map(\.first)
                let vouched = try await milliseconds {
                    try await eventually("its peers have dialled it", within: .seconds(60), every: .milliseconds(100)) {
                        try await town.relays[0].netcheck().reachable == "yes"
                    }
                }
                try await town.startHome(.seed)
                let chosen = try await town.arrivals(of: 4..<5, relays: 1, within: .seconds(60))[0].first
                s.note("one relay: named after \(named) ms; vouched for \(vouched) ms later; chosen after \(chosen) ms")
                #expect(named.allSatisfy { $0 < 4_000 } && vouched < 30_000 && chosen < 15_000)
                for home in 0..<5 { try await expectServed(town, home, minimum: 1) }
            }
        }

        @Test(
            "two relays prove each other, and homes behind a firewall work at both: also in IPv6 alone",
            arguments: [DistantLab.Addressing.oneNetwork, .ipv6])
        func twoRelays(_ addressing: DistantLab.Addressing) async throws {
            try await scenario { s in
                let town = try await MeshTown(
                    s, relays: [4, 8].map { .init($0) }, homes: 3, isNamed: false, late: (homes: 1, relays: 0),
                    addressing: addressing, awaitsHomes: false)
                try await town.startHome(.named)
                let times = try await town.arrivals(of: 0..<3, within: .seconds(60))
                s.note("two relays, \(addressing): \(times.map { "\($0.first)/\($0.both)" }) ms (auto, auto, named)")
                #expect(times.allSatisfy { $0.first < 8_000 && $0.both < 12_000 }, "\(times)")
                for home in 0..<3 { try await expectServed(town, home, minimum: 2) }
                #expect(try await town.homes[0].candidates().count { $0.isProven } == 2)
            }
        }

        /// Seconds to everything, in such a mesh.
        private func figures(
            _ addressing: DistantLab.Addressing
        ) async throws -> (arrivals: [MeshTown.Arrival], proven: Int) {
            var result: (arrivals: [MeshTown.Arrival], proven: Int) = ([], 0)
            try await scenario { s in
                let town = try await MeshTown(
                    s, relays: [4, 6, 8].map { .init($0) }, homes: 4, isNamed: false, addressing: addressing,
                    awaitsHomes: false)
                let times = try await town.arrivals(of: 0..<4, within: .seconds(40))
                try await eventually("all relays are proven", within: .seconds(40), every: .milliseconds(100)) {
                    for home in town.homes where try await home.candidates().count(where: \.isProven) < 3 {
                        return false
                    }
                    return true
                }
                let proven = (ContinuousClock.now - town.began[0]).inMilliseconds
                for home in 0..<4 { try await expectServed(town, home, minimum: 2) }
                s.note("\(addressing): \(times.map { "\($0.first)/\($0.both)" }) ms, all proven after \(proven) ms")
                result = (times, proven)
            }
            return result
        }

        @Test("all of one /24, as in a lab or an office: proven and verified as soon as with a network for each")
        func oneNetwork() async throws {
            let (near, apart) = (try await figures(.oneNetwork), try await figures(.spread))
            for (name, figures) in [("one network", near), ("spread", apart)] {
                #expect(figures.arrivals.allSatisfy { $0.both < 12_000 }, "\(name): \(figures)")
                #expect(figures.proven < 15_000, "\(name): \(figures)")
            }
            let (one, other) = (near.arrivals.map(\.both).max() ?? 0, apart.arrivals.map(\.both).max() ?? 0)
            // Rounds of gossip are a second apart.
            #expect(one < other + 3_000, "\(one) ms in one network, \(other) ms apart")
        }

        @Test("a home whose record's number is ten years ahead is heard again, by old acquaintances and new ones")
        func farAhead() async throws {
            try await scenario { s in
                let town = try await MeshTown(
                    s, relays: [4, 6, 8].map { .init($0) }, isNamed: false, late: (homes: 0, relays: 1))
                try await town.settled()
                let home = town.homes[0]
                let key = try await home.key()
                try #require(try await home.program.terminate() == 0)
                let spoil = "update own_record set issue = issue + 315360000000"
                let spoilt = try await s.run("sqlite3", "sqlite3", ["\(home.home)/ip_table.sqlite", spoil])
                try #require(spoilt.status == 0, "\(spoilt.stderr)")
                home.settings.nodeName = "healed"
                let start = ContinuousClock.now
                try await home.restart()
                try await town.startRelay()
                for relay in town.relays {
                    try await eventually("\(relay.settings.name) has its new record", within: .seconds(30)) {
                        try await relay.names()[key] == "healed"
                    }
                    s.note("\(relay.settings.name) knows the new record after \(ContinuousClock.now - start)")
                }
                try await town.settled(minimum: 2)
            }
        }

        /// `P2PRC_OLD_BINARY`, and with both exchanged the other way round.
        @Test(
            "nodes of a released program among new ones: every relay is proven, every home works at both",
            .enabled(if: Binaries.former != nil, "P2PRC_OLD_BINARY names no program"))
        func ages() async throws {
            try await scenario { s in
                let town = try await MeshTown(
                    s, relays: [4, 6].map { .init($0) }, homes: 4, isNamed: false, late: (homes: 4, relays: 1))
                try await town.startRelay(product: Binaries.former)
                for product in [nil, Binaries.former] {
                    try await town.startHome(.seed, product: product)
                    try await town.startHome(.named, product: product)
                }
                let times = try await town.arrivals(of: 0..<4, within: .seconds(40))
                let shown = times.map { "\($0.first)/\($0.both)" }
                s.note("old and new: \(shown) ms (own: auto, named; former: auto, named)")
                // A former one looks at a relay whose witness it has not heard of yet again after 15 s.
                #expect(times.allSatisfy { $0.first < 10_000 && $0.both < 30_000 }, "\(times)")
                for home in 0..<4 {
                    try await expectServed(town, home, minimum: 2)
                    try await eventually("both are proven", within: .seconds(30), every: .milliseconds(200)) {
                        try await town.homes[home].candidates().count(where: \.isProven) == 2
                    }
                }
                for relay in town.relays {
                    try await eventually("it is reachable", within: .seconds(30), every: .milliseconds(200)) {
                        try await relay.netcheck().reachable == "yes"
                    }
                }
            }
        }
    }
}
