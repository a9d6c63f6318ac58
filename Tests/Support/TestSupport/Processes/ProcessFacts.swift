import Foundation

/// What /proc knows of a process.
public struct ProcessFacts: Sendable, CustomStringConvertible {
    public let descriptors: Int
    /// Anonymous memory, in KiB. Pages of files would count for more whenever another process that has them ends.
    public let memory: Int

    public init(pid: pid_t) throws {
        descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
        let rollup = try String(contentsOfFile: "/proc/\(pid)/smaps_rollup", encoding: .utf8)
        let line = rollup.split(separator: "\n").first { $0.hasPrefix("Anonymous:") }
        memory = line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    }

    public var description: String { "\(descriptors) descriptors, \(memory) KiB" }

    /// What all of its threads have used, of both kinds (clock_getcpuclockid(3)).
    public static func processorTime(of pid: pid_t) throws -> Duration {
        // The sum of its threads of now would leave out those that have ended.
        var clock = clockid_t()
        var time = timespec()
        guard clock_getcpuclockid(pid, &clock) == 0, clock_gettime(clock, &time) == 0 else {
            throw Failure("process \(pid) has no clock: it is gone")
        }
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    /// Ticks since boot: with the pid, a process's true name.
    static func startTime(of pid: pid_t) -> String? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 19 ? String(fields[19]) : nil
    }
}

extension Program {
    public func facts() throws -> ProcessFacts { try ProcessFacts(pid: pid) }
}

/// Descriptors and memory of some programs before something happened to them; afterwards they must come back to it.
public struct LeakGuard {
    private let before: [(program: Program, facts: ProcessFacts)]

    public init(_ programs: [Program]) throws {
        before = try programs.map { ($0, try $0.facts()) }
    }

    /// - Parameters:
    ///   - descriptors: how many more may be open than before (a pool that grew).
    ///   - memory: how many KiB more may be in use (an allocator keeps some).
    public func expectReturn(descriptors: Int, memory: Int, within limit: Duration) async throws {
        for (program, old) in before {
            var now = old
            try await eventually(
                "\(program.name) is back at \(old) (+\(descriptors) descriptors, +\(memory) KiB); it has \(now)",
                within: limit, every: .milliseconds(100)
            ) {
                now = try program.facts()
                return now.descriptors <= old.descriptors + descriptors && now.memory <= old.memory + memory
            }
        }
    }
}
