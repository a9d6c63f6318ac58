import Foundation
import TestSupport
import Testing

extension ProcessTests {
    @Suite(.serialized, .timeLimit(.minutes(5)))
    struct LeakTests {
        @Test("20,000 connections opened and closed leave no descriptor and no memory behind")
        func churn() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                func churn(_ count: Int) async throws {
                    let options = ["--port", "\(row.port)", "--connections", "\(count)", "--parallel", "64"]
                    try await s.visit("churn", options, seconds: 120)
                }
                // The first ones fill the pools and the allocator.
                try await churn(2000)
                let leaks = try LeakGuard([relay.program, peer.program])
                try await churn(20_000)
                try await leaks.expectReturn(descriptors: 8, memory: 2048, within: .seconds(30))
            }
        }

        @Test("5,000 connections held open leave no descriptor and no memory behind")
        func hold() async throws {
            try await scenario { s in
                let echo = try await s.service("echo")
                let relay = try await s.relay()
                let peer = try await s.peer(of: relay, mappings: ["\(echo.port)"])
                let row = try await peer.verified(echo.port)
                let count = 5000
                func hold() async throws {
                    let options = ["--port", "\(row.port)", "--connections", "\(count)"]
                    let holder = try s.startVisitor("hold", options, seconds: 60)
                    try await holder.line(containing: "\"held\":\(count)", within: .seconds(40))
                    s.note("while held: relay \(try relay.program.facts()), peer \(try peer.program.facts())")
                    holder.closeInput()
                    try #require(try await holder.exit(within: .seconds(20)) == 0)
                }
                let before = try LeakGuard([relay.program, peer.program])
                try await hold()
                // The pool of ready channels has grown to its maximum; it shrinks over minutes.
                try await before.expectReturn(descriptors: 300, memory: 16384, within: .seconds(30))
                // What stays the first time is the allocator's; the second time nothing may be added.
                let between = try LeakGuard([relay.program, peer.program])
                try await hold()
                try await between.expectReturn(descriptors: 32, memory: 1024, within: .seconds(30))
            }
        }
    }
}
