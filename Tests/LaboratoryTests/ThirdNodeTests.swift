import TestSupport
import Testing

extension LaboratoryTests {
    /// A peer joined to two relays has each look at its port of the other: from outside, and not through its own NAT.
    @Suite(.serialized, .timeLimit(.minutes(8)))
    struct ThirdNodeTests {
        /// The laboratory's internet is a network for documentation, so nobody dials it on others' word otherwise. A
        /// relay looks only where it has met another one, and that it hears of it through the peer takes some seconds.
        private static let dialsLaboratory = "[mesh]\ndial = [\"203.0.113.0/24\"]\n"

        /// Waits until the mapping of 7000 at each of these relays is verified by this node and by one more.
        private func expectTwoVerifiers(_ peer: Node, at relays: [String]) async throws {
            for relay in relays {
                var seen: [MappingRow] = []
                try await eventually("the mapping at \(relay) has two verifiers", within: .seconds(90)) {
                    seen = try await peer.viewRPM().filter { $0.leads(to: 7000) }
                    let row = seen.first { $0.relay == "\(relay):8088" && $0.state == "verified" }
                    guard let verifiers = row?.verifiedBy, verifiers.contains("this node") else { return false }
                    return Set(verifiers).count == 2
                }
            }
        }

        @Test("a port at one relay is verified by the other relay too, each way", arguments: Lab.NAT.allCases)
        func both(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                _ = try await world.secondRelay()
                _ = try await s.service("echo", port: 7000, in: world.lab.home(nat))
                let peer = try await world.peer(behind: nat, mappings: ["7000"]) {
                    $0.relays = [Lab.relayAddress, Lab.relay2Address]
                    $0.config = Self.dialsLaboratory
                }
                try await expectTwoVerifiers(peer, at: [Lab.relayAddress, Lab.relay2Address])
            }
        }

        @Test("a port for TCP and UDP is looked at both ways by the other relay")
        func datagrams() async throws {
            try await scenario { s in
                let world = try await World(s)
                _ = try await world.secondRelay()
                _ = try await s.service("echo", port: 7000, in: world.lab.home(.ordinary))
                let bound =
                    "import socket; s=socket.socket(2,2); s.bind(('127.0.0.1',7000)); print('ready',flush=True); "
                let program = try s.start(
                    "bound", "python3", ["-c", bound + "s.recv(1)"], in: world.lab.home(.ordinary))
                try await program.line(containing: "ready")
                let peer = try await world.peer(behind: .ordinary) {
                    $0.relays = [Lab.relayAddress, Lab.relay2Address]
                    $0.config = Self.dialsLaboratory
                }
                let made = try await peer.command(["--mp", "7000", "--both"], within: .seconds(30))
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                try await expectTwoVerifiers(peer, at: [Lab.relayAddress, Lab.relay2Address])
                try #require(try await peer.viewRPM().filter { $0.leads(to: 7000) }.count == 4)
            }
        }

        @Test("a relay that comes later verifies what was there before it")
        func later() async throws {
            try await scenario { s in
                let world = try await World(s)
                _ = try await s.service("echo", port: 7000, in: world.lab.home(.ordinary))
                let peer = try await world.peer(behind: .ordinary, mappings: ["7000"]) {
                    $0.relays = [Lab.relayAddress, Lab.relay2Address]
                    $0.config = Self.dialsLaboratory
                }
                let alone = try await peer.verified(7000)
                try #require(alone.relay == "\(Lab.relayAddress):8088")
                try #require(alone.verifiedBy == ["this node"])
                _ = try await world.secondRelay()
                try await expectTwoVerifiers(peer, at: [Lab.relayAddress, Lab.relay2Address])
            }
        }
    }
}
