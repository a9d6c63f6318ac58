internal import PeerReactor
internal import PeerWire

/// Judges the signatures of records.
protocol RecordJudging: AnyObject {
    /// - Parameter done: called once, on the control loop, with those that were judged up to the first forged one;
    ///   `nil` where there is too much to judge already.
    func judge(_ records: [SignedRecord], _ done: @escaping ([SignedRecord: Bool]?) -> Void)
    func stop()
}

/// Judges off the control loop: a body has up to a hundred records, and each signature takes some 45 microseconds. One
/// body after the other; what finds no room in the queue is not judged.
final class RecordJudge: RecordJudging, Sendable {
    private struct Job: Sendable {
        let records: [SignedRecord]
        let done: @Sendable ([SignedRecord: Bool]) -> Void
    }

    /// Bodies that wait.
    private static let capacity = 64

    private let jobs: AsyncStream<Job>.Continuation
    private let worker: Task<Void, Never>
    private let loop: EventLoop

    init(on loop: EventLoop, _ signatures: any MeshSignatures) {
        let (stream, continuation) = AsyncStream<Job>.makeStream(bufferingPolicy: .bufferingOldest(Self.capacity))
        self.loop = loop
        jobs = continuation
        worker = Task { for await job in stream { job.done(Self.judged(job.records, by: signatures)) } }
    }

    func judge(_ records: [SignedRecord], _ done: @escaping ([SignedRecord: Bool]?) -> Void) {
        let bound = LoopBound(done, on: loop)
        let job = Job(records: records) { [loop] judged in loop.execute { bound.value(judged) } }
        if case .enqueued = jobs.yield(job) { return }
        done(nil)
    }

    func stop() { jobs.finish() }

    /// The first forged one ends it: it ends the body too.
    static func judged(
        _ records: [SignedRecord], by signatures: any MeshSignatures
    ) -> [SignedRecord: Bool] {
        var verdicts: [SignedRecord: Bool] = [:]
        for record in records {
            let isGenuine = signatures.isGenuine(record)
            verdicts[record] = isGenuine
            if !isGenuine { break }
        }
        return verdicts
    }
}
