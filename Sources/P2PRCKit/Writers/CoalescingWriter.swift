internal import Logging
internal import PeerStorage
internal import Synchronization

/// Brings states to the disk off the loops, the newest last; those that were overtaken meanwhile are skipped. One that
/// cannot be written waits, and is written as soon as that works. A failure is logged once, until it is another one or
/// over.
final class CoalescingWriter<State: Sendable>: Sendable {
    /// `nil`: this state, or a newer one, is on the disk.
    typealias Done = @Sendable (StorageError?) -> Void

    private struct Waiting {
        var state: State?
        var done: [Done] = []
        /// Attempts in a row that failed.
        var failures = 0
        var hasTimer = false
    }

    /// What the callers and the worker share.
    private final class Slot: Sendable {
        let waiting = Mutex(Waiting())

        func put(_ state: State, _ done: Done?) {
            waiting.withLock { waiting in
                waiting.state = state
                if let done { waiting.done.append(done) }
            }
        }

        func take() -> (state: State, done: [Done])? {
            waiting.withLock { waiting in
                guard let state = waiting.state else { return nil }
                defer { (waiting.state, waiting.done) = (nil, []) }
                return (state, waiting.done)
            }
        }

        /// - Returns: after how many seconds to try again; `nil` where that is settled already.
        func failed(_ state: State) -> Int? {
            waiting.withLock { waiting in
                // A newer one goes before.
                if waiting.state == nil { waiting.state = state }
                waiting.failures += 1
                guard !waiting.hasTimer else { return nil }
                waiting.hasTimer = true
                return min(1 << min(waiting.failures - 1, 5), 30)
            }
        }

        func succeeded() { waiting.withLock { $0.failures = 0 } }
        func timerIsOver() { waiting.withLock { $0.hasTimer = false } }
    }

    private let slot = Slot()
    private let wake: AsyncStream<Void>.Continuation
    private let worker: Task<Void, Never>

    init(_ what: String, _ log: Logger, write: @escaping @Sendable (State) async throws(StorageError) -> Void) {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        wake = continuation
        worker = Task { [slot] in
            var complaint: String?
            for await _ in stream {
                guard let (state, done) = slot.take() else { continue }
                do throws(StorageError) {
                    try await write(state)
                    slot.succeeded()
                    complaint = nil
                    for done in done { done(nil) }
                } catch {
                    if complaint != "\(error)" { log.error("\(what) could not be written: \(error)") }
                    complaint = "\(error)"
                    if let pause = slot.failed(state) {
                        Task {
                            try? await Task.sleep(for: .seconds(pause))
                            slot.timerIsOver()
                            continuation.yield()
                        }
                    }
                    for done in done { done(error) }
                }
            }
        }
    }

    func save(_ state: State, done: Done? = nil) {
        slot.put(state, done)
        wake.yield()
    }

    /// Returns when the last state is written, or cannot be; nothing more is taken.
    func finish() async {
        wake.yield()
        wake.finish()
        await worker.value
    }
}
