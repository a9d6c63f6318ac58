import Foundation
import PeerCore
import PeerWire
import Synchronization
import TestSupport
import Testing

extension ProcessTests {
    /// A member that goes on under another key without end, for keys cost nothing.
    @Suite(.serialized, .timeLimit(.minutes(10)))
    struct KeyFloodTests {
        private final class Flag: Sendable {
            let value = Mutex(false)
        }

        private static func seed(_ number: Int) -> [UInt8] {
            withUnsafeBytes(of: UInt64(number).bigEndian) { Array($0) } + [UInt8](repeating: 0x31, count: 24)
        }

        private static func identity(_ number: Int) -> NodeIdentity { NodeIdentity(seed: seed(number))! }

        /// From the first of these keys to the last.
        private static func history(_ numbers: [Int]) -> KeyHistory {
            let now = Int64(Date().timeIntervalSince1970)
            let pairs = zip(numbers, numbers.dropFirst())
            return KeyHistory(
                pairs.map { KeySuccession(from: identity($0), to: identity($1), made: now, until: now + 86_400) })
        }

        /// One session of the last of these keys, which shows how it came to it.
        private func session(_ numbers: [Int], at port: Int, _ body: (RudePeer) async throws -> Void = { _ in })
            async throws
        {
            let peer = try RudePeer(seed: Self.seed(numbers.last ?? 0))
            defer { peer.stop() }
            try await peer.join(port, history: Self.history(numbers))
            try await body(peer)
        }

        private func rows(_ relay: Node, in s: Scenario) async throws -> Int {
            let told = try await s.run(
                "sqlite3", "sqlite3", ["\(relay.home)/ip_table.sqlite", "SELECT count(*) FROM retired_key"])
            return try #require(Int(told.stdout.trimmingCharacters(in: .whitespacesAndNewlines)), "\(told.stderr)")
        }

        private func expectSuperseded(_ number: Int, at port: Int) async throws {
            let error = await #expect(throws: Failure.self) { try await session([number], at: port) }
            #expect(error?.description.contains("took over") == true, "\(error?.description ?? "")")
        }

        /// So many sessions at once from so many workers, each with what `numbers` says.
        private func flood(_ count: Int, at port: Int, _ numbers: @escaping @Sendable (Int) -> [Int]) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<8 {
                    group.addTask {
                        for index in stride(from: worker, to: count, by: 8) {
                            try await session(numbers(index), at: port)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }

        @Test(
            "changes of keys unknown to a relay delay nobody's ports, and a key that was given up stays refused"
        )
        func flood() async throws {
            try await scenario { s in
                let relay = try await s.relay(ports: try FreePorts.range(200))
                let port = relay.settings.serverPort ?? 0
                let mapped = 12
                let echo = try FreePorts.range(mapped)
                _ = try await s.service("echo", port: echo.lowerBound, ["--count", "\(mapped)"])
                let peer = try await s.peer(of: relay)
                // One that has a port, and then another key.
                let mapping = MappingID(value: 1)
                try await session([1], at: port) { try await $0.take(mapping) }
                try await session([1, 2], at: port) { try await $0.take(mapping) }
                try await expectSuperseded(1, at: port)

                let sessions = Scale.pick(400, long: 4_150)
                let before = try ProcessFacts.processorTime(of: relay.program.pid)
                let (began, isOver) = (ContinuousClock.now, Flag())
                async let flooded: Void = {
                    defer { isOver.value.withLock { $0 = true } }
                    try await flood(sessions, at: port) { index in (0..<5).map { 1_000 + index * 5 + $0 } }
                }()
                var slowest = Duration.zero
                var made = 0
                while !isOver.value.withLock({ $0 }), made < mapped - 2 {
                    let start = ContinuousClock.now
                    let answer = try await peer.command(["--mp", "\(echo.lowerBound + made)"])
                    try #require(answer.status == ExitCode.fine, "\(answer.stderr)")
                    slowest = max(slowest, ContinuousClock.now - start)
                    made += 1
                    try await Task.sleep(for: .seconds(Scale.pick(1, long: 5)))
                }
                try await flooded
                let span = ContinuousClock.now - began
                let used = try ProcessFacts.processorTime(of: relay.program.pid) - before
                let start = ContinuousClock.now
                let answer = try await peer.command(["--mp", "\(echo.upperBound)"])
                try #require(answer.status == ExitCode.fine, "\(answer.stderr)")
                let after = ContinuousClock.now - start
                let kept = try await rows(relay, in: s)
                let told =
                    "\(sessions * 4) changes in \(span), \(used) of the relay's processor; --mp \(slowest) meanwhile, "
                    + "\(after) after it; \(kept) rows"
                s.note(told)
                print(told)
                #expect(kept == 1, "\(told)")
                #expect(max(slowest, after) < .seconds(Scale.isLong ? 1 : 3), "\(told)")
                relay.program.kill()
                try await relay.restart()
                try await expectSuperseded(1, at: port)
                try await session([1, 2], at: port)
            }
        }

        @Test(
            "key changes of sessions without ports are forgotten before those of keys with ports, in memory and on disk"
        )
        func chain() async throws {
            try await scenario { s in
                let relay = try await s.relay(ports: try FreePorts.range(50))
                let port = relay.settings.serverPort ?? 0
                try await session([1], at: port) { try await $0.take(MappingID(value: 1)) }
                try await session([1, 2], at: port)
                // Each has the one before it for a former key, while that has a session.
                let count = Scale.pick(40, long: 1_300)
                var former = try RudePeer(seed: Self.seed(1_000))
                try await former.join(port)
                for number in 1_001...(1_000 + count) {
                    let next = try RudePeer(seed: Self.seed(number))
                    try await next.join(port, history: Self.history([number - 1, number]))
                    former.stop()
                    former = next
                }
                former.stop()
                let most = 1_024
                try await eventually("the table has what is kept", within: .seconds(20)) {
                    try await rows(relay, in: s) == min(count + 1, most)
                }
                relay.program.kill()
                try await relay.restart()
                try await expectSuperseded(1, at: port)
                try await expectSuperseded(999 + count, at: port)
                #expect(try await rows(relay, in: s) == min(count + 1, most))
            }
        }
    }
}
