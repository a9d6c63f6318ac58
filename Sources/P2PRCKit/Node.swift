internal import Logging
internal import PeerAPI
internal import PeerMesh
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire
internal import Synchronization

/// The life of a node, from its home to its orderly end. The one place that names concrete parts.
public enum Node {
    /// Runs until SIGINT or SIGTERM, or until another process takes its key over.
    public static func run(_ settings: NodeSettings) async throws(CommandError) -> ExitStatus {
        SystemFacts.raiseDescriptorLimit()
        let log = Logger(label: "p2prc") { _ in StderrLog() }
        let state = try await NodeState.open(settings.home, log)
        let loops = try makeLoops()
        let control = loops[0]
        let endings = AsyncStream<ExitStatus>.makeStream()
        let assembled: Assembled
        do throws(CommandError) {
            assembled = try await onLoop(control) { () throws(CommandError) in
                try Assembled(settings, state, loops, log, endings.continuation)
            }
        } catch {
            for loop in loops { loop.stop() }
            await state.close()
            throw error
        }
        listenForSignals(endings.continuation, log)
        let api: APIService
        do throws(CommandError) {
            api = try await startAPI(assembled, state, on: control, log)
        } catch {
            await stop(assembled, state, loops)
            throw error
        }
        var ending = ExitStatus.success
        for await end in endings.stream {
            ending = end
            break
        }
        // First, for its answers come from the loops.
        await api.stop()
        await stop(assembled, state, loops)
        return ending
    }

    private static func startAPI(
        _ assembled: Assembled, _ state: NodeState, on control: EventLoop, _ log: Logger
    ) async throws(CommandError) -> APIService {
        let own = state.identity.key
        return try await APIService.start(
            at: state.home.paths.apiSocket, facts: { await onLoop(control) { assembled.facts() } },
            // Nobody joins yet: the node itself is the one member that it knows.
            isMember: { $0 == own }, log: log)
    }

    private static func stop(_ assembled: Assembled, _ state: NodeState, _ loops: [EventLoop]) async {
        let last = await onLoop(loops[0]) { assembled.stop() }
        await state.publisher.finish(last)
        await state.writer.finish()
        for loop in loops { loop.stop() }
        await state.close()
    }

    private static func makeLoops() throws(CommandError) -> [EventLoop] {
        var loops: [EventLoop] = []
        do throws(SystemError) {
            for _ in 0..<SystemFacts.processorCount { loops.append(try EventLoop()) }
        } catch {
            throw CommandError(
                .failure, "no event loop can be made: \(error); raise the limit of open files (ulimit -n)")
        }
        for loop in loops { loop.start() }
        return loops
    }

    private static func listenForSignals(_ endings: AsyncStream<ExitStatus>.Continuation, _ log: Logger) {
        let hasCome = Flag()
        StopSignals.watch { signal in
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

/// What lies in the home, opened.
struct NodeState: Sendable {
    let home: Home
    let identity: NodeIdentity
    let table: IPTable
    let writer: TableWriter
    let publisher: Publisher
    let leases: [Lease]
    let wishes: [MappingWish]
    let agreed: [AgreedPorts]
    let relays: [JoinedRelay]

    static func open(_ path: String, _ log: Logger) async throws(CommandError) -> NodeState {
        let home: Home
        do throws(HomeError) {
            home = try Home.open(at: path)
        } catch {
            if case .inUse = error { throw CommandError(.homeInUse, "\(error)") }
            throw CommandError(.homeUnusable, "\(error)")
        }
        do throws(StorageError) {
            let seed = try KeyFile.loadOrCreate(at: home.paths.nodeKey) {
                var random = SystemRandomNumberGenerator()
                return (0..<NodeIdentity.seedByteCount).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
            }
            guard let identity = NodeIdentity(seed: seed) else {
                throw StorageError(.damaged, path: home.paths.nodeKey, detail: "it holds no node key")
            }
            let now = WallTime.now
            let (table, tableWarnings) = try IPTable.open(in: home, now: now)
            let (servers, lastServers, serverWarnings) = try RegistryFile<ServerRegistry>.open(in: home, now: now)
            let (mappings, lastMappings, mappingWarnings) = try RegistryFile<MappingRegistry>.open(in: home, now: now)
            for warning in tableWarnings + serverWarnings + mappingWarnings { log.warning("\(warning)") }
            if !tableWarnings.isEmpty {
                let recovery = Recovery(lastServers, lastMappings, now: now)
                try await recovery.save(to: table)
                log.warning(
                    "took over from the registries: \(recovery.relays.count) relays, \(recovery.wishes.count) mappings, \(recovery.leases.count) leases"
                )
            }
            return NodeState(
                home: home, identity: identity, table: table, writer: TableWriter(table, log: log),
                publisher: Publisher(servers, mappings, log), leases: try await table.leases(),
                wishes: try await table.wishes(), agreed: try await table.agreedPorts(),
                relays: try await table.joinedRelays())
        } catch {
            switch error.kind {
            case .damaged, .newer: throw CommandError(.damaged, "\(error)")
            case .full, .denied, .missing, .notAFile, .exposed, .busy, .invalid, .notHeld, .failed:
                throw CommandError(.homeUnusable, "\(error)")
            }
        }
    }

    func close() async {
        try? await table.close()
        home.close()
    }
}

/// Brings the two registries to the disk, the newest state last; states that were overtaken meanwhile are skipped.
final class Publisher: Sendable {
    private let documents: AsyncStream<Documents>.Continuation
    private let worker: Task<Void, Never>

    init(_ servers: RegistryFile<ServerRegistry>, _ mappings: RegistryFile<MappingRegistry>, _ log: Logger) {
        let (stream, continuation) = AsyncStream<Documents>.makeStream(bufferingPolicy: .bufferingNewest(1))
        documents = continuation
        worker = Task {
            var failed: String?
            for await document in stream {
                do throws(StorageError) {
                    try await servers.write(document.servers)
                    try await mappings.write(document.mappings)
                    failed = nil
                } catch {
                    // Once until it is another trouble, or over.
                    if failed != "\(error)" { log.error("the registries could not be written: \(error)") }
                    failed = "\(error)"
                }
            }
        }
    }

    func publish(_ document: Documents) { documents.yield(document) }

    func finish(_ last: Documents) async {
        documents.yield(last)
        documents.finish()
        await worker.value
    }
}

/// The services of a node, put together on its control loop.
private struct Assembled: Sendable {
    private let core: LoopBound<NodeCore>
    private let socket: LoopBound<ControlServer>

    init(
        _ settings: NodeSettings, _ state: NodeState, _ loops: [EventLoop], _ log: Logger,
        _ endings: AsyncStream<ExitStatus>.Continuation
    ) throws(CommandError) {
        let control = loops[0]
        let software = "p2prc/\(P2PRCVersion.text)"
        let bindHost = settings.bind?.host
        let server = NodeServer(on: control)
        let listener: Listener
        do throws(SystemError) {
            listener = try Listener.hold(port: settings.serverPort, on: bindHost, .betweenNodes)
        } catch {
            throw Self.serverPortError(settings, error)
        }
        var relay: RelayService?
        if settings.isRelay {
            let service = RelayService(
                on: control, lanes: loops, identity: state.identity, name: settings.name, software: software,
                bindHost: bindHost, advertised: settings.advertised,
                policy: RelayCore.Policy(ports: settings.ports), store: state.writer, log: log)
            service.start(at: server, leases: state.leases, wall: .now)
            relay = service
        }
        let peer = PeerService(
            on: control, lanes: loops, identity: state.identity, name: settings.name, software: software,
            server: server, serverPort: settings.serverPort, bindHost: bindHost, remembered: state.agreed,
            writer: state.writer, log: log)
        let core = NodeCore(
            on: control, settings: settings, identity: state.identity, server: server, relay: relay, peer: peer,
            writer: state.writer, log: log)
        let publisher = state.publisher
        core.onPublish = { publisher.publish($0) }
        peer.onSuperseded = { _ in endings.yield(.superseded) }
        peer.start()
        let socket: ControlServer
        do throws(SystemError) {
            try server.listen(listener)
            socket = try ControlServer(on: control, path: state.home.paths.controlSocket) {
                [unowned core] request, answer in
                core.handle(request, answer)
            }
            try socket.start()
        } catch {
            throw Self.serverPortError(settings, error)
        }
        self.core = LoopBound(core, on: control)
        self.socket = LoopBound(socket, on: control)
        let role = settings.isRelay ? "reverse proxy, public ports \(settings.ports)" : "node"
        log.info("\(role) \(state.identity.key.short) listening on \(listener.address)")
        Self.restore(core, settings, state)
    }

    /// What was asked for before, and what is asked for now.
    private static func restore(_ core: NodeCore, _ settings: NodeSettings, _ state: NodeState) {
        for wish in state.wishes where wish.target != .serverPort || settings.exposesServerPort {
            core.peer.add(wish, isTemporary: false)
        }
        for relay in state.relays {
            if let endpoint = Endpoint(relay.address, defaultPort: NodeSettings.defaultServerPort) {
                core.peer.join(endpoint)
            }
        }
        for endpoint in settings.relays where core.peer.join(endpoint) && !settings.isTemporary {
            core.remember(endpoint)
        }
        core.exposeServerPort()
        for request in settings.mappings { _ = core.adopt(request) }
    }

    private static func serverPortError(_ settings: NodeSettings, _ error: SystemError) -> CommandError {
        let port = settings.serverPort
        if error.isAddressInUse {
            return CommandError(
                .serverPortInUse,
                "port \(port) is in use by another program; stop it, or choose another port: --server-port N")
        }
        if error.isPermissionDenied {
            return CommandError(
                .serverPortInUse, "port \(port) may not be opened by this user; choose one above 1023: --server-port N")
        }
        if error.isAddressNotAvailable, let bind = settings.bind {
            return CommandError(
                .usage, "--bind \(bind.hostText) is no address of this machine; choose another: --bind ADDR")
        }
        return CommandError(.serverPortInUse, "the server port \(port) cannot be opened: \(error)")
    }

    /// What members are told of this node.
    func facts() -> NodeFacts {
        let core = core.value
        return NodeFacts(
            name: core.settings.name, key: core.identity.key, version: P2PRCVersion.text, roles: core.roles)
    }

    /// Says goodbye everywhere; the result is what stays true afterwards.
    func stop() -> Documents {
        let core = core.value
        let last = core.documents().stopped()
        socket.value.stop()
        core.peer.stop()
        core.relay?.stop()
        core.server.stop()
        return last
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
