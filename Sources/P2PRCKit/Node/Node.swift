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

/// What lies in the home, opened.
struct OpenedHome: Sendable {
    let home: Home
    let keys: KeyRing
    /// Of this node's own mesh; made for a relay that has none.
    let meshKey: MeshKeyFile?
    let isMeshKeyNew: Bool
    let knownRelays: KnownRelays
    let membershipSaver: CoalescingWriter<KnownRelays>
    let table: IPTable
    /// What was in it before was damaged.
    let isTableNew: Bool
    let writer: TableWriter
    let receipts: ReceiptWriter
    let publisher: CoalescingWriter<Documents>
    let hook: AddressHook?
    let tokens: TokenService
    let leases: [Lease]
    let retired: [RetiredKey]
    let tokenHolders: [NodeKey]
    let wishes: [MappingWish]
    let agreed: [AgreedPorts]
    let relays: [JoinedRelay]
    let client: NodeClient
    let seeds: [Seed]
    let records: [SignedRecord]
    let met: [MetAddress]
    let lastIssue: UInt64
    let process: ProcessStart
    let note: String

    static func open(_ settings: NodeSettings, _ log: Logger) async throws(CommandError) -> OpenedHome {
        let home = try HomeAccess.open(settings.home)
        if let exposure = home.exposure { log.warning("\(exposure)") }
        do throws(StorageError) {
            let seed = try KeyFile.loadOrCreate(at: home.paths.nodeKey) {
                SystemRandomNumberGenerator.bytes(NodeIdentity.seedByteCount)
            }
            guard let identity = NodeIdentity(seed: seed) else {
                throw StorageError(.damaged, path: home.paths.nodeKey, detail: "it holds no node key")
            }
            let history = try KeyHistoryFile.load(home.paths, of: identity.key, at: WallTime.now.seconds)
            let knownRelays = try MembershipFile.load(home.paths)
            // A relay that is started with a join link for the first time is of that mesh.
            let asked = settings.relays.reduce(into: knownRelays) { known, choice in choice.apply(to: &known) }
            let (meshKey, isMeshKeyNew) = try HomeAccess.meshKey(home, asked, isRelay: settings.isRelay)
            let keys: KeyRing
            do throws(TLSFailure) {
                keys = try KeyRing(identity, seed: seed, history: history, meshKeys: meshKey?.keys(at: .now) ?? [])
            } catch {
                throw StorageError(.failed, path: home.paths.nodeKey, detail: "\(error)")
            }
            let membershipFile = MembershipFile(in: home, saved: knownRelays)
            let membershipSaver = CoalescingWriter<KnownRelays>("what is known of relays", log) {
                knownRelays throws(StorageError) in
                try await membershipFile.save(knownRelays)
            }
            let now = WallTime.now
            let (table, tableWarnings) = try IPTable.open(in: home, now: now) { damage in
                log.warning("\(damage)")
            }
            let (servers, lastServers, serverWarnings) = try RegistryFile<ServerRegistry>.open(in: home, now: now)
            let (mappings, lastMappings, mappingWarnings) = try RegistryFile<MappingRegistry>.open(in: home, now: now)
            for warning in tableWarnings + serverWarnings + mappingWarnings { log.warning("\(warning)") }
            if !tableWarnings.isEmpty {
                let recovery = RegistryRecovery(lastServers, lastMappings, now: now)
                try await recovery.save(to: table)
                log.warning(
                    "took over from the registries: \(recovery.relays.count) relays, \(recovery.wishes.count) "
                        + "mappings, \(recovery.leases.count) leases"
                )
            }
            try await table.sweepTokens(at: now)
            let kept = try await table.records(at: now)
            if let damage = kept.damage {
                log.warning("\(kept.damaged.count) records of other nodes were damaged (\(damage)); they come anew")
            }
            let client: NodeClient
            do throws(NodeFailure) { client = try NodeClient(seed: seed) } catch {
                throw StorageError(.failed, path: home.paths.nodeKey, detail: "\(error)")
            }
            return OpenedHome(
                home: home, keys: keys, meshKey: meshKey,
                isMeshKeyNew: isMeshKeyNew, knownRelays: knownRelays, membershipSaver: membershipSaver, table: table,
                isTableNew: !tableWarnings.isEmpty, writer: TableWriter(table, log: log),
                receipts: ReceiptWriter(try ReceiptFolder.open(in: home), log: log),
                publisher: Self.publisher(servers, mappings, log),
                hook: settings.config.hook.map { AddressHook($0, log) },
                tokens: try TokenService(home: home, relay: identity.key, history: history, table: table),
                leases: try await table.leases(), retired: try await table.retiredKeys(),
                tokenHolders: try await table.tokenHolders(),
                wishes: try await table.wishes(), agreed: try await table.agreedPorts(),
                relays: try await table.joinedRelays(), client: client, seeds: try await table.seeds(),
                records: kept.records.map(\.record), met: try await table.metAddresses(),
                lastIssue: try await table.lastIssue(),
                process: try await Self.begin(in: table, log), note: try await table.ownNote())
        } catch {
            throw CommandError(error)
        }
    }

    /// Nobody hears of this process before its place among those of its key is on the disk. A full disk stops nobody:
    /// as long as clocks go forward they give the same order.
    private static func begin(in table: IPTable, _ log: Logger) async throws(StorageError) -> ProcessStart {
        let number = ProcessStart.number(after: try await table.lastStart(), clock: SystemFacts.nanosecondsSince1970)
        do throws(StorageError) { try await table.save(start: number) } catch {
            log.warning("that this process began cannot be written down: \(error)")
        }
        var random = SystemRandomNumberGenerator()
        return ProcessStart(number: number, instance: ProcessInstance(using: &random))
    }

    private static func publisher(
        _ servers: RegistryFile<ServerRegistry>, _ mappings: RegistryFile<MappingRegistry>, _ log: Logger
    ) -> CoalescingWriter<Documents> {
        CoalescingWriter("the registries", log) { document throws(StorageError) in
            try await servers.write(document.servers)
            try await mappings.write(document.mappings)
        }
    }

    func close() async {
        try? await table.close()
        home.close()
    }
}

/// The services of a node, put together on its control loop.
struct RunningNode: Sendable {
    let core: LoopBound<NodeController>
    private let socket: LoopBound<ControlServer>

    init(
        _ settings: NodeSettings, _ state: OpenedHome, _ loops: [EventLoop], _ log: Logger,
        _ endings: AsyncStream<ExitStatus>.Continuation
    ) throws(CommandError) {
        // Handshakes are apart from the bytes of visitors, so that a flood of the former does not hold the latter up.
        let (control, lanes) = (loops[0], Array(loops.dropFirst()))
        let software = "p2prc/\(P2PRCVersion.text)"
        let bindHost = settings.bind?.host
        let server = NodeServer(on: control, keys: state.keys, policy: settings.arrivalPolicy)
        let listener: Listener
        do throws(SystemError) {
            listener = try Listener.hold(port: settings.serverPort, on: bindHost, .betweenNodes)
        } catch {
            throw Self.serverPortError(settings, error)
        }
        let judge = DialGuard(widened: settings.config.meshDial)
        var relay: RelayService?
        if settings.isRelay {
            var setup = RelayService.Setup(
                name: settings.name, software: software, policy: settings.relayPolicy,
                visitorPolicy: settings.visitorPolicy)
            setup.isOpen = settings.isOpen
            setup.allowsPlain = settings.isPlain
            setup.bindHost = bindHost
            setup.advertised = settings.advertised
            let service = RelayService(
                on: control, lanes: lanes, keys: state.keys, setup: setup, store: state.writer, dialJudge: judge,
                log: log)
            relay = service
        }
        var setup = PeerService.Setup(
            name: settings.name, software: software, process: state.process, serverPort: settings.serverPort)
        setup.bindHost = bindHost
        setup.wantsPlain = settings.isPlain
        setup.sessions = settings.sessions
        setup.openFiles = SystemFacts.descriptorLimit
        setup.knownRelays = state.knownRelays
        setup.remembered = state.agreed
        let peer = PeerService(
            on: control, lanes: lanes, keys: state.keys, setup: setup,
            parts: PeerService.Parts(
                server: server, writer: state.writer, receipts: state.receipts, judge: judge, log: log))
        let core = NodeController(
            on: control, settings: settings, keys: state.keys, meshKey: state.meshKey,
            parts: NodeController.Parts(
                server: server, relay: relay, peer: peer, tokens: state.tokens, writer: state.writer,
                membershipSaver: state.membershipSaver, publisher: state.publisher, hook: state.hook, home: state.home),
            log: log, end: { endings.yield($0) })
        core.mesh = MeshService(on: control, settings, state, judge, host: core, log)
        relay?.start(
            for: core, at: server, leases: state.leases, retired: state.retired.map(\.retirement),
            holders: state.tokenHolders)
        peer.start(for: core)
        FreedMemory(on: control).start()
        let gateway = APIGateway(on: control, socket: state.home.paths.apiSocket) { [unowned core] in core.isMember($0)
        }
        server.onHTTP = { stream, key in gateway.carry(stream, from: key) }
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
        let role = settings.isRelay ? "reverse proxy" : "node"
        let given = settings.isRelay ? "; public ports \(settings.ports)" : ""
        log.info("\(role) \(state.keys.key.short) listening on \(listener.address)\(given)")
        Self.introduce(core, settings, state, log)
        Self.restore(core, settings, state)
    }

    /// How others join, the first time; and what everybody should know about an open relay.
    private static func introduce(_ core: NodeController, _ settings: NodeSettings, _ state: OpenedHome, _ log: Logger)
    {
        guard settings.isRelay else { return }
        if let least = settings.ports.ranges.first?.first, least < SystemFacts.firstUnprivilegedPort,
            !SystemFacts.mayBindPrivilegedPorts
        {
            log.warning(
                "--ports \(settings.ports): ports below \(SystemFacts.firstUnprivilegedPort) need "
                    + "CAP_NET_BIND_SERVICE, which this process lacks, and cannot be given out; run as root, or: "
                    + "setcap cap_net_bind_service=+ep p2prc"
            )
        }
        if settings.isOpen {
            log.warning(
                "this relay is OPEN: anybody may take its public ports and its traffic; leave "
                    + "--open out to admit members only"
            )
        } else if state.isMeshKeyNew {
            Output.result("join link, a secret (whoever has it is a member): \(core.joinLink.text)")
        } else {
            log.info("p2prc mesh-key link prints the join link for new members")
        }
        if let remark = core.remarkOnAddress { log.warning("\(remark)") }
        for choice in settings.relays {
            guard let key = choice.link?.meshKey, state.meshKey?.keys(at: .now).contains(key) == false else { continue }
            log.warning(
                "this relay is of another mesh than \(choice.endpoint): whose members cannot use it; to change that, "
                    + "stop it, put mesh.key in its home aside, and start it with that join link"
            )
        }
        if settings.isPlain {
            log.warning("--plain: whoever is on the way can read and change what visitors send and get")
        }
    }

    /// What was asked for before, and what is asked for now.
    private static func restore(_ core: NodeController, _ settings: NodeSettings, _ state: OpenedHome) {
        core.peer.releasesUnknown = !state.isTableNew
        for wish in state.wishes {
            guard wish.target != .serverPort || settings.exposesServerPort else {
                core.peer.resting.insert(wish.id)
                continue
            }
            core.peer.add(wish, isTemporary: false)
        }
        if !settings.isRelay, !state.leases.isEmpty {
            core.log.warning(
                "this home was a relay's: \(state.leases.count) leases wait until it is "
                    + "started with --reverse-proxy again"
            )
        }
        for relay in state.relays {
            if let endpoint = Endpoint(relay.address, defaultPort: NodeSettings.defaultServerPort) {
                core.peer.join(endpoint)
                core.mesh?.add(seed: endpoint)
            }
        }
        for choice in settings.relays { core.joinAtStart(choice, isTemporary: settings.isTemporary) }
        core.mesh?.seedsChanged(state.seeds)
        core.mesh?.start()
        core.exposeServerPort()
        for request in settings.mappings {
            if let conflict = core.conflict(of: request) {
                core.log.warning("\(conflict)")
            } else {
                core.mapAtStart(request)
            }
        }
        // Otherwise it would wait without a word.
        let waits = core.peer.allWishes.contains { $0.target != .serverPort }
        if settings.isAuto || waits, core.peer.relayStandings.isEmpty, let lack = core.lack {
            core.log.warning("there is no relay yet: \(lack)")
        }
    }

    private static func serverPortError(_ settings: NodeSettings, _ error: SystemError) -> CommandError {
        let port = settings.serverPort
        if error.isAddressInUse {
            let holder = PortHolder.text(ofPort: port) ?? "another program"
            return CommandError(
                .serverPortInUse,
                "port \(port) is in use by \(holder); stop that, or choose another port: --server-port N")
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

    func stopMesh() { core.value.mesh?.stop() }

    func isMember(_ key: NodeKey) -> Bool { core.value.isMember(key) }

    /// What members are told of this node.
    func facts() -> NodeFacts {
        let core = core.value
        return NodeFacts(
            name: core.settings.name, key: core.keys.key, version: P2PRCVersion.text, roles: core.roles)
    }

    /// Says goodbye everywhere; the result is what stays true afterwards.
    func stop() -> Documents {
        let core = core.value
        let last = core.documents().stopped()
        socket.value.stop()
        for relay in core.forgotten {
            core.log.info("relay \(relay) never let this node in: what was given for it at the start is not kept")
        }
        core.mesh?.stop()
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
