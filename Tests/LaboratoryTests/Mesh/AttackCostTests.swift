import Foundation
import PeerCore
import PeerWire
import TestSupport
import Testing

extension LaboratoryTests {
    /// What a node spends on those who attack it. Whoever connects makes it pay for a handshake; that is told apart, by
    /// as many questions that are refused at their first byte. Most of it takes minutes, and runs in the long form.
    @Suite(.serialized, .enabled(if: DistantLab.isAvailable), .timeLimit(.minutes(10)))
    struct AttackCostTests {
        private static let span = Duration.seconds(20)
        /// Of a core: what the mesh may cost under attack beside connections.
        private static let bound = 0.05

        /// Others that ask one relay.
        private struct Askers: Sendable {
            let attackers: [Attacker]
            let host: String
            let key: NodeKey

            init(_ count: Int, from first: UInt64, in place: Place, _ town: MeshTown) async throws {
                attackers = try (0..<UInt64(count)).map { try Attacker(first + $0, in: place) }
                host = town.lab.relayAddress(0)
                key = NodeKey(try await town.relays[0].key())!
            }

            func ask(_ number: Int, _ body: [UInt8], isAlone: Bool) async -> Int {
                (try? await attackers[number % attackers.count].post(body, to: host, key, isAlone: isAlone).status) ?? 0
            }
        }

        private func note(_ s: Scenario, _ what: String, _ spent: Spent, above idle: Spent) {
            s.note("\(what): \(spent); each \(String(format: "%.2f", spent.each(above: idle))) ms")
        }

        @Test(
            "forged bodies, clocks and dial-backs fifty times a second cost a relay little more than their connections",
            .enabled(if: Scale.isLong)
        )
        func questions() async throws {
            try await scenario { s in
                let town = try await MeshTown(s, relays: [4, 6].map { .init($0) }, homes: 0, walls: 1)
                let wall = town.lab.wall(0)
                try town.lab.sendFromNetworks(10, of: wall, at: town.lab.wallAddress(0))
                let one = try await Askers(1, from: 1_000, in: town.lab.visitor, town)
                let ten = try await Askers(10, from: 2_000, in: wall, town)
                let many = try await Askers(34, from: 3_000, in: wall, town)
                let relay = town.relays[0]
                func spent(
                    _ askers: Askers, _ body: [UInt8], perSecond: Int = 50, isAlone: Bool = true
                ) async throws -> Spent {
                    try await Spent(by: relay, for: Self.span) {
                        await Spent.paced(perSecond, for: Self.span) { await askers.ask($0, body, isAlone: isAlone) }
                    }
                }
                // Twice as long as the fast rounds of a node that began just now.
                try await pass(.seconds(16), because: "a node that begins asks around")
                let idle = try await Spent(by: relay, for: Self.span)
                s.note("idle: \(idle)")
                let forged = try Attacker.forged()
                let body = forged.bytes
                // Nobody's question, and of that length.
                let (nothing, much) = ([UInt8(0x7f)], [0x7f] + [UInt8](repeating: 0, count: body.count - 1))
                let refused = try await spent(ten, nothing)
                note(s, "one byte, connections of their own", refused, above: idle)
                let refusedKept = try await spent(ten, nothing, isAlone: false)
                note(s, "one byte, connections kept", refusedKept, above: idle)
                let long = try await spent(ten, much)
                note(s, "\(body.count) bytes of nothing, connections of their own", long, above: idle)
                let longKept = try await spent(ten, much, isAlone: false)
                note(s, "\(body.count) bytes of nothing, connections kept", longKept, above: idle)

                let time = Int64(Date.now.timeIntervalSince1970) + 315_360_000
                let digest = GossipDigest(time: time, records: 0, sums: [0])!.bytes
                for number in many.attackers.indices { #expect(await many.ask(number, digest, isAlone: true) == 200) }
                let clocks = try await spent(many, digest, perSecond: 20)
                note(s, "\(many.attackers.count) wrong clocks, and 20 a second", clocks, above: idle)
                let dialBack = DialBackRequest(nonce: [UInt8](repeating: 1, count: 32), port: 9_999).bytes
                let dialled = try await spent(ten, dialBack)
                note(s, "dial-backs from ten networks", dialled, above: idle)
                // Right but for its end: nobody is barred for it, so it is read each time.
                let broken = try await spent(ten, Array(body.dropLast()), isAlone: false)
                note(s, "\(forged.records.count) records and no end, connections kept", broken, above: idle)
                let fromOne = try await spent(one, body)
                note(
                    s, "\(forged.records.count) forged records from one address, connections of their own", fromOne,
                    above: idle)
                let fromOneKept = try await spent(one, body, isAlone: false)
                note(s, "the same, connection kept", fromOneKept, above: idle)
                let fromTen = try await spent(ten, body)
                note(s, "the same from ten networks, connections of their own", fromTen, above: idle)
                let fromTenKept = try await spent(ten, body, isAlone: false)
                note(s, "the same, connections kept", fromTenKept, above: idle)
                for (attack, nothing) in [
                    (fromOne, long), (fromTen, long), (fromOneKept, longKept), (fromTenKept, longKept),
                    (broken, longKept), (dialled, refused),
                ] {
                    #expect(attack.share - nothing.share < Self.bound, "\(attack), and for nothing \(nothing)")
                }
                // A request costs what it costs, and more while others use the machine.
                for kept in [fromOneKept, fromTenKept, broken] {
                    #expect(kept.share - idle.share < Self.bound * 1.6, "\(kept)")
                }
                #expect(clocks.share - idle.share - 20 * refused.each(above: idle) / 1_000 < Self.bound, "\(clocks)")
                for spent in [clocks, dialled, broken, fromOne, fromOneKept, fromTen, fromTenKept] {
                    #expect(spent.medianWait < 500, "\(spent)")
                }
            }
        }

        @Test(
            "fifteen hundred made-up relays in its table: a relay spends nearly nothing on them",
            .enabled(if: Scale.isLong))
        func rows() async throws {
            try await scenario { s in
                let town = try await MeshTown(s, relays: [4, 6].map { .init($0) }, homes: 0)
                let askers = try await Askers(2, from: 1, in: town.lab.visitor, town)
                let relay = town.relays[0]
                try await pass(.seconds(16), because: "a node that begins asks around")
                let idle = try await Spent(by: relay, for: Self.span)
                s.note("idle: \(idle)")
                let now = Int64(Date.now.timeIntervalSince1970)
                let address = NodeAddress(host: HostAddress("7.13.0.50")!, port: 443)!
                _ = try await s.service("http", port: 443, ["--body", "a stranger"], in: town.lab.visitor)
                for (index, friend) in askers.attackers.enumerated() {
                    let own = GossipDifference(time: now, room: 0, records: [try friend.plainRecord()])
                    #expect(await askers.ask(index, own.bytes, isAlone: true) == 200)
                }
                let made = try Attacker.madeUp(1_500, from: 10_000, at: address, by: askers.attackers)
                for start in stride(from: 0, to: made.count, by: 12) {
                    let part = GossipDifference(
                        time: now, room: 0, records: Array(made[start..<min(start + 12, made.count)]))
                    try await eventually("it is taken", within: .seconds(20), every: .milliseconds(50)) {
                        await askers.ask(0, part.bytes, isAlone: false) == 200
                    }
                }
                let first = try await Spent(by: relay, for: Self.span)
                s.note("made-up relays, at once: \(first)")
                try await eventually("the other one has them", within: .seconds(60), every: .seconds(1)) {
                    try await town.relays[1].knownKeys().count > 1_400
                }
                let later = try await Spent(by: relay, for: Self.span * 2)
                s.note("made-up relays, standing: \(later)")
                #expect(later.share - idle.share < Self.bound, "\(later)")
                #expect(later.medianWait < 500, "\(later)")
            }
        }

        @Test(
            "a /56 of IPv6 fills a relay's places; a newcomer that talks to it is in its table at once, and stays"
        )
        func prefix() async throws {
            try await scenario { s in
                let town = try await MeshTown(s, relays: [4, 6].map { .init($0) }, homes: 0, late: (0, 1))
                let (place, host) = (town.lab.visitor, town.lab.relayAddress6(0))
                try town.lab.sendFromPrefixes(256, of: place)
                let relay = town.relays[0]
                let key = NodeKey(try await relay.key())!
                let memory = try relay.program.facts().memory
                let idle = try await Spent(by: relay, for: .seconds(5))
                let refused = try await Spent(by: relay, for: Self.span) {
                    guard let one = try? Attacker(1, in: place) else { return [:] }
                    return await Spent.paced(50, for: Self.span) { _ in
                        (try? await one.post([0x7f], to: host, key).status) ?? 0
                    }
                }
                note(s, "one byte, connections of their own", refused, above: idle)
                // Those that are met have 4,096 places, and all together 16,384.
                let count = Scale.pick(4_400, long: 16_500)
                let next = Locked(0)
                @Sendable func flood(while isOn: @escaping @Sendable (Int) -> Bool) async -> [Int: Int] {
                    await withTaskGroup(of: [Int: Int].self) { group in
                        for _ in 0..<12 {
                            group.addTask {
                                var statuses: [Int: Int] = [:]
                                while true {
                                    let number = next.with { number in
                                        number += 1
                                        return number
                                    }
                                    guard isOn(number) else { return statuses }
                                    let told = await Self.introduce(100_000 + UInt64(number), in: place, to: host, key)
                                    for status in told { statuses[status, default: 0] += 1 }
                                }
                            }
                        }
                        return await group.reduce(into: [:]) { $0.merge($1, uniquingKeysWith: +) }
                    }
                }
                let flooded = try await Spent(by: relay, for: .zero) { await flood { $0 <= count } }
                note(s, "\(count) nodes out of 256 /64s", flooded, above: idle)
                let rows = try await relay.knownKeys().count
                s.note("\(rows) rows; \(memory) KiB before, \(try relay.program.facts().memory) KiB with them")
                #expect(flooded.answers[200] ?? 0 > count * 99 / 100, "\(flooded)")
                #expect(rows > count * 95 / 100 || rows > 16_000, "\(rows) rows")
                // It goes on meanwhile.
                let isOn = Locked(true)
                async let more = flood { _ in isOn.with { $0 } }
                let newcomer = try await milliseconds {
                    let honest = try await town.startRelay()
                    try await honest.listening()
                    let own = try await honest.key()
                    try await eventually("it is in the table", within: .seconds(30), every: .milliseconds(200)) {
                        try await relay.knownKeys().contains(own)
                    }
                }
                s.note("the newcomer is in the table after \(newcomer) ms")
                #expect(newcomer < 10_000, "it took \(newcomer) ms")
                let own = try await town.relays[1].key()
                try await throughout(.seconds(Scale.pick(15, long: 60)), "the newcomer is in the table") {
                    try await Task.sleep(for: .seconds(1))
                    return try await relay.knownKeys().contains(own)
                }
                isOn.with { $0 = false }
                s.note("\(await more) more meanwhile")
                #expect(flooded.each(above: idle) - refused.each(above: idle) < 1, "\(flooded)")
                #expect(flooded.medianWait < 500, "\(flooded)")
            }
        }

        /// A node of that number posts its own record, for a day, until it is taken; the statuses of the answers.
        private static func introduce(_ number: UInt64, in place: Place, to host: String, _ key: NodeKey) async -> [Int]
        {
            guard let node = try? Attacker(number, in: place), let record = try? node.plainRecord(lifetime: 86_400)
            else { return [] }
            let now = Int64(Date.now.timeIntervalSince1970)
            let body = GossipDifference(time: now, room: 0, records: [record]).bytes
            var statuses: [Int] = []
            while statuses.last != 200, statuses.count < 20 {
                if !statuses.isEmpty { try? await Task.sleep(for: .milliseconds(50)) }
                statuses.append((try? await node.post(body, to: host, key).status) ?? 0)
            }
            return statuses
        }
    }
}
