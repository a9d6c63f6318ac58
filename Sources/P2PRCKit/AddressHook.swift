internal import FoundationEssentials
internal import Logging
internal import PeerMesh
internal import PeerReactor

/// Runs the user's command when the published addresses have changed: off the loops, one at a time, and the latest
/// change only.
final class AddressHook: Sendable {
    static let limit = Instant.Span.seconds(10)

    private let changes: AsyncStream<PublishedAddresses>.Continuation
    private let stopping = StopFlag()
    private let worker: Task<Void, Never>

    init(_ command: String, _ log: Logger) {
        let (stream, continuation) = AsyncStream<PublishedAddresses>.makeStream(bufferingPolicy: .bufferingNewest(1))
        changes = continuation
        let stopping = stopping
        worker = Task {
            var last: PublishedAddresses?
            for await addresses in stream {
                // Before the first address there is nothing to tell.
                guard addresses != last, last != nil || !addresses.rows.isEmpty else { continue }
                last = addresses
                let outcome = await Self.run(command, addresses, stopping)
                if let complaint = Self.complaint(outcome) { log.warning("the hook \(complaint): \(command)") }
            }
        }
    }

    func announce(_ addresses: PublishedAddresses) { changes.yield(addresses) }

    /// What runs is killed.
    func stop() async {
        changes.finish()
        stopping.raise()
        await worker.value
    }

    private static func run(
        _ command: String, _ addresses: PublishedAddresses, _ stopping: StopFlag
    ) async -> ShellCommand.Outcome {
        // What is for p2prc alone may be a secret, as a join link is.
        var environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("P2PRC_") }
        environment.merge(addresses.environment) { _, new in new }
        let entries = environment.map { "\($0.key)=\($0.value)" }
        return await withCheckedContinuation { continuation in
            do throws(SystemError) {
                try SystemThread.detach {
                    continuation.resume(
                        returning: ShellCommand.run(command, environment: entries, limit: limit, unless: stopping))
                }
            } catch { continuation.resume(returning: .notStarted(error.code)) }
        }
    }

    private static func complaint(_ outcome: ShellCommand.Outcome) -> String? {
        switch outcome {
        case .exited(0), .stopped: nil
        case .exited(let status): "ended with the status \(status)"
        case .killed(let signal): "was killed by signal \(signal)"
        case .tookTooLong: "ran for 10 s and was killed"
        case .notStarted(let code): "could not be started (\(SystemError("posix_spawn", code: code).text))"
        }
    }
}
