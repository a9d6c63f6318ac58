import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// What networks and nodes do to a flow that is on: it goes on at the same public port.
    @Suite(.serialized, .timeLimit(.minutes(4)))
    struct DatagramMisfortuneTests {
        /// What happens while a visitor asks 50 times a second.
        ///
        /// - Parameter body: returns the time from which on an answer is possible again.
        /// - Returns: the whole time without an answer, and how much of it was after that moment, in milliseconds.
        private func interrupted(
            _ tunnel: DatagramTunnel, _ what: String, seconds: Int = 3, _ body: () async throws -> Int
        ) async throws -> (whole: Int, after: Int) {
            let visitor = try await tunnel.visitor(seconds: seconds)
            let possible = try await body()
            let figures = try await DatagramFigures(of: visitor, within: .seconds(seconds + 10))
            let after = max(0, figures.gapEnd - possible)
            print(
                "\(what): \(figures.longestGap) ms without an answer, \(after) ms of it once one was possible; the "
                    + "service heard the visitor from \(figures.flows) ports")
            try #require(figures.answered > 50, "\(figures)")
            let rows = try await tunnel.peer.viewRPM().filter { $0.leads(to: DatagramTunnel.local) }
            try #require(rows.map(\.port) == [tunnel.port])
            return (figures.longestGap, after)
        }

        @Test("a router that forgets all flows interrupts one for less than 1 s", arguments: Lab.NAT.allCases)
        func forgotten(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let tunnel = try await DatagramTunnel(s, nat)
                let gap = try await interrupted(tunnel, "forgotten by the \(nat)") {
                    try tunnel.world.lab.loseFlows(nat)
                    return DatagramFigures.now
                }
                try #require(gap.whole < 1_000, "\(gap)")
            }
        }

        @Test("where UDP is blocked between node and relay it goes over TCP within 2 s, and comes back")
        func blocked() async throws {
            try await scenario { s in
                let tunnel = try await DatagramTunnel(s, .ordinary)
                let gap = try await interrupted(tunnel, "blocked", seconds: 4) {
                    try tunnel.world.lab.setUDP(.ordinary, isOpen: false)
                    return DatagramFigures.now
                }
                try #require(gap.whole < 2_000, "\(gap)")
                try await tunnel.peer.program.line(containing: "no UDP gets through")
                try tunnel.world.lab.setUDP(.ordinary, isOpen: true)
                try await tunnel.peer.program.line(containing: "UDP gets through", within: .seconds(60))
            }
        }

        @Test("a node that dies and is started again has the flow on within 1 s", arguments: [true, false])
        func restarted(_ isRelay: Bool) async throws {
            try await scenario { s in
                let tunnel = try await DatagramTunnel(s, .ordinary)
                let node = isRelay ? tunnel.world.relay : tunnel.peer
                let gap = try await interrupted(tunnel, isRelay ? "relay restarted" : "peer restarted") {
                    node.program.kill()
                    try await node.restart()
                    return DatagramFigures.now
                }
                try #require(gap.after < 1_000, "\(gap)")
            }
        }

        @Test("a link that is cut for 5 s has the flow on within 1 s of its return")
        func cut() async throws {
            try await scenario { s in
                let tunnel = try await DatagramTunnel(s, .ordinary)
                let gap = try await interrupted(tunnel, "link cut for 5 s", seconds: 9) {
                    try tunnel.world.lab.setLink(.ordinary, up: false)
                    try await pass(.seconds(5), because: "the link is out")
                    try tunnel.world.lab.setLink(.ordinary, up: true)
                    return DatagramFigures.now
                }
                try #require(gap.after < 1_000, "\(gap)")
            }
        }
    }
}
