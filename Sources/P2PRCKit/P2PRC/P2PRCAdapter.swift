internal import Logging
internal import PeerAPI
internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// `p2prc_compat`: P2PRC nodes exchange tables with this one, at a port of their own. What they tell becomes seeds of
/// their kind; what they get is this node and what others of them told. No key of theirs is looked at, and none of them
/// is asked by this node.
struct P2PRCAdapter: Sendable {
    private let control: EventLoop
    private let listener: LoopBound<P2PRCListener>
    private let server: APIServer
    private let running: Task<Void, Never>

    /// Takes callers when it returns.
    static func start(
        at address: SocketAddress, _ settings: NodeSettings, _ state: OpenedHome, _ core: LoopBound<NodeController>,
        on control: EventLoop, log: Logger
    ) async throws(CommandError) -> P2PRCAdapter {
        let path = state.home.paths.p2prcSocket
        let answers = P2PRCAnswers(name: settings.name) { table in
            await exchange(table, settings, address.port, state.writer.table, core, control, log)
        }
        let server: APIServer
        do throws(APIError) { server = try await APIServer.listenToP2PRC(at: path, answers: answers, log: log) } catch {
            throw CommandError(.homeUnusable, error.text)
        }
        let running = Task { await server.run() }
        let listener: Result<LoopBound<P2PRCListener>, CommandError> = await withCheckedContinuation { continuation in
            control.execute { continuation.resume(returning: Self.listen(at: address, path, on: control)) }
        }
        do {
            let adapter = P2PRCAdapter(control: control, listener: try listener.get(), server: server, running: running)
            log.info("P2PRC nodes may exchange tables at \(address), without encryption")
            return adapter
        } catch {
            server.stop()
            await running.value
            throw error
        }
    }

    func stop() async {
        await withCheckedContinuation { continuation in
            control.execute {
                listener.value.stop()
                continuation.resume()
            }
        }
        server.stop()
        await running.value
    }

    private static func listen(
        at address: SocketAddress, _ path: String, on control: EventLoop
    ) -> Result<LoopBound<P2PRCListener>, CommandError> {
        do throws(SystemError) {
            let held = try Listener.hold(address, .betweenNodes)
            let listener = P2PRCListener(on: control, held, socket: path)
            try listener.start()
            return .success(LoopBound(listener, on: control))
        } catch {
            let what = "p2prc_compat = \"\(address)\" cannot be opened: \(error.text)"
            return .failure(CommandError(.serverPortInUse, "\(what); write another ADDR:PORT in config.toml"))
        }
    }

    // MARK: -

    private static func exchange(
        _ table: P2PRCTable, _ settings: NodeSettings, _ port: UInt16, _ ipTable: IPTable,
        _ core: LoopBound<NodeController>, _ control: EventLoop, _ log: Logger
    ) async -> P2PRCTable {
        let judge = DialGuard(widened: settings.config.meshDial)
        let own = ownAddress(settings, port)
        let seeds = P2PRCRows.seeds(of: table).seeds.filter { seed in
            guard let address = P2PRCRows.address(seed.address), address != own else { return false }
            return judge.allows(address.host, port: address.port, for: .node)
        }.map { Seed(address: $0.address, source: .p2prc, name: $0.name, added: UnixTime(.now)) }
        do throws(StorageError) {
            let count = try await ipTable.save(seeds)
            let all = try await ipTable.seeds()
            if count.added > 0 {
                log.info("P2PRC nodes told of \(count.added) more addresses; --ls lists them")
                control.execute { core.value.mesh?.seedsChanged(all) }
            }
            return Self.table(own.map { (settings.name, $0) }, all)
        } catch {
            log.error("what a P2PRC node told could not be written down: \(error)")
            return Self.table(own.map { (settings.name, $0) }, [])
        }
    }

    /// This node, and what P2PRC nodes told of each other. Nodes of the mesh are not in it: they would not understand
    /// who comes.
    private static func table(_ own: (name: String, address: NodeAddress)?, _ seeds: [Seed]) -> P2PRCTable {
        var rows = own.map { [P2PRCRows.row($0.name, $0.address)] } ?? []
        for seed in seeds where seed.source == .p2prc {
            if let address = P2PRCRows.address(seed.address) { rows.append(P2PRCRows.row(seed.name, address)) }
        }
        return P2PRCTable(rows: rows)
    }

    /// Where P2PRC nodes reach this one, as far as that is known here.
    private static func ownAddress(_ settings: NodeSettings, _ port: UInt16) -> NodeAddress? {
        let bound = settings.p2prcCompat.flatMap { $0.isUnspecified ? nil : $0.hostText }
        let host =
            settings.advertised.flatMap { HostAddress($0) } ?? bound.flatMap { HostAddress($0) }
            ?? AttachedNetworks.likeliestOwnHost.flatMap { HostAddress($0) }
        return host.flatMap { NodeAddress(host: $0, port: port) }
    }
}
