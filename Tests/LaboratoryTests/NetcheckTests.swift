import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// What `p2prc netcheck` says of the kinds of NAT that the laboratory has, and of a host without one.
    @Suite(.serialized, .timeLimit(.minutes(4)))
    struct NetcheckTests {
        /// A part of `netcheck --json`.
        struct Standing: Decodable, Equatable, CustomStringConvertible {
            struct NAT: Decodable, Equatable {
                var mapping: String
                var filtering: String
                var keepsPorts: Bool?
                var seenAt: [String]
                var witnesses = 2

                enum CodingKeys: String, CodingKey {
                    case mapping = "Mapping"
                    case filtering = "Filtering"
                    case keepsPorts = "Keeps_ports"
                    case seenAt = "Seen_at"
                    case witnesses = "Witnesses"
                }
            }

            var reachable: String
            var reachableAt: [String]
            var nat: NAT

            enum CodingKeys: String, CodingKey {
                case reachable = "Reachable"
                case reachableAt = "Reachable_at"
                case nat = "Nat"
            }

            var description: String {
                let ports = nat.keepsPorts.map { "\($0)" } ?? "-"
                return "reachable \(reachable) \(reachableAt), mapping \(nat.mapping), filtering \(nat.filtering), "
                    + "keeps ports \(ports), seen at \(nat.seenAt) by \(nat.witnesses)"
            }
        }

        private func netcheck(_ node: Node) async throws -> Standing {
            let asked = try await node.command(["netcheck", "--json"])
            try #require(asked.status == ExitCode.fine, "\(asked.stderr)")
            node.scenario.forget(asked.program)
            return try JSONDecoder().decode(Standing.self, from: Data(asked.stdout.utf8))
        }

        private func expect(_ wanted: Standing, of node: Node) async throws {
            var seen: Standing?
            try await eventually(
                "\(node.settings.name) says: \(wanted); seen: \(seen.map { "\($0)" } ?? "-")",
                within: .seconds(60), every: .milliseconds(500)
            ) {
                var standing = try await netcheck(node)
                seen = standing
                // More may be known by then.
                if standing.nat.witnesses > 2 { standing.nat.witnesses = 2 }
                return standing == wanted
            }
        }

        @Test("the kind of NAT is what two relays at different hosts have seen, and dial-backs have shown")
        func kinds() async throws {
            try await scenario { s in
                let world = try await World(s)
                let relays = [world.relay, try await world.secondRelay()]
                let addresses = [Lab.relayAddress, Lab.relay2Address]
                let homes = try await [
                    world.peer(behind: .ordinary) { $0.relays = addresses },
                    world.peer(behind: .hard) { $0.relays = addresses },
                ]
                let place = world.lab.third
                let open = try await s.peer("public", of: world.relay) {
                    $0.place = place
                    $0.bind = nil
                    $0.serverPort = 8088
                    $0.relays = addresses
                }
                let behind = Standing.NAT(
                    mapping: "endpoint-independent", filtering: "filtered", keepsPorts: true,
                    seenAt: ["203.0.113.101"])
                try await expect(Standing(reachable: "no", reachableAt: [], nat: behind), of: homes[0])
                var hard = behind
                (hard.mapping, hard.keepsPorts, hard.seenAt) = ("endpoint-dependent", false, ["203.0.113.102"])
                try await expect(Standing(reachable: "no", reachableAt: [], nat: hard), of: homes[1])
                let none = Standing.NAT(
                    mapping: "none", filtering: "none", keepsPorts: nil, seenAt: ["203.0.113.60"])
                try await expect(
                    Standing(reachable: "yes", reachableAt: ["203.0.113.60:8088"], nat: none), of: open)
                for node in relays { s.note("\(node.settings.name): \(try await netcheck(node))") }
                let text = try await homes[1].command(["netcheck"])
                try #require(
                    text.stdout.contains(
                        "mapping endpoint-dependent, ports change; incoming connections are filtered; "),
                    "\(text.stdout)")
            }
        }
    }
}
