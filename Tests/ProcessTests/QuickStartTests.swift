import Foundation
import TestSupport
import Testing

extension ProcessTests {
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct QuickStartTests {
        @Test("a service is reached through the relay's port, and both ends list it")
        func quickStart() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--body", "made at home\n"])
                let ports = try FreePorts.range(20)
                let relay = try await s.relay(ports: ports)
                let peer = try await s.peer(of: relay, mappings: ["\(http.port)"])
                let row = try await peer.verified(http.port)
                try #require(ports.contains(row.port))
                try #require(row.address == "127.0.0.1")
                try #require(row.type == "TCP")
                try #require(row.role == "peer")
                try #require(try await s.curl("http://127.0.0.1:\(row.port)/") == "made at home\n")

                let line = try await peer.program.line(containing: " verified")
                try #require(line.hasPrefix("127.0.0.1:\(row.port) -> "), "printed on standard output: \(line)")

                let atRelay = try await relay.viewRPM()
                try #require(atRelay.contains { $0.port == row.port && $0.role == "relay" && $0.state == "verified" })

                try await eventually("the relay is listed as connected, with its latency", within: .seconds(15)) {
                    try await peer.viewRPS().contains {
                        $0.address == "127.0.0.1:\(relay.settings.serverPort ?? 0)" && $0.state == "connected"
                            && $0.latency != nil
                    }
                }
            }
        }

        @Test("a port of one's own choice is kept to; a wish gives way", arguments: ["", "--any"])
        func wishes(_ flag: String) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let ports = try FreePorts.range(20)
                let wish = ports.lowerBound + 7
                let relay = try await s.relay(ports: ports)
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port):\(wish)"]) {
                    $0.more = flag.isEmpty ? [] : [flag]
                }
                let row = try await peer.verified(echo.port)
                try #require(row.port == wish)
                try await s.expectEcho("127.0.0.1", wish)

                // The same wish of another: refused, or given another port when it said so.
                let other = try await s.service("echo")
                let second = try await s.peer("second", of: relay, mappings: ["\(other.port):\(wish)"]) {
                    $0.more = flag.isEmpty ? [] : [flag]
                }
                if flag.isEmpty {
                    let refused = try await second.mapping(other.port, in: "refused")
                    try #require(refused.reason?.isEmpty == false)
                } else {
                    let moved = try await second.verified(other.port)
                    try #require(moved.port != wish && ports.contains(moved.port))
                    try await s.expectEcho("127.0.0.1", moved.port)
                }
                try await s.expectEcho("127.0.0.1", wish)
            }
        }

        @Test("another address of the machine is exposed with --target")
        func target() async throws {
            try await scenario { s in
                let http = try await s.service("http", ["--bind", "127.0.0.9", "--body", "a machine of the LAN\n"])
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(http.port)"]) {
                    $0.more = ["--target", "127.0.0.9:\(http.port)"]
                }
                let row = try await peer.verified(http.port)
                try #require(row.target == "127.0.0.9:\(http.port)")
                try #require(try await s.curl("http://127.0.0.1:\(row.port)/") == "a machine of the LAN\n")
            }
        }

        @Test("a peer of two relays has a port at each, and one lives on when the other dies")
        func twoRelays() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relays = [try await s.relay("first"), try await s.relay("second")]
                let peer = try await s.peer(of: relays[0], mappings: ["\(echo.port)"]) {
                    $0.relays = relays.map { "127.0.0.1:\($0.settings.serverPort ?? 0)" }
                }
                let rows = try await eventually("a verified mapping at each relay", within: .seconds(15)) {
                    let rows = try await peer.viewRPM().filter { $0.state == "verified" && $0.leads(to: echo.port) }
                    return rows.count == 2 ? rows : nil
                }
                for row in rows { try await s.expectEcho("127.0.0.1", row.port) }
                try #require(Set(rows.map(\.relay)).count == 2)

                relays[0].program.kill()
                let range = try #require(relays[1].settings.ports)
                let left = try #require(rows.first { range.contains($0.port) })
                try await s.expectEcho("127.0.0.1", left.port)
                try #require(try await peer.viewRPS().contains { $0.state == "connected" })
            }
        }

        @Test("visitors and peers come by IPv6 as well")
        func version6() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay { $0.bind = nil }
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"]) {
                    $0.relays = ["[::1]:\(relay.settings.serverPort ?? 0)"]
                    $0.bind = "::1"
                }
                let row = try await peer.verified(echo.port)
                try await s.expectEcho("::1", row.port)
                try await s.expectEcho("127.0.0.1", row.port)
            }
        }

        @Test("orderly ends have exit code 0", arguments: [SIGTERM, SIGINT])
        func orderlyEnd(_ signal: Int32) async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                let options = ["--port", "\(row.port)", "--connections", "20"]
                let holder = try s.startVisitor("hold", options, seconds: 30)
                try await holder.line(containing: "held")
                peer.program.signal(signal)
                try #require(try await peer.program.exit(within: .seconds(5)) == 0)
                relay.program.signal(signal)
                try #require(try await relay.program.exit(within: .seconds(5)) == 0)
            }
        }
    }
}
