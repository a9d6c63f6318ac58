import Dispatch

/// Runs an actor's work on a queue of its own, so that waiting for a disk never holds one of the few threads that
/// all other Swift tasks share. It also makes each method of such an actor indivisible and deaf to cancellation:
/// what was handed over for writing is written.
public final class DiskExecutor: SerialExecutor {
    private let queue: DispatchQueue

    init(label: String) { self.queue = DispatchQueue(label: label) }

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}
