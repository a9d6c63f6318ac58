internal import FoundationEssentials
internal import Logging
internal import PeerCore
internal import PeerReactor

/// Runs the user's command when the published addresses have changed: off the loops, one at a time, no more often than
/// `HookPace` has it, and the latest change only.
final class AddressHook: Sendable {
    static let limit = Instant.Span.seconds(10)

    private let latest = Locked(PublishedAddresses())
    /// There may be something to tell.
    private let wake: AsyncStream<Void>.Continuation
    private let stopping = StopFlag()
    private let worker: Task<Void, Never>

    init(_ command: String, _ log: Logger) {
        let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.wake = wake
        worker = Task { [latest, stopping] in
            var told = PublishedAddresses()
            var pace = HookPace()
            var timer: Task<Void, Never>?
            for await _ in wakes {
                timer?.cancel()
                let addresses = latest.withLock { $0 }
                // Before the first address there is nothing to tell.
                guard addresses != told else { continue }
                let loss = told.loss(in: addresses)
                let span = pace.wait(loss, at: SystemClock.now)
                guard span == .zero else {
                    timer = Task {
                        // One that was cancelled must not wake whoever has just set the next.
                        guard (try? await Task.sleep(for: .nanoseconds(span.nanoseconds))) != nil else { return }
                        wake.yield()
                    }
                    continue
                }
                pace.ran(loss, at: SystemClock.now)
                told = addresses
                let outcome = await Self.run(command, addresses, stopping)
                if let complaint = Self.complaint(outcome) { log.warning("the hook \(complaint): \(command)") }
            }
            timer?.cancel()
        }
    }

    func announce(_ addresses: PublishedAddresses) {
        latest.withLock { $0 = addresses }
        wake.yield()
    }

    /// What runs is killed.
    func stop() async {
        wake.finish()
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
