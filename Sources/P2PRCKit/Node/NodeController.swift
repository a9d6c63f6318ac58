internal import FoundationEssentials
internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// The running node behind its control socket: holds the services together, answers commands, and keeps the two
/// registries up to date. Belongs to the control loop.
final class NodeController {
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
    let keys: KeyRing
    let server: NodeServer
    let relay: RelayService?
    let peer: PeerService
    /// What finds other nodes, and keeps the IP table.
    var mesh: MeshService?
    let tokens: TokenService
    let writer: TableWriter
    let membershipSaver: CoalescingWriter<KnownRelays>
    private let publisher: CoalescingWriter<Documents>
    private let hook: AddressHook?
    var meshKey: MeshKeyFile?
    /// For the end of a former mesh key.
    var meshKeyTimer: LoopTimer?
    let home: Home
    let log: Logger
    private let started: Instant
    private var waiters: [ObjectIdentifier: Waiter] = [:]
    /// Wait for what became of a relay that they joined.
    var joinWaiters: [ObjectIdentifier: JoinWaiter] = [:]
    /// Named on the command line, and kept when they have answered once.
    var untried: Set<Endpoint> = []
    /// What was known before of relays that a link on the command line told of, until a session with them has stood:
    /// that is what is written down.
    var untaught: [Endpoint: KnownRelays.Relay?] = [:]
    /// A mapping is being written down; whoever wants another one waits. There is one for each client at most.
    private var isMapping = false
    private var waitingToMap: [() -> Void] = []
    private var isPublishing = false
    private var publishCost = Instant.Span.zero
    /// `--mp` waits for something to settle, which is looked for in all mappings.
    private var settling = Leisure()
    private var proclaimed: Set<String> = []
    private var toldClosedPorts = false
    /// What was left out of the listings the last time.
    private var toldMisfits: Set<String> = []
    /// Where visitors are sent, as it was told last.
    var addresses = PublishedAddresses()
    /// Ends the process.
    private let end: (ExitStatus) -> Void
    let meter = LoadMeter()

    /// Parts of the node that the controller holds together.
    struct Parts {
        var server: NodeServer
        /// `nil`: this node is no relay.
        var relay: RelayService?
        var peer: PeerService
        /// The tokens that this node issues and judges.
        var tokens: TokenService
        var writer: TableWriter
        var membershipSaver: CoalescingWriter<KnownRelays>
        var publisher: CoalescingWriter<Documents>
        var hook: AddressHook?
        var home: Home
    }

    private final class Waiter {
        let mapping: MappingID
        let answer: (ControlReply) -> Void
        let since: Instant
        var timer: LoopTimer?
        init(_ mapping: MappingID, since: Instant, _ answer: @escaping (ControlReply) -> Void) {
            self.mapping = mapping
            self.since = since
            self.answer = answer
        }
    }

    /// - Parameter end: ends the process; may be called more than once.
    init(
        on loop: EventLoop, settings: NodeSettings, keys: KeyRing, meshKey: MeshKeyFile?, parts: Parts, log: Logger,
        end: @escaping (ExitStatus) -> Void
    ) {
        self.loop = loop
        self.settings = settings
        self.keys = keys
        self.meshKey = meshKey
        self.log = log
        self.end = end
        started = loop.clock()
        server = parts.server
        relay = parts.relay
        peer = parts.peer
        tokens = parts.tokens
        writer = parts.writer
        membershipSaver = parts.membershipSaver
        publisher = parts.publisher
        hook = parts.hook
        home = parts.home
        useMeshKeys(at: .now)
    }

    /// Another process with this node's key goes on in place of this one.
    func superseded() { end(.superseded) }

    /// What the node does at present: `relay`, `peer`, both or neither.
    var roles: [String] { (relay == nil ? [] : ["relay"]) + (peer.relayStandings.isEmpty ? [] : ["peer"]) }

    func documents() -> Documents {
        let own = relay.map {
            Documents.OwnRelay(
                endpoint: ownEndpoint($0), carried: $0.mappings(), allowsPlain: settings.isPlain,
                ports: settings.relayPolicy.ports.usual)
        }
        var documents = Documents(
            name: settings.name, key: keys.key, own: own, relays: peer.relayStandings, known: mesh?.known ?? [],
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
        settleJoins()
        guard !isPublishing else { return }
        isPublishing = true
        loop.schedule(after: max(Self.publishDelay, publishCost * Self.publishShare)) { [weak self] in
            guard let self else { return }
            isPublishing = false
            let began = loop.clock()
            publish()
            publishCost = loop.clock() - began
        }
    }

    private func publish() {
        let documents = documents()
        proclaim(documents)
        tellClosedPorts(documents)
        publisher.save(documents)
        addresses = PublishedAddresses(
            documents.exposed, of: Set(peer.allWishes.map(\.id)), at: peer.publishedRelays, after: addresses)
        hook?.announce(addresses)
    }

    /// One line on standard output for each public port that is proven to work, once as long as it is this node's: that
    /// its service rests for a while is no news there.
    private func proclaim(_ documents: Documents) {
        var standing: Set<String> = []
        for row in documents.mappings.mappings where row.role == .peer {
            guard let host = row.address, let port = row.blindPort else { continue }
            let way = "\(Endpoint(host: host, port: port)) -> \(row.target)"
            let line = "\(way) verified" + Self.remark(row)
            switch row.state {
            case .verified:
                standing.insert(line)
                if !proclaimed.contains(line) { Output.announce(line) }
            case .active, .targetDown:
                if proclaimed.contains(line) { standing.insert(line) }
                // It works, and not where visitors are told to come.
                guard row.state == .active, let reason = row.reason else { continue }
                standing.insert("\(way): \(reason)")
                if !proclaimed.contains("\(way): \(reason)") { Output.announce("\(way): \(reason)") }
            case .requested, .bound, .committed, .refused, .unreachable, .offline, .waiting: break
            }
        }
        proclaimed = standing
    }

    /// What peers say of this relay's public ports: once, until they reach all of them.
    private func tellClosedPorts(_ documents: Documents) {
        let closed = documents.mappings.mappings.filter { $0.role == .relay && $0.state == .unreachable }
        guard let first = closed.first, let port = first.blindPort else {
            toldClosedPorts = false
            return
        }
        guard !toldClosedPorts else { return }
        toldClosedPorts = true
        log.warning(
            "\(first.peerName) does not reach its public port \(port) here, and visitors will not either: "
                + "\(Documents.opening(settings.relayPolicy.ports.usual))"
        )
    }

    /// A reverse proxy that nobody reaches, and what to do about it.
    var remarkOnReach: [String]? {
        guard relay != nil, mesh?.standing == .notReachable else { return nil }
        let ports = settings.relayPolicy.ports.usual
        return [
            "other nodes cannot reach this node, so none uses it as a reverse proxy: open TCP "
                + "port \(settings.serverPort), and port\(ports.count == 1 ? "" : "s") \(ports) for visitors, in "
                + "its firewall"
        ]
    }

    /// Whoever asked for one port and sees two wants to know why.
    private static func remark(_ row: MappingRegistry.Mapping) -> String {
        row.target == HostText.serverPort ? " (p2prc's own port, for other nodes; --no-server-port leaves it out)" : ""
    }

    // MARK: Commands

    func handle(_ request: ControlRequest, _ answer: @escaping (ControlReply) -> Void) {
        switch request {
        case .status: status(answer)
        case .viewServers:
            var reply = Self.reply(documents().servers)
            reply.remarks = remarkOnReach
            answer(reply)
        case .explain: answer(explain())
        case .netcheck: netcheck(answer)
        case .viewMappings: answer(Self.reply(documents().mappings))
        case .map(let request): map(request, answer)
        case .unmap(let name): unmap(name, answer)
        case .release(let name): release(name, answer)
        case .join(let request): join(request, answer)
        case .trust(let text, let key): trust(text, key, answer)
        case .joinLink: answer(showJoinLink())
        case .rotateMeshKey(let keep): answer(rotateMeshKey(keepSeconds: keep))
        case .rotateNodeKey(let keep): answer(rotateNodeKey(keepSeconds: keep))
        case .leave(let text): leave(text, answer)
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
        // One after the other: two that ask for the same get one mapping.
        guard !isMapping else { return waitingToMap.append { [weak self] in self?.map(request, answer) } }
        if peer.relayStandings.isEmpty, let lack {
            return answer(ControlReply(status: .relayUnavailable, text: lack, document: nil))
        }
        if let conflict = conflict(of: request) {
            return answer(ControlReply(status: .usage, text: conflict, document: nil))
        }
        let adoption = adoption(of: request)
        isMapping = true
        let written = onLoop { (core: NodeController, error: StorageError?) in
            core.isMapping = false
            core.written(adoption, request, error, answer)
            if !core.waitingToMap.isEmpty { core.waitingToMap.removeFirst()() }
        }
        let changes = adoption.toWrite
        if !changes.isEmpty {
            writer.write(
                "a mapping", { table throws(StorageError) in for wish in changes { try table.save(wish) } },
                done: written)
        } else if adoption.isTemporary {
            written(nil)
        } else {
            writer.confirm(Self.name(adoption.wish.id), done: written)
        }
    }

    private func written(
        _ adoption: Adoption, _ request: MappingRequest, _ error: StorageError?,
        _ answer: @escaping (ControlReply) -> Void
    ) {
        let id = adoption.wish.id
        if let error {
            let truth =
                switch adoption.kind {
                case .new: "nothing is exposed"
                case .changed: "the mapping stays as it was"
                case .same: "the mapping works, but is not kept over a restart"
                }
            return answer(.unchanged(truth, error))
        }
        carryOut(adoption)
        let waiter = Waiter(id, since: loop.clock()) { [weak self] reply in
            var reply = reply
            reply.remarks = (reply.remarks ?? []) + [adoption.remark].compactMap { $0 }
            let isRefused = [.refused, .noPortFree, .portTaken].contains(reply.status)
            guard let self else { return answer(reply) }
            if let reach = reach(of: request) { reply.text += (reply.status == .success ? "\n" : "; ") + reach }
            // A refusal leaves nothing behind; whatever can still come true stays.
            if adoption.kind == .new, isRefused { return forget(id) { answer(reply.adding($0)) } }
            if reply.status != .success, !isRefused, !adoption.isTemporary {
                reply.text += "; it is kept (p2prc unmap \(shortName(of: adoption.wish)) takes it back)"
            }
            answer(reply)
        }
        waiters[ObjectIdentifier(waiter)] = waiter
        peer.look(at: id)
        peer.hurry()
        wait(waiter)
    }

    /// By which `unmap` finds it: its name, or its local port where no other mapping is meant by that.
    private func shortName(of wish: MappingWish) -> String {
        if !wish.name.isEmpty { return wish.name }
        guard case .service(let host, let port) = wish.target else { return wish.id.description }
        let names = mappingNames
        return [port.description, Endpoint(host: host, port: port).description].first { names.called($0).count == 1 }
            ?? wish.id.description
    }

    private func wait(_ waiter: Waiter) {
        let waited = loop.clock() - waiter.since
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
            return "this node is connected to no reverse proxy; join one: p2prc join LINK"
        }
        guard mesh?.isAlone != false else { return nil }
        return "this node knows no other node, so it finds no reverse proxy; join one: "
            + "p2prc join LINK, or name any node of the mesh: p2prc --as HOST"
    }

    /// Where that takes long, `wait` does it soon enough.
    private func settleWaiters() {
        guard !waiters.isEmpty, settling.isDue else { return }
        let start = loop.clock()
        for waiter in waiters.values { settle(waiter, isLate: false) }
        settling.done(since: start)
    }

    private func settle(_ waiter: Waiter, isLate: Bool) {
        guard waiters[ObjectIdentifier(waiter)] != nil, isLate || !peer.isLooking(at: waiter.mapping),
            let reply = MapOutcome.reply(
                peer.mappings().filter { $0.wish.id == waiter.mapping }, known: mesh?.known.count ?? 0,
                waited: loop.clock() - waiter.since, isLate: isLate)
        else { return }
        waiters[ObjectIdentifier(waiter)] = nil
        waiter.timer?.cancel()
        var full = reply
        let rows = documents().mappings.mappings.filter { $0.mapping == waiter.mapping && $0.role == .peer }
        full.document = Self.reply(MappingRegistry(mappings: rows)).document
        waiter.answer(full)
    }

    /// - Parameter done: why it will be back after a restart; `nil`: it is gone for good.
    private func forget(_ id: MappingID, _ done: @escaping (StorageError?) -> Void) {
        let isTemporary = peer.isTemporary(id)
        peer.unmap(id)
        guard !isTemporary else { return done(nil) }
        writer.keep(
            "the end of a mapping", as: Self.name(id), { table throws(StorageError) in try table.removeWish(id) },
            done: onLoop { _, error in done(error) })
    }

    private func unmap(_ name: String, _ answer: @escaping (ControlReply) -> Void) {
        let names = mappingNames
        let found = names.called(name)
        guard let id = found.first?.id else {
            return answer(ControlReply(status: .notFound, text: nobodys(name), document: nil))
        }
        guard found.count == 1 else {
            return answer(
                ControlReply(
                    status: .notFound,
                    text: "\(found.count) mappings could be meant by \(name); name one of them: "
                        + found.map(names.words).sorted().joined(separator: " or "),
                    document: nil))
        }
        let what = names.account(of: found[0])
        forget(id) { error in
            guard let error else {
                return answer(
                    ControlReply(
                        status: .success, text: "\(what) is taken back", document: "{\"Mapping\": \"\(id)\"}\n"))
            }
            answer(
                .unwritten("\(what) is taken back and closed now, but will be open again after a restart", error))
        }
    }

    /// The node's own server port is a mapping like any other, unless the user left it out.
    func exposeServerPort() {
        guard settings.exposesServerPort, !peer.relayStandings.isEmpty,
            !peer.allWishes.contains(where: { $0.target == .serverPort })
        else { return }
        let wish = MappingWish(
            id: MappingID(value: UInt64.random(in: 1 ... .max)), target: .serverPort, protocols: .tcp,
            ports: .any(count: 1))
        keep(wish)
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
        let uptime = loop.clock() - started
        let status = StatusDocument(
            core: self, uptimeSeconds: Int(uptime.nanoseconds / 1_000_000_000), exposed: exposed, carried: carried)
        guard let bytes = try? OrderedJSON.encode(status) else {
            return ControlReply(status: .failure, text: "the status cannot be written", document: nil)
        }
        return ControlReply(status: .success, text: "", document: String(decoding: bytes, as: UTF8.self))
    }
}
