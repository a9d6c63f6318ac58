internal import Logging
internal import PeerAPI
internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerTokens
internal import PeerWire

/// The services of a node, put together on its control loop.
struct RunningNode: Sendable {
    let core: LoopBound<NodeController>
    private let socket: LoopBound<ControlServer<NodeController>>

    init(
        _ settings: NodeSettings, _ state: OpenedHome, _ loops: [EventLoop], _ log: Logger,
        _ endings: AsyncStream<ExitStatus>.Continuation
    ) throws(CommandError) {
        // Handshakes are apart from the bytes of visitors, so that a flood of the former does not hold the latter up.
        let (control, lanes) = (loops[0], Array(loops.dropFirst()))
        let software = "p2prc/\(P2PRCVersion.text)"
        let bindHost = settings.bind?.host
        let carriers = Parts.carriers(state.keys)
        let server = NodeServer(on: control, carriers: carriers, policy: settings.arrivalPolicy)
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
            setup.datagramPort = settings.carriesDatagrams ? settings.serverPort : nil
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
        setup.flows = settings.config.datagrams.table
        setup.knownRelays = state.knownRelays
        setup.remembered = state.kept.agreed
        let peer = PeerService(
            on: control, lanes: lanes, keys: state.keys, setup: setup,
            parts: PeerService.Parts(
                server: server, carriers: carriers, writer: state.writer, receipts: state.receipts, judge: judge,
                log: log))
        let listings = ListingsWriter(
            on: control, publisher: state.publisher, hook: state.hook, ports: settings.relayPolicy.ports.usual, log: log
        )
        let core = NodeController(
            on: control, settings: settings, keys: state.keys, meshKey: state.meshKey,
            parts: NodeController.Parts(
                server: server, relay: relay, peer: peer, tokens: state.tokens, writer: state.writer,
                membershipSaver: state.membershipSaver, listings: listings, home: state.home),
            log: log, end: { endings.yield($0) })
        core.mesh = MeshService(on: control, settings, state, judge, host: core, log)
        relay?.start(
            for: core, at: server, leases: state.kept.leases, retired: state.kept.retired.map(\.retirement),
            holders: state.kept.tokenHolders)
        peer.start(for: core)
        FreedMemory(on: control).start()
        server.gateway = APIGateway(on: control, socket: state.home.paths.apiSocket, members: core)
        let socket: ControlServer<NodeController>
        do throws(SystemError) {
            try server.listen(listener)
            socket = try ControlServer(
                on: control, path: state.home.paths.controlSocket, verbs: VerbTable(Parts.verbs), of: core)
            try socket.start()
        } catch {
            throw Self.serverPortError(settings, error)
        }
        self.core = LoopBound(core, on: control)
        self.socket = LoopBound(socket, on: control)
        let role = settings.isRelay ? "reverse proxy" : "node"
        let given = settings.isRelay ? "; \(settings.publicPorts)" : ""
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
        for wish in state.kept.wishes {
            guard wish.target != .serverPort || settings.exposesServerPort else {
                core.peer.resting.insert(wish.id)
                continue
            }
            core.peer.add(wish, isTemporary: false)
        }
        if !settings.isRelay, !state.kept.leases.isEmpty {
            core.log.warning(
                "this home was a relay's: \(state.kept.leases.count) leases wait until it is "
                    + "started with --reverse-proxy again"
            )
        }
        for relay in state.kept.relays {
            if let endpoint = Endpoint(relay.address, defaultPort: NodeSettings.defaultServerPort) {
                core.peer.join(endpoint)
                core.mesh?.add(seed: endpoint)
            }
        }
        for choice in settings.relays { core.joinAtStart(choice, isTemporary: settings.isTemporary) }
        core.mesh?.seedsChanged(state.kept.seeds)
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
