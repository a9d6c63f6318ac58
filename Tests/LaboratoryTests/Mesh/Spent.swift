import Foundation
import TestSupport

/// What a node spent while others asked it.
struct Spent: CustomStringConvertible {
    let used: Duration
    let span: Duration
    /// By status; 0 where none came.
    let answers: [Int: Int]
    /// How long `p2prc status` took there meanwhile, in milliseconds, the shortest first.
    let waits: [Int]

    /// Of a core.
    var share: Double { used / span }
    var count: Int { answers.values.reduce(0, +) }
    var medianWait: Int { waits[waits.count / 2] }

    var description: String {
        let told = answers.sorted { $0.key < $1.key }.map { "\($1) x \($0)" }.joined(separator: ", ")
        return String(
            format: "%.1f %% of a core in %.1f s; status %d ms, %d at most; answers %@", share * 100,
            span / .seconds(1), medianWait, waits.last ?? 0, told.isEmpty ? "none" : told)
    }

    /// What each question cost more than it costs to do nothing, in milliseconds.
    func each(above idle: Spent) -> Double { (share - idle.share) * (span / .milliseconds(1)) / Double(max(1, count)) }

    /// - Parameter asking: lasts for about that span; says how many answers came of each status.
    init(
        by node: Node, for limit: Duration, asking: @escaping @Sendable () async -> [Int: Int] = { [:] }
    ) async throws {
        let before = try ProcessFacts.processorTime(of: node.program.pid)
        let start = ContinuousClock.now
        async let asked = asking()
        var waits: [Int] = []
        repeat {
            waits.append(try await milliseconds { _ = try await node.json(["status"]) })
            try await Task.sleep(for: .seconds(1))
        } while ContinuousClock.now - start < limit
        answers = await asked
        used = try ProcessFacts.processorTime(of: node.program.pid) - before
        span = ContinuousClock.now - start
        self.waits = waits.sorted()
    }

    /// Asks at that pace, whatever becomes of it; `ask` is given a number and says the status of the answer.
    static func paced(
        _ perSecond: Int, for span: Duration, _ ask: @escaping @Sendable (Int) async -> Int
    ) async -> [Int: Int] {
        let start = ContinuousClock.now
        return await withTaskGroup(of: Int.self) { group in
            for index in 0..<Int(Double(perSecond) * (span / .seconds(1))) {
                try? await Task.sleep(until: start + .seconds(1) * index / perSecond, clock: .continuous)
                group.addTask { await ask(index) }
            }
            return await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        }
    }
}
