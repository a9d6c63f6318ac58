internal import PeerWire

/// Judges the signatures of records off the control loop: a body has up to a hundred of them, and each takes some 45
/// microseconds. One body after the other; what finds no room in the queue is not judged.
final class RecordJudge: Sendable {
    private struct Job: Sendable {
        let records: [SignedRecord]
        let done: @Sendable ([SignedRecord: Bool]) -> Void
    }

    /// Bodies that wait.
    private static let capacity = 64

    private let jobs: AsyncStream<Job>.Continuation
    private let worker: Task<Void, Never>

    init() {
        let (stream, continuation) = AsyncStream<Job>.makeStream(bufferingPolicy: .bufferingOldest(Self.capacity))
        jobs = continuation
        worker = Task { for await job in stream { job.done(Self.judged(job.records)) } }
    }

    /// `done` is called once, on any thread; `false` where there is no room, and never then.
    func judge(_ records: [SignedRecord], done: @escaping @Sendable ([SignedRecord: Bool]) -> Void) -> Bool {
        if case .enqueued = jobs.yield(Job(records: records, done: done)) { true } else { false }
    }

    func stop() { jobs.finish() }

    /// The first forged one ends it: it ends the body too.
    private static func judged(_ records: [SignedRecord]) -> [SignedRecord: Bool] {
        var verdicts: [SignedRecord: Bool] = [:]
        for record in records {
            let isGenuine = record.isGenuine
            verdicts[record] = isGenuine
            if !isGenuine { break }
        }
        return verdicts
    }
}
