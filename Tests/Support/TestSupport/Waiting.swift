import Foundation

/// Something that should have been so, with everything that helps to see why it was not.
public struct Failure: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// Asks every few milliseconds until the answer is not nil: the only kind of waiting that tests here do.
///
/// - Throws: `Failure` naming `what`, and the last error that `body` threw, when the time is over.
@discardableResult
public func eventually<T>(
    _ what: @autoclosure () -> String, within limit: Duration, every pause: Duration = .milliseconds(15),
    _ body: () async throws -> T?
) async throws -> T {
    let start = ContinuousClock.now
    var last: (any Error)?
    while true {
        do {
            if let value = try await body() { return value }
            last = nil
        } catch let error as CancellationError {
            throw error
        } catch let error as Fatal {
            throw Failure("\(what()): \(error.description)")
        } catch {
            last = error
        }
        guard ContinuousClock.now - start < limit else {
            throw Failure("not within \(limit): \(what())" + (last.map { "\nlast error: \($0)" } ?? ""))
        }
        try await Task.sleep(for: pause)
    }
}

/// The same for a plain condition.
public func eventually(
    _ what: @autoclosure () -> String, within limit: Duration, every pause: Duration = .milliseconds(15),
    _ condition: () async throws -> Bool
) async throws {
    try await eventually(what(), within: limit, every: pause) { try await condition() ? true : nil }
}

/// Lets time pass because the time itself is the matter: an absence, an idle connection. Never to wait for something.
public func pass(_ time: Duration, because reason: String) async throws {
    try await Task.sleep(for: time)
}

/// Wants `condition` to hold for all of that time.
public func throughout(
    _ time: Duration, _ what: @autoclosure () -> String, _ condition: () async throws -> Bool
) async throws {
    let start = ContinuousClock.now
    while ContinuousClock.now - start < time {
        guard try await condition() else { throw Failure("did not last: \(what())") }
        try await Task.sleep(for: .milliseconds(50))
    }
}

/// Thrown inside `eventually` when no more waiting can help.
struct Fatal: Error, CustomStringConvertible {
    let description: String
}

/// Elapsed time in milliseconds, for comparison with a bound.
public func milliseconds(_ body: () async throws -> Void) async rethrows -> Int {
    let start = ContinuousClock.now
    try await body()
    return (ContinuousClock.now - start).inMilliseconds
}

extension Duration {
    public var inMilliseconds: Int {
        Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000)
    }
}

/// Moderate figures by default, the full ones with `P2PRC_LONG=1`.
public enum Scale {
    public static let isLong = ProcessInfo.processInfo.environment["P2PRC_LONG"] == "1"

    public static func pick<T>(_ moderate: T, long: T) -> T { isLong ? long : moderate }
}
