import Dispatch
import Glibc

@testable import PeerReactor

/// Everywhere in these tests: of Swift's own the thread sanitizer does not see all (`Locked`).
final class Mutex<Value: Sendable>: Sendable {
    private let guarded: Locked<Value>

    init(_ value: Value) { guarded = Locked(value) }

    func withLock<Result: Sendable>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        try guarded.withLock(body)
    }
}

struct TimedOut: Error, CustomStringConvertible {
    let description: String
}

/// What another thread will tell. Each value is taken once, in order; waiting has an end.
final class Awaited<Value: Sendable>: Sendable {
    private let told = Mutex<[Value]>([])
    private let semaphore = DispatchSemaphore(value: 0)

    func tell(_ value: Value) {
        told.withLock { $0.append(value) }
        semaphore.signal()
    }

    func next(_ what: String, within seconds: Double = 20) throws -> Value {
        guard semaphore.wait(timeout: .now() + seconds) == .success else { throw TimedOut(description: "no \(what)") }
        return told.withLock { $0.removeFirst() }
    }

    /// Told and not taken yet.
    var count: Int { told.withLock { $0.count } }
}

/// Returns as soon as `condition` holds.
func eventually(_ what: String, within seconds: Double = 20, _ condition: () throws -> Bool) throws {
    let deadline = DispatchTime.now() + seconds
    while try !condition() {
        guard DispatchTime.now() < deadline else { throw TimedOut(description: "never: \(what)") }
        usleep(1_000)
    }
}

/// Seconds that `body` took.
func duration(of body: () throws -> Void) rethrows -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    try body()
    return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
}
