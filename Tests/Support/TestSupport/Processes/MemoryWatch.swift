import Foundation

/// The highest memory of some programs while something goes on.
public final class MemoryWatch: Sendable {
    private let programs: [Program]
    private let start: [Int]

    public init(_ programs: [Program]) throws {
        self.programs = programs
        start = try programs.map { try $0.facts().memory }
    }

    /// Runs until `visitor` has ended; throws as soon as a program has grown by more than `bound` KiB.
    public func expectFlat(_ bound: Int, until visitor: Program) async throws {
        while visitor.isRunning {
            for (program, before) in zip(programs, start) {
                let now = try program.facts().memory
                guard now - before <= bound else {
                    throw Failure("\(program.name) grew from \(before) to \(now) KiB")
                }
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}
