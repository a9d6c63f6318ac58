import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// Mappings of a running node: made, kept, given back.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct MappingLifeTests {
        @Test("--mp on a running node returns when the mapping works")
        func onRunningNode() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(echo.port)"])
                try #require(made.status == ExitCode.fine)
                let rows = try await peer.viewRPM()
                let row = try #require(rows.first { $0.leads(to: echo.port) })
                try #require(row.state == "verified")
                try #require(made.stdout.contains(":\(row.port)"), "printed: \(made.stdout)")
                try await s.expectEcho("127.0.0.1", row.port)
            }
        }

        @Test("--mp --json on a running node prints the mapping as one JSON document")
        func onRunningNodeAsJSON() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let made = try await peer.command(["--mp", "\(echo.port)", "--json"])
                try #require(made.status == ExitCode.fine)
                let value = try? JSONSerialization.jsonObject(with: Data(made.stdout.utf8))
                try #require(value != nil, "printed: \(made.stdout)")
                try #require(made.stdout.contains("blind_port"))
            }
        }

        @Test("unmap gives the port back at once", arguments: [true, false])
        func unmap(byIdentifier: Bool) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let ports = try FreePorts.range(5)
                let relay = try await s.relay(ports: ports)
                let peer = try await s.peer(of: relay)
                try #require(try await peer.command(["--mp", "\(echo.port)"]).status == 0)
                let row = try await peer.verified(echo.port)
                let name = byIdentifier ? try #require(row.mapping) : "\(row.port)"
                let gone = try await peer.command(["unmap", name])
                try #require(gone.status == 0)
                try await eventually("the port refuses", within: .seconds(2)) {
                    let words = ["expect-refused", "--port", "\(row.port)"]
                    return try await s.run("expect-refused", Binaries.labtool(), words).status == 0
                }
                try await s.visit("bind-all", ["--range", "\(ports.lowerBound)-\(ports.upperBound)"])
                try #require(try await peer.viewRPM().isEmpty)
                try #require(try await relay.viewRPM().isEmpty)

                // Another may have it now.
                let second = try await s.peer("second", of: relay, mappings: ["\(echo.port):\(row.port)"])
                try #require(try await second.verified(echo.port).port == row.port)
            }
        }

        @Test("unmap of what is not there says so")
        func unmapUnknown() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let result = try await peer.command(["unmap", "9"])
                try #require(result.status == ExitCode.notFound)
                try #require(result.stderr.contains("9"))
            }
        }

        @Test("mappings and relays come back with the node, on their ports; temporary ones do not")
        func keptOverRestart() async throws {
            try await scenario { s in
                let kept = try await s.service("echo")
                let temporary = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                try #require(try await peer.command(["--mp", "\(kept.port)"]).status == 0)
                try #require(try await peer.command(["--mp", "\(temporary.port)", "--temporary"]).status == 0)
                let before = try await peer.verified(kept.port)
                let passing = try await peer.verified(temporary.port)
                try #require(try await peer.program.terminate() == 0)

                // Nothing on its command line but the home.
                peer.settings.relays = []
                peer.settings.more = ["--no-server-port"]
                try await peer.restart()
                let after = try await peer.verified(kept.port)
                try #require(after.port == before.port)
                try await s.expectEcho("127.0.0.1", after.port)
                try #require(try await peer.viewRPM().contains { $0.leads(to: temporary.port) } == false)
                try await s.expectRefused("127.0.0.1", passing.port)
            }
        }

        @Test("the listings are the same from the running node and, afterwards, from its files")
        func listings() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                try #require(try await peer.command(["--mp", "\(echo.port)"]).status == 0)
                let row = try await peer.verified(echo.port)

                for long in ["--view-reverse-proxy-mapping", "--view-rpm"] {
                    let table = try await peer.command([long])
                    try #require(table.status == 0)
                    try #require(table.stdout.contains("\(row.port)"), "a table with the port")
                }
                for long in ["--view-reverse-proxy-servers", "--view-rps"] {
                    let table = try await peer.command([long])
                    try #require(table.status == 0)
                    try #require(table.stdout.contains("\(relay.settings.serverPort ?? 0)"))
                }
                let status = try await peer.command(["status", "--json"])
                try #require(status.status == 0)
                try #require((try? JSONSerialization.jsonObject(with: Data(status.stdout.utf8))) != nil)

                try #require(try await peer.program.terminate() == 0)
                let rpm = try await peer.command(["--view-rpm", "--json"])
                try #require(rpm.status == 0)
                try #require(!rpm.stderr.isEmpty, "it must say that no node runs and that these are the files")
                let document = try JSONSerialization.jsonObject(with: Data(rpm.stdout.utf8)) as? [String: Any]
                let rows = try #require(document?["reverse_proxy_mappings"] as? [[String: Any]])
                try #require(rows.contains { $0["blind_port"] as? Int == row.port })
                let file = try Data(contentsOf: URL(fileURLWithPath: "\(peer.home)/reverse_proxy_mapping.json"))
                let written = try JSONSerialization.jsonObject(with: file) as? NSDictionary
                try #require(written == document as NSDictionary?, "--json prints the document of the file")

                let rps = try await peer.command(["--view-rps", "--json"])
                try #require(rps.status == 0)
                try #require(rps.stdout.contains("127.0.0.1:\(relay.settings.serverPort ?? 0)"))
                try #require(try await peer.command(["status"]).status == ExitCode.noNode)
            }
        }

        @Test("a mapping asked for while its service is down says so, and works once the service is there")
        func targetDownFromTheStart() async throws {
            try await scenario { s in
                let port = try FreePorts.one()
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                let asked = try await peer.command(["--mp", "\(port)"])
                try #require(asked.status == ExitCode.targetDown)
                try #require(asked.stderr.contains("\(port)"))
                _ = try await s.service("echo", port: port)
                let made = try await peer.command(["--mp", "\(port)"])
                try #require(made.status == ExitCode.fine)
                try await s.expectEcho("127.0.0.1", try await peer.verified(port).port)
            }
        }
    }
}
