import Foundation
import TestSupport
import Testing

extension ProcessTests {
    /// A relay that lets its peers go before it stops.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct DrainTests {
        private struct Standing: Decodable {
            var Draining: Bool
            var Sessions: Int
            var Visitors: Int
        }

        private func drain(_ relay: Node, _ words: [String] = []) async throws -> Standing {
            let ended = try await relay.command(["drain", "--json"] + words)
            try #require(ended.status == 0, "\(ended.stderr)")
            return try JSONDecoder().decode(Standing.self, from: Data(ended.stdout.utf8))
        }

        @Test("peers move to their other relay without a failed new connection; the relay is empty and says so")
        func moves() async throws {
            try await scenario { s in
                let world = try await SeveralRelaysTests.World(s, tool: "http", ["--body", "here"])
                let rows = try await world.bothVerified()
                let addresses = ["127.0.0.1", "127.0.0.2"].map { "\($0):\(rows[0].port)" }.joined(separator: ",")
                // A SYN of the moment in which the ports close has no answer, and the next one, a second later, is
                // refused (docs/mesh.md, "Leaving politely"): the visitor waits for that.
                let visitor = try s.startVisitor(
                    "list-visitor", ["--addresses", addresses, "--expect", "here", "--patience", "2500"])
                let drained = try await drain(world.relays[0])
                #expect(drained.Draining && drained.Sessions == 0 && drained.Visitors == 0)
                try await world.relays[0].program.line(containing: "empty: no session and no visitor is left")
                try await s.expectRefused("127.0.0.1", rows[0].port)
                // A while beyond it, for the visitor's sake: some requests of the time after.
                let first = try #require(try await world.peer.viewRPM().first { $0.leads(to: world.local) })
                #expect(first.address == "127.0.0.2" && first.state == "verified")
                visitor.closeInput()
                try #require(try await visitor.exit() == 0, "\(visitor.stdout)")
                let told = try visitor.json()
                s.note("\(told)")
                #expect(told["failed"] as? Int == 0)
                // Refused, and never accepted and dropped.
                let results = told["results"] as? [String: Int] ?? [:]
                #expect(Set(results.keys).isSubset(of: ["ECONNREFUSED"]), "\(results)")
                // A SYN that nobody answers comes again after a second; a busy machine is late by less.
                #expect((told["longestGap"] as? Int ?? 9999) < 1_000)

                // It takes them back when it stays.
                #expect(try await drain(world.relays[0], ["--undo"]).Draining == false)
                _ = try await world.bothVerified()
            }
        }

        @Test("a visitor who is connected runs on, and the relay is empty when he has gone; in the end he is sent away")
        func visitors() async throws {
            try await scenario { s in
                let world = try await SeveralRelaysTests.World(s)
                let rows = try await world.bothVerified()
                func hold() async throws -> Program {
                    let options = ["--address", "127.0.0.1", "--port", "\(rows[0].port)", "--connections", "1"]
                    let held = try s.startVisitor("hold", options, seconds: 60)
                    try await held.line(containing: "\"held\":1")
                    return held
                }
                let patient = try await hold()
                #expect(try await drain(world.relays[0], ["--no-wait"]).Visitors == 1)
                var left = Standing(Draining: true, Sessions: 1, Visitors: 1)
                try await eventually("the session is gone", within: .seconds(10)) {
                    left = try await drain(world.relays[0], ["--no-wait"])
                    return left.Sessions == 0
                }
                #expect(left.Visitors == 1 && patient.isRunning)
                patient.closeInput()
                #expect(try await patient.exit() == 0, "\(patient.stdout)")
                #expect(try await drain(world.relays[0]).Visitors == 0)
                _ = try await drain(world.relays[0], ["--undo"])

                _ = try await world.bothVerified()
                let stubborn = try await hold()
                let ended = try await drain(world.relays[0], ["--within", "4s"])
                #expect(ended.Sessions == 0 && ended.Visitors == 0)
                stubborn.closeInput()
                #expect(try await stubborn.exit() == 1, "it should have been broken off: \(stubborn.stdout)")
            }
        }

        @Test("a peer without another relay stays until the time is over, and new peers are told to go elsewhere")
        func alone() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let service = try await s.service("echo")
                let peer = try await s.peer(of: relay, mappings: ["\(service.port)"])
                let row = try await peer.verified(service.port)
                #expect(try await isDraining(relay) == false)
                #expect(try await drain(relay, ["--no-wait"]).Sessions == 1)
                #expect(try await isDraining(relay) == true)
                #expect(try await isDraining(peer) == nil)
                let line = "draining: takes no new peers; 1 still here; to stay: p2prc drain --undo"
                #expect(try await relay.command(["status"]).stdout.contains("\n\(line)\n"))
                let newcomer = try await s.peer("newcomer", of: relay)
                try await newcomer.program.line(containing: "takes no new peers; use another one")
                try await s.expectEcho("127.0.0.1", row.port)
                let took = try await milliseconds { _ = try await drain(relay, ["--within", "1s"]) }
                #expect(took < 8_000, "it took \(took) ms")
                try await s.expectRefused("127.0.0.1", row.port)
                _ = try await drain(relay, ["--undo"])
                #expect(try await peer.verified(service.port).port == row.port)
                #expect(try await isDraining(relay) == false)
            }
        }

        @Test("who is left is named, and a relay that has a session here is not waited for")
        func names() async throws {
            try await scenario { s in
                let first = try await s.meshRelay("first")
                let second = try await s.meshRelay("second", of: first)
                let service = try await s.service("echo")
                let peer = try await s.meshPeer("homely", of: first) {
                    $0.mappings = ["\(service.port)"]
                    $0.config = "relays = 0"
                }
                _ = try await peer.verified(service.port)
                try await eventually("the second is known as a relay", within: .seconds(20)) {
                    try await first.viewRPS().contains { $0.serverName == "second" }
                }
                let waiting = try await first.command(["drain", "--no-wait"])
                #expect(waiting.stdout.contains("no other relay yet: homely"), "\(waiting.stdout)")
                #expect(waiting.stdout.contains("(other relays are not waited for: second)"), "\(waiting.stdout)")
                try #require(try await peer.program.terminate() == 0)
                let took = try await milliseconds {
                    let ended = try await first.command(["drain"])
                    #expect(ended.status == 0 && ended.stdout.contains("empty: "), "\(ended.stdout)")
                }
                #expect(took < 5_000, "it took \(took) ms")
                #expect(second.program.isRunning)
            }
        }

        /// As `p2prc status` says it; `nil` where that says nothing.
        private func isDraining(_ node: Node) async throws -> Bool? {
            struct Status: Decodable { let Draining: Bool? }
            return try JSONDecoder().decode(Status.self, from: try await node.json(["status"])).Draining
        }

        @Test("what cannot be is one line and an exit code")
        func badInput() async throws {
            try await scenario { s in
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay)
                for (node, words, status, text) in [
                    (peer, ["drain"], ExitCode.notFound, "this node is not a relay"),
                    (relay, ["drain", "--undo"], ExitCode.notFound, "nothing to undo"),
                    (relay, ["drain", "--within", "soon"], ExitCode.usage, "--within soon: write a number"),
                    (relay, ["drain", "--undo", "--no-wait"], ExitCode.usage, "--no-wait does nothing with --undo"),
                ] {
                    let ended = try await node.command(words)
                    #expect(ended.status == status, "\(words): \(ended.stderr)")
                    #expect(ended.stderr.contains(text), "\(ended.stderr)")
                }
            }
        }
    }
}
