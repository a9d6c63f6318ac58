public import Logging
internal import PeerReactor
public import PeerStorage
public import PeerWire

/// Brings receipts into their folder, in the order of the calls and off the loops. Of one file only the latest change
/// waits, so no relay can make more work than it has mappings. A failure is logged.
public final class ReceiptWriter: Sendable {
    private struct Place: Hashable {
        var relay: NodeKey
        var mapping: MappingID
    }

    private enum Change {
        case save(Receipt, done: @Sendable () -> Void)
        case remove
    }

    private struct Waiting {
        var changes: [Place: Change] = [:]
        /// Mappings that are gone, with all of their receipts.
        var gone: Set<MappingID> = []
    }

    private let waiting = Locked(Waiting())
    private let turns: AsyncStream<Void>.Continuation
    private let worker: Task<Void, Never>

    public init(_ folder: ReceiptFolder, log: Logger) {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        turns = continuation
        let waiting = waiting
        worker = Task {
            for await _ in stream {
                let next = waiting.withLock { waiting in
                    defer { waiting = Waiting() }
                    return waiting
                }
                await Self.carryOut(next, in: folder, log)
            }
        }
    }

    /// `done` is called when it is written.
    public func save(_ receipt: Receipt, done: @escaping @Sendable () -> Void) {
        let place = Place(relay: receipt.terms.relay, mapping: receipt.terms.mapping)
        waiting.withLock { $0.changes[place] = .save(receipt, done: done) }
        turns.yield()
    }

    public func remove(relay: NodeKey, mapping: MappingID) {
        waiting.withLock { $0.changes[Place(relay: relay, mapping: mapping)] = .remove }
        turns.yield()
    }

    /// Of a mapping that is gone for good: what is still to be saved of it is not.
    public func removeAll(of mapping: MappingID) {
        waiting.withLock { waiting in
            waiting.changes = waiting.changes.filter { $0.key.mapping != mapping }
            waiting.gone.insert(mapping)
        }
        turns.yield()
    }

    /// Returns when all that was handed over is done; nothing more is taken.
    public func finish() async {
        turns.finish()
        await worker.value
    }

    private static func carryOut(_ work: Waiting, in folder: ReceiptFolder, _ log: Logger) async {
        for mapping in work.gone {
            do throws(StorageError) { try await folder.removeAll(of: mapping) } catch {
                log.error("receipts could not be removed: \(error)")
            }
        }
        for (place, change) in work.changes {
            do throws(StorageError) {
                switch change {
                case .save(let receipt, let done):
                    try await folder.save(receipt)
                    done()
                case .remove: try await folder.remove(relay: place.relay, mapping: place.mapping)
                }
            } catch {
                log.error("a receipt could not be kept: \(error)")
            }
        }
    }
}
