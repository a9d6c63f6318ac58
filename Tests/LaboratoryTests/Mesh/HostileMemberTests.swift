import Foundation
import PeerCore
import PeerWire
import TestSupport
import Testing

extension LaboratoryTests {
    /// One member with keys of its own making, and what it cannot do to the mesh of the others.
    @Suite(.serialized, .enabled(if: DistantLab.isAvailable), .timeLimit(.minutes(Scale.pick(10, long: 25))))
    struct HostileMemberTests {
        private func key(of node: Node) async throws -> NodeKey { NodeKey(try await node.key())! }

        private var now: Int64 { Int64(Date.now.timeIntervalSince1970) }

        @Test(
            "thirty-four keys that say it is ten years later move no node's clock, nor a record's number over a restart"
        )
        func clock() async throws {
            try await scenario { s in
                let town = try await MeshTown(s, relays: [4, 6, 8].map { .init($0) })
                try await town.settled()
                let (host, victim) = (town.lab.relayAddress(0), try await key(of: town.relays[0]))
                for number in UInt64(0)..<34 {
                    let attacker = try Attacker(1_000 + number, in: town.lab.visitor)
                    _ = try await attacker.ask(host, victim, time: now + 315_360_000)
                }
                let witness = try Attacker(1, in: town.lab.visitor)
                let said = try await witness.ask(host, victim, time: now)
                #expect(abs(said.time - now) < 60, "it says \(said.time)")
                #expect(said.lists.flatMap(\.entries).count >= 4, "rows are lost")
                #expect(try await town.relays[0].program.terminate() == 0)
                let restarted = now
                try await town.relays[0].restart()
                // Others take what it writes from then on.
                let other = try await key(of: town.relays[1])
                try await eventually("another node has its new record", within: .seconds(20), every: .milliseconds(250))
                {
                    let lists = try await witness.ask(town.lab.relayAddress(1), other, time: now).lists
                    let issue = lists.flatMap(\.entries).first { $0.tag == victim.tag }?.issue ?? 0
                    return issue >= UInt64(restarted) * 1_000 && issue < UInt64(now + 300) * 1_000
                }
                try await town.settled()
            }
        }

        /// How many SYNs came to a host from whom.
        private struct SYNs {
            let place: Place

            init(at place: Place) throws {
                self.place = place
                try run([
                    "nft",
                    "add table inet syns; "
                        + "add set inet syns seen { type ipv4_addr; size 1024; flags dynamic; counter; }; "
                        + "add chain inet syns coming { type filter hook prerouting priority -300; }; "
                        + "add rule inet syns coming tcp flags & (syn|ack) == syn tcp dport 443 "
                        + "update @seen { ip saddr }",
                ])
            }

            @discardableResult
            private func run(_ words: [String]) throws -> String {
                let result = try Ran(["ip", "netns", "exec", place.namespace!] + words)
                guard result.status == 0 else { throw Failure("\(words): \(result.words)") }
                return result.words
            }

            var bySource: [String: Int] {
                get throws {
                    let text = try run(["nft", "list", "set", "inet", "syns", "seen"])
                    var counts: [String: Int] = [:]
                    for match in text.matches(of: /(7\.\d+\.\d+\.\d+) counter packets (\d+)/) {
                        counts[String(match.1)] = Int(match.2)
                    }
                    return counts
                }
            }
        }

        @Test(
            "fifteen hundred made-up relays: a stranger's host is left alone, newcomers are proven and served as before"
        )
        func madeUp() async throws {
            try await scenario { s in
                let town = try await MeshTown(
                    s, relays: [8, 4, 6].map { .init($0) }, homes: 3, isNamed: false,
                    late: (homes: 2, relays: 1))
                try await town.settled()
                let before = try await milliseconds {
                    try await town.startHome()
                    try await town.settled(1)
                }
                _ = try await s.service("http", port: 443, ["--body", "a stranger"], in: town.lab.visitor)
                let counter = try SYNs(at: town.lab.visitor)
                let friends = [
                    try Attacker(1, in: town.lab.visitor), try Attacker(2, in: town.lab.visitor),
                ]
                let address = NodeAddress(host: HostAddress("7.13.0.50")!, port: 443)!
                let made = try Attacker.madeUp(1_500, from: 10_000, at: address, by: friends)
                let (host, seed) = (town.lab.relayAddress(0), try await key(of: town.relays[0]))
                for friend in friends {
                    let own = GossipDifference(time: now, room: 0, records: [try friend.plainRecord()])
                    #expect(try await friend.post(own.bytes, to: host, seed).status == 200)
                }
                var rest = made[...]
                while !rest.isEmpty {
                    let part = GossipDifference(time: now, room: 0, records: Array(rest.prefix(12)))
                    rest = rest.dropFirst(12)
                    try await eventually("it is taken", within: .seconds(20), every: .milliseconds(50)) {
                        try await friends[0].post(part.bytes, to: host, seed).status == 200
                    }
                }
                try await eventually("the rows are everywhere", within: .seconds(60)) {
                    try await town.homes[0].command(["--ls"], within: .seconds(30)).stdout.split(separator: "\n").count
                        > 1_200
                }
                let relay = try await town.startRelay()
                let proven = try await milliseconds {
                    try await eventually("the new relay is proven", within: .seconds(60), every: .milliseconds(100)) {
                        try await town.homes[0].candidates().contains {
                            $0.name == relay.settings.nodeName && $0.isProven
                        }
                    }
                }
                let after = try await milliseconds {
                    try await town.startHome()
                    try await town.settled(2)
                }
                try await Task.sleep(for: .seconds(Scale.isLong ? 780 : 45))
                let syns = try counter.bySource
                s.note(
                    "auto: two verified after \(before) ms without, \(after) ms with; the relay proven after \(proven) "
                        + "ms; SYNs \(syns)"
                )
                // What is due is looked at once a second.
                #expect(after < before * 3 / 2 + 1_000, "\(before) ms before, \(after) ms with made-up rows")
                #expect(proven < 20_000)
                #expect(syns.values.allSatisfy { $0 <= 5 }, "\(syns)")
                let listed = try await town.homes[2].command(["--view-rps", "--explain"]).stdout
                #expect(
                    listed.split(separator: "\n").prefix(6).count { $0.contains("7.13.0.1") } >= 3,
                    "\(listed.prefix(600))")
            }
        }

        @Test("who asks for dial-backs from many networks, to ports that drop them, keeps no witness from the others")
        func busy() async throws {
            try await scenario { s in
                let town = try await MeshTown(s, relays: [4].map { .init($0) }, walls: 1)
                try await town.settled(minimum: 1)
                let place = town.lab.wall(0)
                try town.lab.sendFromNetworks(10, of: place, at: town.lab.wallAddress(0))
                let (host, witness) = (town.lab.relayAddress(0), try await key(of: town.relays[0]))
                let isOn = Locked(true)
                let asked = Locked(0)
                let flood = (0..<10).map { worker in
                    Task {
                        var number: UInt64 = 50_000 + UInt64(worker) * 1_000
                        while isOn.with({ $0 }) {
                            number += 1
                            let attacker = try Attacker(number, in: place)
                            let request = DialBackRequest(nonce: [UInt8](repeating: 1, count: 32), port: 9_999)
                            let answer = try? await attacker.post(request.bytes, to: host, witness)
                            if answer?.status == 200 { asked.with { $0 += 1 } }
                        }
                    }
                }
                try await eventually("the flood is on", within: .seconds(20)) { asked.with { $0 } > 12 }
                let honest = try Attacker(7, in: town.lab.visitor)
                var outcomes: [DialBackAnswer.Outcome] = []
                for _ in 0..<4 {
                    let request = DialBackRequest(nonce: [UInt8](repeating: 2, count: 32), port: 8_443)
                    let answer = try await honest.post(request.bytes, to: host, witness)
                    outcomes.append(try #require(DialBackAnswer(answer.body)).outcome)
                }
                isOn.with { $0 = false }
                for task in flood { try await task.value }
                s.note("\(asked.with { $0 }) answers for the flood; honest outcomes \(outcomes)")
                // Nobody listens there; what matters is that it was tried.
                #expect(outcomes == [.notReached, .notReached, .notReached, .notReached])
            }
        }
    }
}
