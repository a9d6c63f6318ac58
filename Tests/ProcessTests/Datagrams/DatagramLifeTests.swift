import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// What a mapping for TCP has, a mapping for UDP has too: tokens, receipts, a name for others, other relays.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct DatagramLifeTests {
        private func service() throws -> DatagramVisitor {
            let service = try DatagramVisitor()
            service.echo()
            return service
        }

        private func echoes(_ row: MappingRow) throws -> Bool {
            let (visitor, bytes) = (try DatagramVisitor(), [UInt8](1...3))
            for _ in 0..<3 where (try? visitor.ask(bytes, at: row.port, of: row.address ?? "")) == bytes { return true }
            return false
        }

        @Test("a token for UDP lets in datagrams and no TCP, and one for TCP no datagrams", arguments: ["udp", "tcp"])
        func token(_ transport: String) async throws {
            try await scenario { s in
                let service = try service()
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let issued = try await relay.command([
                    "token", "issue", "--name", "guest", "--expires", "1h", "--protocol", transport,
                ])
                try #require(issued.status == ExitCode.fine, "\(issued.stderr)")
                let file = "\(s.folder)/token"
                _ = FileManager.default.createFile(
                    atPath: file, contents: Data(issued.stdout.utf8), attributes: [.posixPermissions: 0o600])
                let home = "\(s.folder)/home-guest"
                let address = "127.0.0.1:\(relay.settings.serverPort ?? 0)"
                let joined = try await s.run(
                    "join", Binaries.product(), ["join", address, "--token-file", file, "--home", home])
                try #require(joined.status == ExitCode.fine, "\(joined.stderr)")
                var settings = NodeSettings("guest")
                settings.meshKey = nil
                settings.serverPort = try FreePorts.one()
                settings.more = ["--no-server-port"]
                let guest = try s.node(settings, home: home)
                try await guest.listening()
                let datagrams = try await guest.command(["--mp", "\(service.port)", "--udp"])
                let stream = try await guest.command(["--mp", "\(echo.port)"])
                let (granted, refused) = transport == "udp" ? (datagrams, stream) : (stream, datagrams)
                try #require(granted.status == ExitCode.fine, "\(granted.stderr)")
                try #require(refused.status == ExitCode.refused, "\(refused.status): \(refused.stderr)")
                try #require(refused.stderr.split(separator: "\n").count == 1, "\(refused.stderr)")
                guard transport == "udp" else { return }
                try #require(try echoes(try await guest.verified(service.port)))
            }
        }

        @Test("a receipt names the protocol and verifies, a name is told, and the ports of exactly this number are had")
        func receiptAndName() async throws {
            try await scenario { s in
                let service = try service()
                let ports = try FreePorts.range(10)
                let relay = try await s.relay(ports: ports)
                let peer = try await s.peer(of: relay)
                let wanted = ports.lowerBound + 3
                let made = try await peer.command(["--mp", "\(service.port):\(wanted)", "--udp", "--tell", "game"])
                try #require(made.status == ExitCode.fine, "\(made.stderr)")
                let row = try await peer.verified(service.port)
                try #require(row.port == wanted && row.type == "UDP")
                let place = try await eventually("the row says where the receipt lies", within: .seconds(10)) {
                    try await peer.viewRPM().first { $0.leads(to: service.port) }?.receipt
                }
                let file = "\(peer.home)/\(place)"
                let text = try String(contentsOfFile: file, encoding: .utf8)
                try #require(text.lowercased().contains("udp"), "\(text)")
                let verified = try await s.run("verify", Binaries.product(), ["receipt", "verify", file])
                try #require(verified.status == ExitCode.fine, "\(verified.stderr)")
                try await eventually("it is told by its name", within: .seconds(20)) {
                    let table = try await peer.command(["--ls"])
                    return table.stdout.contains("game at 127.0.0.1:\(wanted)")
                }
                // Taken for UDP, and free for TCP.
                let taken = try await peer.command(["--mp", "1:\(wanted)", "--udp"])
                try #require(taken.status == ExitCode.portTaken, "\(taken.status): \(taken.stderr)")
            }
        }

        @Test("with two relays it has one number at both, leaves one that drains, and outlives one that is killed")
        func relays() async throws {
            try await scenario { s in
                let service = try service()
                let ports = try FreePorts.range(20)
                var relays: [Node] = []
                for (name, address) in [("first", "127.0.0.1"), ("second", "127.0.0.2")] {
                    relays.append(
                        try await s.relay(name, ports: ports) {
                            $0.bind = address
                            $0.advertise = address
                        })
                }
                var settings = NodeSettings("peer")
                settings.relays = zip(relays, ["127.0.0.1", "127.0.0.2"]).map {
                    "\($1):\($0.settings.serverPort ?? 0)"
                }
                settings.mappings = ["\(service.port)"]
                settings.more = ["--udp", "--no-server-port"]
                let peer = try s.node(settings)
                try await peer.listening()
                func verified(_ count: Int) async throws -> [MappingRow] {
                    try await eventually("\(count) verified", within: .seconds(15)) {
                        let rows = try await peer.viewRPM().filter {
                            $0.leads(to: service.port) && $0.state == "verified"
                        }
                        return rows.count == count ? rows : nil
                    }
                }
                let rows = try await verified(2)
                try #require(Set(rows.map(\.port)).count == 1 && rows.allSatisfy { $0.type == "UDP" })
                for row in rows { try #require(try echoes(row)) }
                let drained = try await relays[0].command(["drain", "--json"])
                try #require(drained.status == ExitCode.fine, "\(drained.stderr)")
                let left = try await verified(1)
                try #require(left[0].address == "127.0.0.2")
                try #require(try echoes(left[0]))
                let back = try await relays[0].command(["drain", "--undo"])
                try #require(back.status == ExitCode.fine, "\(back.stderr)")
                _ = try await verified(2)
                relays[1].program.kill()
                let again = try await verified(1)
                try #require(again[0].address == "127.0.0.1" && again[0].port == rows[0].port)
                try #require(try echoes(again[0]))
            }
        }
    }
}
