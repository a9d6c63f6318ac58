import Foundation
import TestSupport
import Testing

extension ProcessTests {
    @Suite(.serialized, .timeLimit(.minutes(5)))
    struct PortPressureTests {
        private static let peers = 10
        private static let each = 40

        @Test("of 400 requests at once for 300 free ports 300 succeed, 100 are told, and all is given back")
        func pressure() async throws {
            try await scenario { s in
                let ports = try FreePorts.range(1000)
                let range = "\(ports.lowerBound)-\(ports.upperBound)"
                let foreign = try s.startVisitor("hold-ports", ["--range", range, "--count", "700"], seconds: 280)
                try await foreign.line(containing: "\"held\":700")
                let held = Set(try foreign.json()["ports"] as? [Int] ?? [])

                let locals = try FreePorts.range(Self.each)
                _ = try await s.service("echo", port: locals.lowerBound, ["--count", "\(Self.each)"])
                let relay = try await s.relay(ports: ports)
                let peers = try (1...Self.peers).map { number in
                    var settings = NodeSettings("peer\(number)")
                    settings.relays = ["127.0.0.1:\(relay.settings.serverPort ?? 0)"]
                    settings.mappings = locals.map(String.init)
                    return try s.node(settings)
                }

                var rows: [MappingRow] = []
                let total = Self.peers * Self.each
                try await eventually(
                    "300 are verified and 100 refused; seen \(counts(rows))", within: .seconds(90),
                    every: .milliseconds(300)
                ) {
                    rows = []
                    for peer in peers {
                        try await peer.listening()
                        rows += try await peer.viewRPM()
                    }
                    let states = counts(rows)
                    // Who asks for so much at once is told at first that it is too much, and then that none is free.
                    let isTold = rows.allSatisfy { $0.state != "refused" || $0.reason?.contains("free") == true }
                    return states["verified"] == 300 && states["refused"] == total - 300 && isTold
                }
                let given = rows.filter { $0.state == "verified" }.map(\.port)
                try #require(Set(given).count == 300, "every port once")
                try #require(held.isDisjoint(with: given) && given.allSatisfy(ports.contains))

                let list = given.map(String.init).joined(separator: ",")
                try await s.visit("hitters", ["--ports", list, "--connections", "600", "--bytes", "1KiB"])

                // Asking once more gets the same answer at once.
                let late = try await s.service("echo")
                let asked = try await peers[0].command(["--mp", "\(late.port)"])
                try #require(asked.status == ExitCode.noPortFree)
                try #require(asked.stderr.split(separator: "\n").count == 1, "one clear line: \(asked.stderr)")

                // Give all back, peer by peer.
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for peer in peers {
                        group.addTask {
                            for row in try await peer.viewRPM() {
                                guard let identifier = row.mapping else { throw Failure("no identifier in \(row)") }
                                let gone = try await peer.command(["unmap", identifier])
                                guard gone.status == 0 else { throw Failure("unmap \(row): \(gone.stderr)") }
                                s.forget(gone.program)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try #require(try await relay.viewRPM().isEmpty)
                for peer in peers { try #require(try await peer.program.terminate() == 0) }
                foreign.closeInput()
                try await foreign.exit()
                try await s.visit("bind-all", ["--range", range])
            }
        }

        private func counts(_ rows: [MappingRow]) -> [String: Int] {
            Dictionary(grouping: rows) { $0.state ?? "none" }.mapValues(\.count)
        }
    }
}
