internal import FoundationEssentials
internal import Logging
internal import PeerMesh
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// The running node behind its control socket: holds the services together, answers commands, and keeps the two
/// registries up to date. Belongs to the control loop.
final class NodeCore {
    /// How long `--mp` waits for a mapping to settle.
    private static let settleLimit = Instant.Span.seconds(20)
    /// How often it looks meanwhile, besides after each change.
    private static let settleInterval = Instant.Span.milliseconds(250)
    /// Changes within this time become one write of the registries.
    private static let publishDelay = Instant.Span.milliseconds(50)
    /// Where there is much to write, it takes one part in so many of the control loop, however often it changes.
    private static let publishShare: UInt64 = 20

    let loop: EventLoop
    let settings: NodeSettings
    var identity: NodeIdentity
    /// How this node came to its key.
    var history: KeyHistory
    let channelKeys: ChannelKeys
    let server: NodeServer
    let relay: RelayService?
    let peer: PeerService
    /// What finds other nodes, and keeps the IP table.
    var mesh: MeshService?
    let writer: TableWriter
    var meshKey: MeshKeyFile?
    /// For the end of a former mesh key.
    var meshKeyTimer: LoopTimer?
    let home: Home
    let log: Logger
    private let started = EventLoop.clock()
    private var waiters: [ObjectIdentifier: Waiter] = [:]
    private var isPublishing = false
    private var publishCost = Instant.Span.zero
    private var proclaimed: Set<String> = []
    /// What was left out of the listings the last time.
    private var toldMisfits: Set<String> = []
    var onPublish: ((Documents) -> Void)?
    /// The addresses that visitors are told; called also when nothing has changed in them.
    var onAddresses: ((PublishedAddresses) -> Void)?
    /// Whether this relay lets its peers go has changed.
    var onDrain: ((Bool) -> Void)?
    /// The tokens that this node issues and judges, where it does.
    var tokens: TokenDesk?
    /// A token (its jti) is over before its own end: it was revoked, or its key was replaced.
    var onTokenRevoked: ((String) -> Void)?

    private final class Waiter {
        let mapping: MappingID
        let answer: (ControlReply) -> Void
        let since = EventLoop.clock()
        var timer: LoopTimer?
        init(_ mapping: MappingID, _ answer: @escaping (ControlReply) -> Void) {
            self.mapping = mapping
            self.answer = answer
        }
    }

    init(
        on loop: EventLoop, settings: NodeSettings, identity: NodeIdentity, history: KeyHistory, channelKeys: ChannelKeys,
        server: NodeServer, relay: RelayService?, peer: PeerService, writer: TableWriter, meshKey: MeshKeyFile?, home: Home, log: Logger
    ) {
        self.loop = loop
        self.settings = settings
        self.identity = identity
        self.history = history
        self.channelKeys = channelKeys
        self.server = server
        self.relay = relay
        self.peer = peer
        self.writer = writer
        self.meshKey = meshKey
        self.home = home
        self.log = log
        useMeshKeys(at: .now)
        relay?.onChange = { [unowned self] in changed() }
        peer.onChange = { [unowned self] in changed() }
        peer.onChosen = { [unowned self] in exposeServerPort() }
    }

    /// What the node does at present: `relay`, `peer`, both or neither.
    var roles: [String] { (relay == nil ? [] : ["relay"]) + (peer.relayStandings.isEmpty ? [] : ["peer"]) }

    func documents() -> Documents {
        let own = relay.map { Documents.OwnRelay(endpoint: ownEndpoint($0), carried: $0.mappings(), allowsPlain: settings.isPlain) }
        var documents = Documents(
            name: settings.name, key: identity.key, own: own, relays: peer.relayStandings, known: mesh?.known ?? [],
            exposed: peer.mappings(),
            waiting: peer.relayStandings.isEmpty ? peer.allWishes.sorted { $0.id.value < $1.id.value } : [], now: .now)
        let misfits = Set(documents.leaveOutMisfits().map(\.description))
        for misfit in misfits.subtracting(toldMisfits) { log.warning("a row of the listings is left out: \(misfit)") }
        toldMisfits = misfits
        return documents
    }

    private func ownEndpoint(_ relay: RelayService) -> Endpoint {
        Endpoint(host: relay.publicHost ?? Self.ownHost(settings), port: settings.serverPort)
    }

    // MARK: Changes

    func changed() {
        settleWaiters()
        guard !isPublishing else { return }
        isPublishing = true
        loop.schedule(after: max(Self.publishDelay, publishCost * Self.publishShare)) { [weak self] in
            guard let self else { return }
            isPublishing = false
            let began = EventLoop.clock()
            publish()
            publishCost = EventLoop.clock() - began
        }
    }

    private func publish() {
        let documents = documents()
        proclaim(documents)
        onPublish?(documents)
        onAddresses?(PublishedAddresses(documents.mappings, at: peer.publishedRelays))
    }

    /// One line on standard output for each public port that is proven to work, once until that changes.
    private func proclaim(_ documents: Documents) {
        var verified: Set<String> = []
        for row in documents.mappings.mappings where row.role == .peer && row.state == .verified {
            guard let host = row.address, let port = row.blindPort else { continue }
            let line = "\(Endpoint(host: host, port: port)) -> \(row.target) verified" + Self.remark(row)
            verified.insert(line)
            if !proclaimed.contains(line) { Output.announce(line) }
        }
        proclaimed = verified
    }

    /// Whoever asked for one port and sees two wants to know why.
    private static func remark(_ row: MappingRegistry.Mapping) -> String {
        row.target == HostText.serverPort ? " (p2prc's own port, for other nodes; --no-server-port leaves it out)" : ""
    }

    // MARK: Commands

    func handle(_ request: ControlRequest, _ answer: @escaping (ControlReply) -> Void) {
        switch request {
        case .status: status(answer)
        case .viewServers: answer(Self.reply(documents().servers))
        case .explain: answer(explain())
        case .netcheck: netcheck(answer)
        case .viewMappings: answer(Self.reply(documents().mappings))
        case .map(let request): map(request, answer)
        case .unmap(let name): answer(unmap(name))
        case .release(let name): release(name, answer)
        case .join(let request): answer(join(request))
        case .trust(let text, let key): answer(trust(text, key))
        case .joinLink: answer(showJoinLink())
        case .rotateMeshKey(let keep): answer(rotateMeshKey(keepSeconds: keep))
        case .rotateNodeKey(let keep): answer(rotateNodeKey(keepSeconds: keep))
        case .leave(let text): answer(leave(text))
        case .drain(let order): drain(order, answer)
        case .token(let command): token(command, answer)
        case .table(let command): table(command, answer)
        case .refreshTable: refresh(answer)
        }
    }

    static func reply(_ document: some RegistryDocument) -> ControlReply {
        do throws(RegistryFault) {
            return ControlReply(
                status: .success, text: "", document: String(decoding: try document.json(), as: UTF8.self))
        } catch {
            return ControlReply(status: .failure, text: "the listing cannot be written: \(error)", document: nil)
        }
    }

    private func map(_ request: MappingRequest, _ answer: @escaping (ControlReply) -> Void) {
        if peer.relayStandings.isEmpty, let lack {
            return answer(ControlReply(status: .relayUnavailable, text: lack, document: nil))
        }
        if let conflict = conflict(of: request) {
            return answer(ControlReply(status: .usage, text: conflict, document: nil))
        }
        let (wish, isNew) = adopt(request)
        let waiter = Waiter(wish.id) { [weak self] reply in
            var reply = reply
            if let reach = self?.reach(of: request) {
                reply.text += (reply.status == .success ? "\n" : "; ") + reach
            }
            // A refusal leaves nothing behind; whatever can still come true stays.
            if isNew, [.refused, .noPortFree, .portTaken].contains(reply.status) { self?.forget(wish.id) }
            answer(reply)
        }
        waiters[ObjectIdentifier(waiter)] = waiter
        peer.look(at: wish.id)
        peer.hurry()
        wait(waiter)
    }

    private func wait(_ waiter: Waiter) {
        let waited = EventLoop.clock() - waiter.since
        settle(waiter, isLate: waited >= Self.settleLimit)
        guard waiters[ObjectIdentifier(waiter)] != nil else { return }
        waiter.timer = loop.schedule(after: Self.settleInterval) { [weak self, weak waiter] in
            guard let self, let waiter else { return }
            wait(waiter)
        }
    }

    /// Why waiting for a relay is no use: none was named, and this node will find none by itself.
    var lack: String? {
        guard settings.sessions > 0 else {
            return "this node is connected to no reverse proxy; join one: p2prc --connect-reverse-proxy HOST"
        }
        guard mesh?.isAlone != false else { return nil }
        return "this node knows no other node, so it finds no reverse proxy; join one: "
            + "p2prc --connect-reverse-proxy HOST, or name any node of the mesh: p2prc --as HOST"
    }

    private func settleWaiters() { for waiter in waiters.values { settle(waiter, isLate: false) } }

    private func settle(_ waiter: Waiter, isLate: Bool) {
        guard waiters[ObjectIdentifier(waiter)] != nil, isLate || !peer.isLooking(at: waiter.mapping),
            let reply = Settlement.reply(
                peer.mappings().filter { $0.wish.id == waiter.mapping }, known: mesh?.known.count ?? 0,
                waited: EventLoop.clock() - waiter.since, isLate: isLate)
        else { return }
        waiters[ObjectIdentifier(waiter)] = nil
        waiter.timer?.cancel()
        var full = reply
        let rows = documents().mappings.mappings.filter { $0.mapping == waiter.mapping && $0.role == .peer }
        full.document = Self.reply(MappingRegistry(mappings: rows)).document
        waiter.answer(full)
    }

    private func forget(_ id: MappingID) {
        writer.write("the end of a mapping", { table throws(StorageError) in try table.removeWish(id) })
        peer.remove(id)
    }

    private func unmap(_ name: String) -> ControlReply {
        let names = mappingNames
        let found = names.called(name)
        guard let id = found.first?.id else {
            return ControlReply(status: .notFound, text: nobodys(name), document: nil)
        }
        guard found.count == 1 else {
            return ControlReply(
                status: .notFound,
                text: "\(found.count) mappings could be meant by \(name); name one of them: "
                    + found.map(names.words).sorted().joined(separator: " or "),
                document: nil)
        }
        forget(id)
        return ControlReply(
            status: .success, text: "mapping \(id) is taken back", document: "{\"Mapping\": \"\(id)\"}\n")
    }

    private func join(_ request: JoinRequest) -> ControlReply {
        if request.relay == RelayChoice.auto { return joinAny() }
        let choice: RelayChoice
        do throws(CommandError) {
            choice = try RelayChoice(
                request.relay, token: request.token, acceptsOpen: request.acceptsOpen, named: "join")
        } catch { return ControlReply(status: error.status, text: error.text, document: nil) }
        let endpoint = choice.endpoint
        teach(choice)
        let isNew = peer.join(endpoint)
        mesh?.add(seed: endpoint)
        if isNew, !request.isTemporary { remember(endpoint) }
        exposeServerPort()
        return ControlReply(
            status: .success,
            text: isNew ? "joining \(endpoint); --view-rps shows how it goes" : "\(endpoint) is joined already",
            document: Self.reply(documents().servers).document)
    }

    /// A node chooses for itself anyway, unless it was told not to.
    private func joinAny() -> ControlReply {
        guard settings.sessions > 0 else {
            let text =
                settings.config.relays > 0
                ? "this node is a relay and chooses no others; start it with --connect-reverse-proxy auto"
                : "config.toml says relays = 0, only those that are named; make it 2 and restart the node"
            return ControlReply(status: .usage, text: text, document: nil)
        }
        peer.chooseRelays()
        return ControlReply(
            status: .success, text: "this node chooses among the relays that it knows; --view-rps shows which",
            document: Self.reply(documents().servers).document)
    }

    func remember(_ endpoint: Endpoint) {
        let joined = JoinedRelay(address: endpoint.description, added: UnixTime(.now))
        writer.write("a relay", { table throws(StorageError) in try table.save(joined) })
    }

    private func leave(_ text: String) -> ControlReply {
        guard let endpoint = Endpoint(text, defaultPort: NodeSettings.defaultServerPort), peer.leave(endpoint) else {
            return ControlReply(
                status: .notFound, text: "no relay is called \(text); --view-rps lists them", document: nil)
        }
        mesh?.remove(seed: endpoint)
        writer.write(
            "the end of a relay", { table throws(StorageError) in try table.removeJoinedRelay(endpoint.description) })
        return ControlReply(
            status: .success, text: "\(endpoint) is left", document: Self.reply(documents().servers).document)
    }

    /// The node's own server port is a mapping like any other, unless the user left it out.
    func exposeServerPort() {
        guard settings.exposesServerPort, !peer.relayStandings.isEmpty,
            !peer.allWishes.contains(where: { $0.target == .serverPort })
        else { return }
        let wish = MappingWish(
            id: MappingID(value: UInt64.random(in: 1 ... .max)), target: .serverPort, protocols: .tcp,
            ports: .any(count: 1))
        writer.write("a mapping", { table throws(StorageError) in try table.save(wish) })
        peer.add(wish, isTemporary: false)
    }

    private func status(_ answer: @escaping (ControlReply) -> Void) {
        let bound = LoopBound((self, answer), on: loop)
        let finish: @Sendable ([ExposedMapping], [CarriedMapping]) -> Void = { exposed, carried in
            let (core, answer) = bound.value
            answer(core.statusReply(exposed, carried))
        }
        peer.report { [loop] exposed in
            guard let relay = bound.value.0.relay else { return finish(exposed, []) }
            _ = loop
            relay.report { carried in finish(exposed, carried) }
        }
    }

    private func statusReply(_ exposed: [ExposedMapping], _ carried: [CarriedMapping]) -> ControlReply {
        let uptime = EventLoop.clock() - started
        let status = StatusDocument(
            core: self, uptimeSeconds: Int(uptime.nanoseconds / 1_000_000_000), exposed: exposed, carried: carried)
        guard let bytes = try? OrderedJSON.encode(status) else {
            return ControlReply(status: .failure, text: "the status cannot be written", document: nil)
        }
        return ControlReply(status: .success, text: "", document: String(decoding: bytes, as: UTF8.self))
    }
}
