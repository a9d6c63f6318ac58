internal import Logging
internal import PeerAPI
internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerTokens
internal import PeerWire
internal import Synchronization

/// The life of a node, from its home to its orderly end. The one place that names concrete parts.
public enum Node {
    /// Runs until SIGINT, SIGTERM or SIGHUP, or until another process takes its key over.
    public static func run(_ settings: NodeSettings) async throws(CommandError) -> ExitStatus {
        SystemFacts.raiseDescriptorLimit()
        try Threads.require(forNode: true)
        do throws(SystemError) { try Output.detach() } catch { throw Threads.error(error) }
        let log = Logger(label: "p2prc") { _ in StderrLog() }
        let state = try await OpenedHome.open(settings, log)
        let loops: [EventLoop]
        do throws(CommandError) { loops = try makeLoops() } catch {
            await state.close()
            throw error
        }
        let control = loops[0]
        let endings = AsyncStream<ExitStatus>.makeStream()
        // Before anybody is told that it runs: whoever reads that may stop it at once.
        do throws(SystemError) { try listenForSignals(endings.continuation, log) } catch {
            for loop in loops { loop.stop() }
            await state.close()
            throw Threads.error(error)
        }
        let assembled: RunningNode
        do throws(CommandError) {
            assembled = try await onLoop(control) { () throws(CommandError) in
                try RunningNode(settings, state, loops, log, endings.continuation)
            }
        } catch {
            for loop in loops { loop.stop() }
            await state.close()
            throw error
        }
        let api: APIService
        do throws(CommandError) {
            api = try await startAPI(assembled, state, on: control, log)
        } catch {
            await stop(assembled, state, loops)
            throw error
        }
        var adapter: P2PRCAdapter?
        if let address = settings.p2prcCompat {
            do throws(CommandError) {
                adapter = try await P2PRCAdapter.start(
                    at: address, settings, state, assembled.core, on: control, log: log)
            } catch {
                await api.stop()
                await stop(assembled, state, loops)
                throw error
            }
        }
        let watch = HomeWatch.start(state.home, log)
        defer { watch.cancel() }
        var ending = ExitStatus.success
        for await end in endings.stream {
            ending = end
            break
        }
        // First, for their answers come from the loops; what waits for another node there waits no longer.
        await onLoop(control) { assembled.stopMesh() }
        await adapter?.stop()
        await api.stop()
        await stop(assembled, state, loops)
        return ending
    }

    private static func startAPI(
        _ assembled: RunningNode, _ state: OpenedHome, on control: EventLoop, _ log: Logger
    ) async throws(CommandError) -> APIService {
        try await APIService.start(
            at: state.home.paths.apiSocket, facts: { await onLoop(control) { assembled.facts() } },
            isMember: { key in await onLoop(control) { assembled.isMember(key) } },
            mesh: { call in await assembled.answer(call, on: control) }, log: log)
    }

    private static func stop(_ assembled: RunningNode, _ state: OpenedHome, _ loops: [EventLoop]) async {
        let last = await onLoop(loops[0]) { assembled.stop() }
        state.publisher.save(last)
        await state.publisher.finish()
        await state.hook?.stop()
        await state.membershipSaver.finish()
        await state.receipts.finish()
        await state.writer.finish()
        for loop in loops { loop.stop() }
        await state.close()
    }

    private static func makeLoops() throws(CommandError) -> [EventLoop] {
        var loops: [EventLoop] = []
        do throws(SystemError) {
            for _ in 0...SystemFacts.processorCount { loops.append(try EventLoop()) }
        } catch {
            throw CommandError(
                .failure, "no event loop can be made: \(error); raise the limit of open files (ulimit -n)")
        }
        // Sessions and handshakes can wait a little, visitors' bytes cannot.
        do throws(SystemError) {
            for (index, loop) in loops.enumerated() { try loop.start(yields: index == 0) }
        } catch { throw Threads.error(error) }
        return loops
    }

    private static func listenForSignals(
        _ endings: AsyncStream<ExitStatus>.Continuation, _ log: Logger
    ) throws(SystemError) {
        let hasCome = Flag()
        try StopSignals.watch { signal in
            // A second one does not wait for anything.
            if hasCome.raise() { StopSignals.leaveAtOnce() }
            log.info("stopping on \(signal.rawValue)")
            endings.yield(.success)
        }
    }

    private static func onLoop<Result: Sendable>(
        _ loop: EventLoop, _ body: @escaping @Sendable () throws(CommandError) -> Result
    ) async throws(CommandError) -> Result {
        let outcome: Swift.Result<Result, CommandError> = await withCheckedContinuation { continuation in
            loop.execute {
                do throws(CommandError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try outcome.get()
    }

    private static func onLoop<Result: Sendable>(
        _ loop: EventLoop, _ body: @escaping @Sendable () -> Result
    ) async -> Result {
        await withCheckedContinuation { continuation in loop.execute { continuation.resume(returning: body()) } }
    }
}

/// Raised once.
private final class Flag: Sendable {
    private let isUp = Mutex(false)

    /// Whether it was up before.
    func raise() -> Bool {
        isUp.withLock { isUp in
            defer { isUp = true }
            return isUp
        }
    }
}
