internal import Logging
internal import PeerStorage

/// Brings states to the disk off the loops, the newest last; those that were overtaken meanwhile are skipped. A
/// failure is logged once, until it is another one or over.
final class LatestSaver<State: Sendable>: Sendable {
    private let states: AsyncStream<State>.Continuation
    private let worker: Task<Void, Never>

    init(_ what: String, _ log: Logger, write: @escaping @Sendable (State) async throws(StorageError) -> Void) {
        let (stream, continuation) = AsyncStream<State>.makeStream(bufferingPolicy: .bufferingNewest(1))
        states = continuation
        worker = Task {
            var failed: String?
            for await state in stream {
                do throws(StorageError) {
                    try await write(state)
                    failed = nil
                } catch {
                    if failed != "\(error)" { log.error("\(what) could not be written: \(error)") }
                    failed = "\(error)"
                }
            }
        }
    }

    func save(_ state: State) { states.yield(state) }

    /// Returns when the last state is written; nothing more is taken.
    func finish() async {
        states.finish()
        await worker.value
    }
}
