internal import CLinux
import Synchronization

/// A `Mutex` that the thread sanitizer understands. Swift's own is handed over inside the kernel when two threads want
/// it at once; the sanitizer does not see that, and would call what it guards unguarded.
package final class Locked<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    package init(_ value: Value) { mutex = Mutex(value) }

    package func withLock<Result: Sendable>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        try mutex.withLock { value in
            let address = Unmanaged.passUnretained(self).toOpaque()
            clinux_mutex_taken(address)
            defer { clinux_mutex_released(address) }
            return try body(&value)
        }
    }
}
