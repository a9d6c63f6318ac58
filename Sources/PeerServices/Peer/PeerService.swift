internal import Logging
public import PeerCore
public import PeerReactor
internal import PeerStorage
public import PeerWire

/// The shell around `RelayLink` and `PeerPortAgreement`: a session to each relay on the control loop, watches over
/// the targets, checks from outside, and one lane a loop for the data.
public final class PeerService {
    private static let tick = Instant.Span.milliseconds(200)
    /// One latency sample in the IP table for so long: the best of those taken meanwhile.
    private static let sampleInterval = Instant.Span.seconds(5)
    private static let oneNumberInterval = Instant.Span.seconds(2)
    /// A relay that says too much is heard again after this.
    private static let shortestWait = Instant.Span.milliseconds(20)

    /// What the user can do when the wrong one of two processes with one key had to stop.
    static let afterSupersession =
        "this process stops; to go on with it, stop the other one, which has a copy of this "
        + "home, and start this one again"

    let loop: EventLoop
    let laneLoops: [EventLoop]
    let keys: KeyRing
    private let setup: Setup
    let server: NodeServer
    var serverPort: UInt16 { setup.serverPort }
    var bindHost: SocketAddress.Host? { setup.bindHost }
    let writer: TableWriter
    let receipts: ReceiptWriter
    let log: Logger
    let resolver = Resolver()
    let judge: DialGuard
    let tables: ListenerTables
    /// Visitors and their channels leave so many open files to all else.
    private static let keptDescriptors = 32
    private let descriptors: ReserveGate.Supply
    var shortage = Shortage()
    let news: TargetNews
    private(set) var lanes: [LoopBound<PeerLane>] = []
    var relays: [Relay] = []
    let selector: RelaySelector
    /// Left by the user: not chosen again while this process runs. At most `maximumUnwanted`.
    var unwanted: Set<NodeKey> = []
    private static let maximumUnwanted = 1_024
    var wishes: [MappingID: MappingWish] = [:]
    var temporary: Set<MappingID> = []
    /// Kept, and not exposed by this process.
    public var resting: Set<MappingID> = []
    /// Whether a lease of a mapping that this node does not know is given back: not where what it knew was lost.
    public var releasesUnknown = true
    var watches: [MappingID: TargetWatch] = [:]
    /// What the log was told of targets.
    var targetLogs: [MappingID: TargetLog] = [:]
    var routes: [MappingID: Route] = [:]
    /// What relays gave, the last one last.
    var remembered: [AgreedPorts]
    var oneNumber = OneNumber()
    private var nextLookForOneNumber = Instant.zero
    /// Those that had sessions when the last process ended.
    let lastRelays: [String]
    var thirdChecks: [UInt32: ThirdCheck] = [:]
    var nextCheck: UInt32 = 0
    private var isStopped = false
    /// What is known of relays; changes that come of sessions are told to the host.
    public internal(set) var knownRelays: KnownRelays
    /// Set as long as the peer runs.
    private(set) weak var host: (any PeerHost)?

    public init(on loop: EventLoop, lanes laneLoops: [EventLoop], keys: KeyRing, setup: Setup, parts: Parts) {
        self.loop = loop
        self.laneLoops = laneLoops
        self.keys = keys
        self.setup = setup
        server = parts.server
        writer = parts.writer
        receipts = parts.receipts
        judge = parts.judge
        log = parts.log
        descriptors = ReserveGate.Supply(limit: setup.openFiles, reserve: Self.keptDescriptors)
        selector = RelaySelector(on: loop, sessions: setup.sessions)
        knownRelays = setup.knownRelays
        remembered = setup.remembered
        lastRelays = setup.remembered.lastRelays(max(1, setup.sessions))
        tables = ListenerTables(on: loop)
        news = TargetNews(on: loop, log)
    }

    public func start(for host: any PeerHost) {
        self.host = host
        // The lanes do not keep their peer alive.
        let bound = LoopBound(Weak(self), on: loop)
        lanes = laneLoops.map { [loop, keys, descriptors] laneLoop in
            LoopBound(
                PeerLane(
                    on: laneLoop, keys: keys, descriptors: descriptors, lanes: laneLoops.count
                ) { report in
                    loop.execute { bound.value.value?.laneReported(report) }
                }, on: laneLoop)
        }
        scheduleTick()
        startSelecting()
    }

    /// Tells every relay that this node leaves.
    public func stop() {
        isStopped = true
        selector.stop()
        for relay in relays {
            relay.timer?.cancel()
            relay.dialler?.cancel()
            relay.channel?.send(PeerMessage.close(.leaving, detail: "").bytes)
            relay.channel?.closeAfterFlush()
            relay.link.stop()
        }
        for watch in watches.values { watch.stop() }
    }

    // MARK: What users ask for

    /// Holds a session to this relay from now on. `false` when it does so already.
    @discardableResult
    public func join(_ endpoint: Endpoint) -> Bool {
        if let relay = relays.first(where: { $0.endpoint == endpoint }) {
            guard !relay.isNamed else { return false }
            forget(relay)
        }
        if let key = knownRelays[endpoint.description].key { unwanted.remove(key) }
        add(Relay(endpoint, link: newLink()))
        return true
    }

    func newLink() -> RelayLink { RelayLink(seed: UInt64.random(in: 0 ... .max), at: loop.clock()) }

    func add(_ relay: Relay) {
        relay.lane = relays.count % laneLoops.count
        relays.append(relay)
        for wish in wishes.values { addAgreement(wish, at: relay) }
        arm(relay)
        host?.changed()
    }

    /// Changes what is known of relays, and tries the one at once that is affected.
    ///
    /// - Parameter done: told when that is on the disk, or why it is not.
    public func change(
        _ address: Endpoint, done: TableWriter.Done? = nil, _ body: (inout KnownRelays) -> Void
    ) {
        let former = knownRelays
        body(&knownRelays)
        // Saved also where it is the same: what it became before may be on its way, or may not have been written.
        host?.save(knownRelays, done: done)
        guard knownRelays != former else { return }
        hurry(to: address)
    }

    /// Gives up the session to a relay and what was agreed there. `false` when it was not joined.
    @discardableResult
    public func leave(_ endpoint: Endpoint) -> Bool {
        guard let relay = relays.first(where: { $0.endpoint == endpoint }) else { return false }
        if let key = relay.key ?? relay.chosenKey ?? knownRelays[endpoint.description].key,
            unwanted.count < Self.maximumUnwanted
        {
            unwanted.insert(key)
        }
        if relay.link.state == .established {
            for id in relay.agreements.keys { send(.release(id), to: relay) }
        }
        if let key = relay.key { for id in relay.agreements.keys { receipts.remove(relay: key, mapping: id) } }
        forget(relay)
        return true
    }

    /// Ends the session, if there is one, and forgets the relay; what it leased to this node stays leased.
    func forget(_ relay: Relay) {
        guard let index = relays.firstIndex(where: { $0 === relay }) else { return }
        if relay.link.state == .established { send(.close(.leaving, detail: ""), to: relay) }
        relay.channel?.closeAfterFlush()
        relay.channel = nil
        relay.timer?.cancel()
        relay.dialler?.cancel()
        relay.link.stop()
        relays.remove(at: index)
        lost(relay)
        freeOwnPort(of: relay)
        host?.changed()
    }

    /// Exposes something from now on, at every relay. What is temporary leaves no trace in the IP table.
    public func add(_ wish: MappingWish, isTemporary: Bool) {
        guard wishes.updateValue(wish, forKey: wish.id) == nil else { return }
        if isTemporary { temporary.insert(wish.id) }
        var route = Route(addresses: [], count: wish.ports.count)
        switch wish.target {
        case .serverPort:
            let host = bindHost ?? .ipv4([127, 0, 0, 1])
            route.addresses = [SocketAddress(host: host, port: serverPort)]
        case .service(let host, let port):
            if let address = SocketAddress(numeric: host, port: port) { route.addresses = [address] }
            watches[wish.id] = watch(wish, Endpoint(host: host, port: port))
        }
        if !wish.isWatched { route.targets = .answering(wish.ports.count) }
        setRoute(route, for: wish.id)
        for relay in relays { addAgreement(wish, at: relay) }
        watches[wish.id]?.ask()
        host?.changed()
    }

    /// Takes a mapping back. `false` when there is none.
    @discardableResult
    public func unmap(_ id: MappingID) -> Bool {
        guard let wish = wishes.removeValue(forKey: id) else { return false }
        temporary.remove(id)
        watches.removeValue(forKey: id)?.stop()
        targetLogs.removeValue(forKey: id)?.timer?.cancel()
        setRoute(nil, for: id)
        receipts.removeAll(of: id)
        for relay in relays {
            relay.receipts.remove(id)
            relay.toldRefusals[id] = nil
            relay.toldUnreachable.remove(id)
            guard relay.agreements.removeValue(forKey: id) != nil else { continue }
            if wish.target == .serverPort { freeOwnPort(of: relay) }
            if relay.link.state == .established { send(.release(id), to: relay) }
        }
        host?.changed()
        return true
    }

    /// Looks at a mapping's target now instead of at the next turn.
    public func look(at id: MappingID) { watches[id]?.ask() }

    /// Whether the target is being looked at, so that what is known of it may change at once.
    public func isLooking(at id: MappingID) -> Bool { watches[id]?.isLooking ?? false }

    /// Another word of the user about a mapping that is there, with the same target. Where it is for other visitors,
    /// its relays are asked anew; it keeps its ports.
    public func change(_ wish: MappingWish) {
        guard let former = wishes[wish.id], former.target == wish.target else { return }
        wishes[wish.id] = wish
        if wish.isOnDemand != former.isOnDemand { rewatch(wish) }
        for relay in relays {
            if relay.agreements[wish.id]?.takeOver(wish) == true { continue }
            addAgreement(wish, at: relay)
        }
        host?.changed()
    }

    /// Tries those relays at once to which there is no session.
    public func hurry() {
        for relay in relays { run(relay.link.hurry(at: loop.clock()), relay) }
    }

    public func hurry(to endpoint: Endpoint) {
        for relay in relays where relay.endpoint == endpoint { run(relay.link.hurry(at: loop.clock()), relay) }
    }

    public var allWishes: [MappingWish] { Array(wishes.values) }

    /// Whether it ends with this process.
    public func isTemporary(_ id: MappingID) -> Bool { temporary.contains(id) }

    /// It stays, though it was made to end with this process.
    public func keep(_ id: MappingID) { temporary.remove(id) }

    // MARK: Sessions

    private func arm(_ relay: Relay) {
        relay.timer?.cancel()
        guard !isStopped, let deadline = relay.link.nextDeadline else { return }
        relay.timer = loop.schedule(after: deadline - loop.clock()) { [weak self, weak relay] in
            guard let self, let relay else { return }
            run(relay.link.timePassed(at: loop.clock()), relay)
        }
    }

    func run(_ actions: [RelayLink.Action], _ relay: Relay) {
        for action in actions { carryOut(linkAction: action, relay) }
        arm(relay)
    }

    private func carryOut(linkAction action: RelayLink.Action, _ relay: Relay) {
        switch action {
        case .connect: connect(relay)
        case .send(let bytes): relay.channel?.send(bytes)
        case .disconnect: disconnect(relay)
        case .established(let terms, let channels): established(relay, terms, Int(channels))
        case .deliver(let message): deliver(message, relay)
        case .measured(let latency): measured(latency, relay)
        case .lost: lost(relay)
        case .explain(let failure) where !relay.isNamed:
            log.about(relay.endpoint).info("relay \(relay.endpoint), chosen by this node: \(failure)")
            fell(relay)
        case .explain(let failure):
            let reason = failure + (relay.hidesToken ? "; the token given for it belongs to another relay" : "")
            relay.reason = reason
            relay.wasRefused = false
            log.about(relay.endpoint).warning(
                "relay \(relay.endpoint): \(reason); trying again (p2prc leave \(relay.endpoint) gives it up)")
            host?.changed()
        case .superseded(let detail):
            lost(relay)
            log.about(relay.endpoint).error("relay \(relay.endpoint): superseded, \(detail); \(Self.afterSupersession)")
            host?.superseded()
        }
    }

    private func connect(_ relay: Relay) {
        if !relay.isNamed, !mayDial(relay.endpoint) {
            return run(
                relay.link.connectionFailed("it may not be dialled", isSilence: false, at: loop.clock()), relay)
        }
        relay.dialler = RelayDialler(on: loop, resolver, keys.tls, to: relay.endpoint) {
            [weak self, weak relay] event in
            guard let self, let relay, !isStopped else { return }
            let now = loop.clock()
            switch consume event {
            case .reached: run(relay.link.reached(at: now), relay)
            case .notReached(let reason, let isSilence):
                run(relay.link.connectionFailed(reason, isSilence: isSilence, at: now), relay)
            case .notSecured(let reason): run(relay.link.closed(reason, at: now), relay)
            case .secured(let stream, let facts): secured(relay, stream, facts)
            }
        }
        relay.dialler?.start()
    }

    private func secured(_ relay: Relay, _ stream: consuming Stream, _ facts: TLSHandshake.Facts) {
        guard let key = facts.key, let secrets = facts.secrets else { return }
        if let wanted = relay.chosenKey, wanted != key {
            // Nothing is shown to it: it is not the one whose record this node read.
            return run(relay.link.closed("the key there is not \(wanted.short)", at: loop.clock()), relay)
        }
        let address = relay.endpoint.description
        var pin: PeerHandshake.Pin?
        if case .changed(let pinned) = knownRelays.verdict(on: key, at: address) {
            pin = PeerHandshake.Pin(
                key: pinned, complaint: complaint(about: key, insteadOf: pinned, at: address), now: loop.wall())
        }
        let channel = ByteChannel(on: loop, stream, isRegistered: true)
        relay.channel = channel
        relay.decoder = FrameDecoder()
        relay.greeting = []
        relay.isLocal = channel.isLocal
        let goOn = { [weak self, weak relay, weak channel] in
            guard let self, let relay, let channel, relay.channel === channel else { return }
            self.goOn(with: relay, channel)
        }
        channel.start(onTurn: goOn) { [weak self, weak relay, weak channel] event in
            guard let self, let relay, relay.channel === channel else { return }
            switch event {
            case .received(let bytes): received(bytes, relay)
            case .closed(let reason):
                // What the library calls it when a session breaks off tells nobody anything.
                let isLost = relay.link.state == .established
                run(relay.link.closed(isLost ? "the relay went away" : reason, at: loop.clock()), relay)
            }
        }
        let credentials = knownRelays.credentials(
            for: key, at: address, own: keys.meshKeys, history: keys.history.valid(at: loop.wall().seconds),
            isPinned: pin != nil, isTokenFor: { [host] in host?.isToken($0, for: $1) ?? false })
        relay.hidesToken = pin == nil && knownRelays[address].token != nil && credentials.token == nil
        let handshake = PeerHandshake(
            with: key, secrets: secrets, credentials: credentials,
            introduction: PeerMessage.Introduction(
                instance: setup.process.instance, name: setup.name, dialled: address, software: setup.software,
                wantsPlain: setup.wantsPlain, began: setup.process.number),
            pin: pin)
        run(relay.link.secured(handshake, at: loop.clock()), relay)
    }

    private func received(_ bytes: [UInt8], _ relay: Relay) {
        relay.lastHeard = loop.wall()
        if let key = relay.terms?.key { selector.heard(key) }
        // The one answer that is no frame: the relay speaks another version.
        if case .opening = relay.link.state, relay.greeting.count < Preamble.byteCount {
            relay.greeting += bytes.prefix(Preamble.byteCount - relay.greeting.count)
            if case .preamble(let preamble) = Preamble.read(relay.greeting), preamble.kind == .versionAnswer {
                return run(relay.link.receivedVersion(preamble.version, at: loop.clock()), relay)
            }
        }
        relay.decoder.append(bytes)
        if let channel = relay.channel { goOn(with: relay, channel) }
    }

    /// Handles the frames that have come; those that are too many for now in later turns.
    private func goOn(with relay: Relay, _ channel: ByteChannel) {
        var turn = FrameTurn()
        do throws(WireError) {
            while relay.channel === channel {
                guard turn.hasRoom() else { return channel.hold() }
                let now = loop.clock()
                if let span = relay.work.wait(at: now) { return channel.hold(for: max(span, Self.shortestWait)) }
                guard let frame = try relay.decoder.next() else { return }
                relay.work.countFrame(at: now)
                run(relay.link.received(frame, at: now), relay)
            }
        } catch {
            run(relay.link.closed(error.description, at: loop.clock()), relay)
        }
    }

    private func disconnect(_ relay: Relay) {
        relay.dialler?.cancel()
        relay.dialler = nil
        relay.channel?.close()
        relay.channel = nil
    }

    private func established(_ relay: Relay, _ terms: SessionTerms, _ channels: Int) {
        relay.terms = terms
        relay.name = terms.name
        relay.key = terms.key
        relay.reason = nil
        relay.lastSaved = .zero
        let protection = terms.protection.isPlain ? ", data channels not encrypted" : ""
        log.about(relay.endpoint).info(
            "session to relay \(relay.endpoint) (\(terms.name), \(terms.key.short)\(protection))")
        if terms.basis == .openRelay {
            log.about(relay.endpoint).warning(
                "relay \(relay.endpoint) is open: anybody may use it, and nothing but its key tells who it is")
        }
        follow(relay, terms.formerKeys, to: terms.key)
        // A chosen one is known by its record; what is pinned is what the user named.
        if relay.isNamed, knownRelays.learn(terms.key, meshKey: terms.meshKey, at: relay.endpoint.description) {
            host?.save(knownRelays, done: nil)
        }
        relay.figures = SampleLog()
        relay.channels = ChannelTrouble(groups: terms.groups)
        if let address = relay.channel?.remoteAddress {
            for number in 0..<terms.groups {
                onLane(of: number, relay) { lane, group in
                    lane.open(terms, group: group.number, at: [address], wanted: channels)
                }
            }
        }
        let moment = UnixTime(loop.wall())
        let record = KnownNode(
            key: terms.key, name: terms.name, address: relay.endpoint.description, role: .relay, firstSeen: moment,
            lastSeen: moment)
        writer.write("a relay", { table throws(StorageError) in try table.save(record) })
        for id in relay.agreements.keys { begin(id, at: relay) }
        checkWhatIsOpen()
        stands(relay, terms.key)
        if relay.isNamed { host?.namedRelayStands(relay.endpoint) }
        host?.changed()
    }

    private func lost(_ relay: Relay) {
        let key = relay.terms?.key
        for number in 0..<(relay.terms?.groups ?? 0) { onLane(of: number, relay) { $0.close($1) } }
        relay.terms = nil
        relay.waiting = []
        relay.waitingChecks = []
        relay.checksAwaitingName = []
        relay.askedAbout = []
        relay.renewal.take()?("the session ended before the relay said what it makes of it")
        for id in relay.agreements.keys { handle(.sessionLost, id, relay) }
        if let key { selector.lost(key) }
        host?.changed()
    }

    private func measured(_ latency: Instant.Span, _ relay: Relay) {
        relay.figures.add(ProbeSample(at: loop.clock(), roundTrip: latency))
        if let key = relay.terms?.key { host?.measured(latency, of: key) }
        relay.samples.append(latency)
        relay.latency = relay.samples.suffix(5).min()
        let now = loop.clock()
        guard now - relay.lastSaved >= Self.sampleInterval || relay.lastSaved == .zero, let key = relay.key,
            let best = relay.samples.min()
        else { return }
        relay.lastSaved = now
        let sample = LatencySample(node: key, at: UnixTime(loop.wall()), roundTrip: best)
        writer.write("a latency sample", { table throws(StorageError) in try table.record(sample) })
        relay.samples = []
        host?.changed()
    }

    private func deliver(_ message: RelayMessage, _ relay: Relay) {
        switch message {
        case .offer(let offer): handle(.offered(offer), offer.mapping, relay)
        case .active(let mapping, let attempt, let host):
            relay.toldRefusals[mapping] = nil
            handle(.activated(attempt: attempt, host: host), mapping, relay)
        case .refusal(let mapping, .withdrawn, _) where relay.agreements[mapping].map({ $0.stage == .offline }) ?? true:
            // Leased to this node, and not asked for in this session: the relay says so once.
            if wishes[mapping] == nil, releasesUnknown, !resting.contains(mapping) {
                send(.release(mapping), to: relay)
            }
        case .refusal(let mapping, let reason, let detail):
            tellRefusal(of: mapping, detail, relay)
            handle(.refused(reason, detail: detail), mapping, relay)
        case .channelsWanted(let count, let number): onLane(of: Int(number), relay) { $0.want(Int(count), for: $1) }
        case .checkDone(let number, let passed, _):
            // Only from the node that was asked.
            if thirdChecks[number]?.verifier === relay { thirdNodeAnswered(number, passed: passed) }
        case .meshKeyRenewed(let key): received(meshKey: key, from: relay)
        case .keyHistory(let history): received(keyHistory: history, from: relay)
        case .tokenJudged(let reason): judged(reason, by: relay)
        case .draining(let isDraining): received(isDraining: isDraining, from: relay)
        case .receipt(let draft):
            guard let key = relay.terms?.key else { return }
            handle(.receiptOffered(draft, relay: key, peer: keys.key), draft.terms.mapping, relay)
        case .released: break
        case .membership, .welcome, .close, .ping, .pong:
            break  // `RelayLink` delivers none of these.
        }
    }

    func send(_ message: PeerMessage, to relay: Relay) { relay.channel?.send(message.bytes) }

    private func scheduleTick() {
        loop.schedule(after: Self.tick) { [weak self] in
            guard let self, !isStopped else { return }
            let now = loop.clock()
            for relay in relays {
                for (id, agreement) in relay.agreements {
                    if let deadline = agreement.nextDeadline, now >= deadline { handle(.timePassed, id, relay) }
                }
            }
            lookAtShortage()
            if now >= nextLookForOneNumber {
                nextLookForOneNumber = now + Self.oneNumberInterval
                lookForOneNumber()
            }
            scheduleTick()
        }
    }

    private func laneReported(_ report: PeerLane.Report) {
        switch report {
        case .targetFailed(let id, let port, let reason): watches[id]?.targetFailed(port, reason)
        case .ranShort: ranShort()
        case .channelFailed(let group):
            channelsChanged(of: group) { $0.channelFailed(group.number, at: loop.clock()) }
        case .channelStands(let group): channelsChanged(of: group) { $0.channelStands(group.number) }
        }
    }

    private func setRoute(_ route: Route?, for id: MappingID) {
        routes[id] = route
        publishRoute(id)
    }

    /// A session's groups are spread over the lanes.
    private func onLane(of number: Int, _ relay: Relay, _ body: @escaping @Sendable (PeerLane, ChannelGroup) -> Void) {
        guard let terms = relay.terms else { return }
        let group = ChannelGroup(session: terms.session, number: UInt8(clamping: number))
        let index = (relay.lane + number) % lanes.count
        let lane = lanes[index]
        laneLoops[index].execute { body(lane.value, group) }
    }

    func publishRoute(_ id: MappingID) {
        let route = routes[id]
        for (index, lane) in lanes.enumerated() {
            laneLoops[index].execute { lane.value.setRoute(route, for: id) }
        }
    }
}
