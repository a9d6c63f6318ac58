public import Logging
public import PeerCore
public import PeerReactor
public import PeerWire

/// The shell around `RelayCore`: sessions on the control loop, public ports, and one lane a loop for the data.
public final class RelayService {
    /// Ends the sessions of peers that have not left by themselves; there while the relay drains.
    var drainTimer: LoopTimer?

    /// With room for fewer it is worth a warning.
    private static let fewVisitors = 256
    private static let tick = Instant.Span.milliseconds(250)
    /// A peer that sends too much is read again after this, and then some frames at once.
    private static let shortestWait = Instant.Span.milliseconds(20)
    static let maximumInheritedLanes = 16_384
    /// More lanes would cost a session idle channels and bring it little.
    static let maximumGroups = 4
    private static let revoked = "the token was revoked; ask for a new one"

    let loop: EventLoop
    let keys: KeyRing
    private let setup: Setup
    /// What the handshakes of peers are held to now.
    var rules: RelayHandshake.AdmissionRules {
        RelayHandshake.AdmissionRules(meshKeys: keys.meshKeys, isOpen: setup.isOpen, history: keys.history)
    }
    /// The mesh key that the members here know.
    private var taughtMeshKey: MeshKey?
    var bindHost: SocketAddress.Host? { setup.bindHost }
    /// What `--advertise` says.
    var advertised: String? { setup.advertised }
    private let store: any LeaseStore
    let log: Logger
    /// Who may be dialled on a peer's word.
    let dialJudge: DialGuard
    var checksUnderWay = 0
    var addressVote = AddressVote()
    /// Nodes that come back though they were told no.
    private var refusals = RepeatedRefusals()
    private weak var server: NodeServer?
    var visitorPolicy: VisitorPolicy { setup.visitorPolicy }
    var shortage = Shortage()
    var core: RelayCore
    private var quotas = VisitorQuotas()
    var lanes: [LoopBound<RelayLane>] = []
    let laneLoops: [EventLoop]
    var sessions: [SessionID: Session] = [:]
    var ports: [Claim: [Listener]] = [:]
    /// Ports that close gently, and until when at the latest.
    var closing: [Claim: Instant] = [:]
    var closingTimer: LoopTimer?
    /// Where a key that took over from another one stays, while this process runs.
    var inheritedLanes: [NodeKey: Int] = [:]
    /// On whose account the writes of each lease are, from the first to the last, so that they keep their order.
    private var writers: [Claim: Grant.Membership] = [:]
    /// Revoked so lately that somebody may have shown one before and not be in yet.
    private var endedTokens: Set<Grant.Membership> = []
    /// Set as long as the relay runs.
    private(set) weak var host: (any RelayHost)?

    public init(
        on loop: EventLoop, lanes laneLoops: [EventLoop], keys: KeyRing, setup: Setup, store: any LeaseStore,
        dialJudge: DialGuard, log: Logger
    ) {
        self.loop = loop
        self.laneLoops = laneLoops
        self.keys = keys
        self.setup = setup
        self.store = store
        self.dialJudge = dialJudge
        self.log = log
        taughtMeshKey = keys.meshKeys.first
        core = RelayCore(policy: setup.policy, seed: UInt64.random(in: 0 ... .max))
    }

    /// Takes sessions and data channels from `server`, and the ports of former leases from the system.
    ///
    /// - Parameters:
    ///   - retired: keys that were handed over to others, as it was written down.
    ///   - holders: keys that tokens are for.
    public func start(
        for host: any RelayHost, at server: NodeServer, leases: [Lease], retired: [Retirement] = [],
        holders: [NodeKey] = []
    ) {
        self.host = host
        let wall = loop.wall()
        // The lanes do not keep their relay alive.
        let bound = LoopBound(Weak(self), on: loop)
        let control = loop
        let policy = visitorPolicy.share(of: laneLoops.count)
        lanes = laneLoops.enumerated().map { index, laneLoop in
            LoopBound(
                RelayLane(
                    on: laneLoop, policy: policy,
                    wantChannels: { session, count in
                        control.execute { bound.value.value?.wantChannels(session, count, lane: index) }
                    }, ranShort: { count in control.execute { bound.value.value?.ranShort(count) } }), on: laneLoop)
        }
        self.server = server
        tellOver(leases.count { $0.expires <= wall })
        for lease in leases { writers[Claim(key: lease.key, mapping: lease.mapping)] = lease.account }
        run(core.restore(leases, retired: retired, holders: holders, at: wall))
        server.onSession = { [weak self] arrival in self?.open(arrival) }
        server.onDataChannel = { [weak self] stream, group in self?.join(stream, group) ?? false }
        server.onPlainChannel = { [weak self] channel, hello in self?.join(channel, hello) ?? false }
        scheduleTick()
        let visitors = visitorPolicy.reserve.visitors
        if visitors < Self.fewVisitors {
            log.warning(
                "with \(visitorPolicy.reserve.descriptors.limit) open files there is room for \(visitors) visitors at "
                    + "the most; raise the limit (ulimit -n, LimitNOFILE=)"
            )
        }
    }

    /// Says goodbye to every peer; ports refuse from now on, leases stay.
    public func stop() {
        for session in sessions.values where session.isAdmitted {
            session.channel.send(RelayMessage.close(.leaving, detail: "the relay stops").bytes)
            session.channel.closeAfterFlush()
        }
        for listeners in ports.values { for listener in listeners { listener.pause() } }
    }

    /// Gives the public ports back to the system, which the end of the process does otherwise. Visitors are reset.
    public func close() {
        for claim in ports.keys { free(claim) }
    }

    public var sessionCount: Int { core.sessionCount }

    public func hasSession(of key: NodeKey) -> Bool {
        sessions.values.contains { $0.isAdmitted && $0.key == key }
    }

    public var policy: RelayCore.Policy { core.policy }

    // MARK: Sessions

    private func open(_ arrival: NodeServer.Arrival) {
        let id = SessionID(value: UInt64.random(in: 1 ... .max))
        let handshake = RelayHandshake(rules: rules, binding: arrival.secrets.binding)
        let session = Session(id: id, arrival, handshake: handshake)
        sessions[id] = session
        arrival.slot.onDisplaced = { [weak self] in
            self?.drop(id, .limitReached, "too many handshakes at once")
        }
        session.timer = loop.schedule(after: SessionTiming.handshakeLimit) { [weak self] in
            self?.drop(id, .silent, "the handshake took too long")
        }
        session.channel.start(onTurn: { [weak self] in self?.goOn(with: id) }) { [weak self] event in
            switch event {
            case .received(let bytes): self?.received(bytes, id)
            case .closed: self?.closed(id)
            }
        }
        received(arrival.rest, id)
    }

    private func received(_ bytes: [UInt8], _ id: SessionID) {
        sessions[id]?.decoder.append(bytes)
        goOn(with: id)
    }

    /// Handles the frames that have come; those that are too many for now in later turns.
    private func goOn(with id: SessionID) {
        guard let session = sessions[id] else { return }
        var turn = FrameTurn()
        do throws(WireError) {
            while sessions[id] === session {
                guard turn.hasRoom() else { return session.channel.hold() }
                let now = loop.clock()
                if session.isAdmitted, let span = wait(for: id, now) {
                    return session.channel.hold(for: max(span, Self.shortestWait))
                }
                guard let frame = try session.decoder.next() else { return }
                core.countFrame(of: id, at: now)
                guard session.isAdmitted else {
                    continueHandshake(session, session.handshake.received(frame))
                    continue
                }
                guard let message = try PeerMessage(frame) else { continue }
                if case .tokenRenewed(let token) = message { renewToken(token, session) }
                handle(.received(id, message))
            }
        } catch {
            drop(id, .protocolBreach, error.detail)
        }
    }

    /// `nil`: its next frame may be handled.
    private func wait(for id: SessionID, _ now: Instant) -> Instant.Span? {
        if let span = core.wait(for: id, at: now) { return span }
        guard let account = core.session(id)?.grant.membership, !store.hasRoom(for: account) else { return nil }
        return Self.shortestWait
    }

    private func continueHandshake(_ session: Session, _ action: RelayHandshake.Action) {
        switch action {
        case .wait: break
        case .send(let bytes): session.channel.send(bytes)
        case .failed(let reason, let detail): drop(session.id, reason, detail)
        case .judge(let token):
            judge(token, of: session) { [weak self] grant, reason in
                guard let self, sessions[session.id] === session else { return }
                continueHandshake(session, session.handshake.judged(grant, reason: reason))
            }
        case .introduced(.token(let grant), _) where endedTokens.contains(grant.membership):
            drop(session.id, .revoked, Self.revoked)
        case .introduced(let admission, var introduction):
            let formerly: [NodeKey]
            do throws(KeyHistoryFault) {
                formerly = try session.handshake.history.formerKeys(of: session.key, at: loop.wall().seconds)
            } catch { return drop(session.id, .badProof, error.description) }
            session.timer?.cancel()
            session.slot.settle()
            session.admission = admission
            session.isAdmitted = true
            session.name = introduction.name
            session.isPlain = introduction.wantsPlain && setup.allowsPlain
            // For that peer alone: it is told where it reaches this relay as it said itself.
            introduction.dialled =
                advertised ?? Endpoint(introduction.dialled, defaultPort: 1)?.host
                ?? session.channel.localAddress?.hostText ?? "localhost"
            if case .mesh = admission, let source = session.source, let local = session.localHost {
                addressVote.heard(from: source, dialled: introduction.dialled, local: local)
            }
            let grant = grant(admission, from: session.source)
            session.membership = grant.membership
            handle(
                .sessionProven(
                    session.id, key: session.key, introduction: introduction, grant: grant,
                    formerly: heirs(of: formerly, session.key)))
            if case .mesh(isFormer: true) = admission { tellMeshKey(session) }
        }
    }

    /// What a peer may do that came in so, and on whose account.
    private func grant(_ admission: RelayHandshake.Admission, from source: HostAddress?) -> Grant {
        let network = source?.accountNetwork ?? "unknown"
        switch admission {
        case .mesh: return Grant(membership: .mesh(network: network))
        case .openRelay: return Grant(membership: .openRelay(network: network))
        case .token(let grant): return grant
        }
    }

    private func log(about session: Session) -> Logger { session.membership.map { log.about($0) } ?? log }

    /// - Parameter reason: why this end closed it; `nil`: the connection ended.
    private func closed(_ id: SessionID, because reason: String? = nil) {
        guard let session = sessions.removeValue(forKey: id) else { return }
        letGo(session)
        guard session.isAdmitted else {
            server?.countBrokenHandshake()
            return
        }
        let why = reason.map { ": \($0)" } ?? ""
        log(about: session).info("session of \(session.name) (\(session.key.short)) ended\(why)")
        closeLanes(session)
        handle(.sessionEnded(id))
    }

    func drop(_ id: SessionID, _ reason: CloseReason, _ detail: String) {
        guard let session = sessions[id] else { return }
        session.channel.send(RelayMessage.close(reason, detail: detail).bytes)
        session.channel.closeAfterFlush()
        closed(id, because: detail.isEmpty ? reason.text : "\(reason.text), \(detail)")
    }

    private func letGo(_ session: Session) {
        session.timer?.cancel()
        session.slot.settle()
        keys.channelKeys.remove(session.id)
        if session.isVouchedFor, let source = session.source { server?.unvouch(for: source) }
        session.isVouchedFor = false
    }

    private func closeLanes(_ session: Session) {
        let id = session.id
        // Without a session nobody serves who comes in.
        for claim in closing.keys where claim.key == session.key { pause(claim) }
        onLanes(session.lanes) { $0.close(id) }
    }

    /// The mesh keys of the ring changed; the first is for new members. While the former one counts too, the members
    /// that are here learn the new one and their sessions go on; otherwise it is taken for leaked, and they have to go.
    public func meshKeysChanged() {
        let meshKeys = keys.meshKeys
        let former = taughtMeshKey
        taughtMeshKey = meshKeys.first
        for session in sessions.values where !session.isAdmitted { session.handshake.rulesChanged(rules) }
        guard meshKeys.first != former else { return }
        let isFormerGood = former.map { meshKeys.contains($0) } ?? true
        var ended: Set<Grant.Membership> = []
        for session in sessions.values where session.isAdmitted {
            guard case .mesh = session.admission else { continue }
            if isFormerGood {
                tellMeshKey(session)
            } else if let account = core.session(session.id)?.grant.membership {
                ended.insert(account)
            }
        }
        // Not only the sessions: what their visitors have open is broken off too.
        for account in ended { handle(.membershipEnded(account, .notAMember, detail: "")) }
    }

    /// What the new one allows counts from now on, and nothing that it still allows is interrupted. Whoever came in by
    /// the mesh key needs none.
    private func renewToken(_ token: String, _ session: Session) {
        guard case .token = session.admission, !session.isTokenJudged else { return }
        guard session.tokens.take(1, at: loop.clock()) else {
            return session.channel.send(
                RelayMessage.tokenJudged(reason: "tokens come too often; show it again later").bytes)
        }
        session.isTokenJudged = true
        judge(token, of: session) { [weak self] grant, reason in
            guard let self, sessions[session.id] === session else { return }
            session.isTokenJudged = false
            guard let grant, !endedTokens.contains(grant.membership) else {
                return session.channel.send(
                    RelayMessage.tokenJudged(reason: grant == nil ? reason : Self.revoked).bytes)
            }
            session.channel.send(RelayMessage.tokenJudged(reason: "").bytes)
            session.admission = .token(grant)
            session.membership = grant.membership
            handle(.grantRenewed(session.id, grant))
            let (id, account) = (session.id, quota(of: session.id))
            onLanes(session.lanes) { $0.change(id, to: grant.membership, account) }
        }
    }

    private func judge(_ token: String, of session: Session, _ answer: @escaping (Grant?, String) -> Void) {
        guard let host else { return answer(nil, "this relay issues no tokens") }
        host.judge(token: token, of: session.key, formerly: formerKeys(of: session), answer)
    }

    /// A token was revoked, or its time is over: whoever is here by it has to go.
    public func tokenEnded(_ id: String) {
        let membership = Grant.Membership.token(id: id)
        endedTokens.insert(membership)
        // No handshake that began before this lasts longer; later ones are judged by what is written down.
        loop.schedule(after: SessionTiming.handshakeLimit * 2) { [weak self] in self?.endedTokens.remove(membership) }
        handle(.membershipEnded(membership, .revoked, detail: Self.revoked))
    }

    private func tellMeshKey(_ session: Session) {
        guard let key = taughtMeshKey else { return }
        session.channel.send(RelayMessage.meshKeyRenewed(key).bytes)
    }

    /// A plain data channel.
    private func join(_ channel: ByteChannel, _ hello: DataChannelHello) -> Bool {
        let number = Int(hello.group.number)
        guard let session = sessions[hello.group.session], session.isPlain, session.lanes.indices.contains(number),
            hello.isProven(by: session.secrets.plainSecret), session.numbers[number].use(hello.number)
        else { return false }
        let lane = session.lanes[number]
        if let stream = channel.takeStream(for: laneLoops[lane]) { add(stream, to: session, lane) }
        return true
    }

    /// An encrypted one; TLS has proven that it belongs to this session.
    private func join(_ stream: consuming Stream, _ group: ChannelGroup) -> Bool {
        guard let session = sessions[group.session], session.lanes.indices.contains(Int(group.number)) else {
            return false
        }
        let lane = session.lanes[Int(group.number)]
        if laneLoops[lane] !== loop { loop.unregister(stream) }
        add(stream, to: session, lane)
        return true
    }

    private func add(_ stream: consuming Stream, to session: Session, _ index: Int) {
        let id = session.id
        let laneLoop = laneLoops[index]
        let lane = lanes[index]
        guard laneLoop !== loop else { return lane.value.add(stream, to: id, isRegistered: true) }
        let parcel = StreamParcel(stream)
        laneLoop.execute {
            guard let stream = parcel.open() else { return }
            lane.value.add(stream, to: id, isRegistered: false)
        }
    }

    private func wantChannels(_ id: SessionID, _ count: Int, lane: Int) {
        guard let session = sessions[id], let group = session.lanes.firstIndex(of: lane) else { return }
        session.channel.send(RelayMessage.channelsWanted(UInt16(clamping: count), group: UInt8(group)).bytes)
    }

    private func scheduleTick() {
        loop.schedule(after: Self.tick) { [weak self] in
            guard let self else { return }
            handle(.timePassed)
            lookAtShortage()
            quotas.timePassed(at: loop.now) { core.isInUse($0) }
            for (index, lane) in lanes.enumerated() { laneLoops[index].execute { lane.value.timePassed() } }
            scheduleTick()
        }
    }

    // MARK: The core's actions

    func handle(_ event: RelayCore.Event) {
        run(core.handle(event, at: loop.clock(), wall: loop.wall()))
        // Nothing is to be done about it, and listings show it.
        if case .received(_, .report) = event { host?.changed() }
    }

    private func run(_ actions: [RelayCore.Action]) {
        var queue = actions[...]
        var changed = false
        while let action = queue.popFirst() {
            switch action {
            case .send(_, .pong): break
            default: changed = true
            }
            if let event = perform(action) { queue += core.handle(event, at: loop.clock(), wall: loop.wall()) }
        }
        if changed { host?.changed() }
    }

    private func retire(_ retirement: Retirement) {
        let (former, next) = (retirement.former, retirement.next)
        let told = retirement.account.map { log.about($0) } ?? log
        told.info("\(next.short) has taken over from \(former.short), which opens nothing any more")
        guard retirement.hadPossessions else { return store.retire(retirement, inLineWith: retirement.account) }
        // What is about to move stays in its line: it is written down anew before it goes from its old place.
        let moved = writers.filter { $0.key.key == former }
        for (claim, account) in moved { writers[Claim(key: next, mapping: claim.mapping)] = account }
        store.retire(retirement, inLineWith: moved.first?.value ?? retirement.account)
    }

    /// A token was made for that key.
    public func tokenMade(for key: NodeKey) { handle(.tokenMade(key)) }

    /// Does what the core decided; the event is what came of it, where that is known at once.
    private func perform(_ action: RelayCore.Action) -> RelayCore.Event? {
        switch action {
        case .welcome(let id): welcome(id)
        case .send(let id, let message): sessions[id]?.channel.send(message.bytes)
        case .end(let id, let reason, let detail):
            guard let session = sessions.removeValue(forKey: id) else { return nil }
            if reason != .leaving {
                tellEnd(of: session, detail.isEmpty ? reason.text : "\(reason.text), \(detail)")
            }
            letGo(session)
            session.channel.send(RelayMessage.close(reason, detail: detail).bytes)
            session.channel.closeAfterFlush()
            closeLanes(session)
        case .hold(let claim, let range, let protocols): return hold(claim, range, protocols)
        case .listen(let claim, let id, let filter, let only): listen(claim, id, filter, only)
        case .pause(let claim, let only): pause(claim, only)
        case .pauseGently(let claim): pauseGently(claim)
        case .free(let claim): free(claim)
        case .saveLease(let lease):
            let claim = Claim(key: lease.key, mapping: lease.mapping)
            let bound = LoopBound(self, on: loop)
            let account = writers[claim] ?? lease.account
            writers[claim] = account
            store.save(lease, for: account) { [loop] succeeded in
                loop.execute { bound.value.handle(.leaseSaved(claim, succeeded: succeeded)) }
            }
        case .removeLease(let claim): store.remove(claim, for: writers.removeValue(forKey: claim))
        case .rename(let former, let claim):
            if closing[former] != nil { pause(former) }
            ports[claim] = ports.removeValue(forKey: former)
        case .retire(let retirement): retire(retirement)
        case .forgetRetired(let former, let account): store.forgetRetired(former, on: account)
        case .draftReceipt(let claim, let id, let lease, let grant, let host):
            let terms = Receipt.Terms(lease: lease, grant: grant, relay: keys.key, host: host, now: loop.wall())
            return (terms?.signed(byRelay: keys.identity)).map { .receiptDrafted(claim, id, $0) }
        case .clockJumped(let seconds): tellJump(seconds)
        case .check(let id, let request, let key): check(id, request, key)
        case .abortVisitors(let id):
            guard let key = sessions[id]?.key else { return nil }
            onLanes(of: key) { $0.abortVisitors(of: key) }
        }
        return nil
    }

    private func tellEnd(of session: Session, _ why: String) {
        let who = "\(session.name) (\(session.key.short))"
        guard session.lanes.isEmpty else { return log(about: session).info("session of \(who) ended: \(why)") }
        guard let untold = refusals.note(session.key, why, at: loop.clock()) else { return }
        log(about: session).info(
            "\(who) is not let in: \(why)\(untold > 0 ? " (and \(untold) times before that)" : "")")
    }

    private func welcome(_ id: SessionID) {
        guard let session = sessions[id], let known = core.session(id) else { return }
        let key = known.key
        session.lanes = laneIndexes(of: key)
        let groups = session.lanes.count
        session.numbers = Array(repeating: UsedNumbers(), count: groups)
        let (source, account, membership) = (session.source, quota(of: id), known.grant.membership)
        onLanes(session.lanes) { $0.open(id, key: key, from: source, of: membership, account, groups: groups) }
        if let source {
            session.isVouchedFor = true
            server?.vouch(for: source)
        }
        if !session.isPlain { keys.channelKeys.add(session.secrets.channelKey, for: id) }
        log(about: session).info(
            "session of \(known.name) (\(known.key.short)) from \(session.channel.remoteAddress?.description ?? "?")")
        var welcome = RelayMessage.Welcome(
            session: id, name: setup.name, observed: session.channel.remoteAddress?.description ?? "",
            software: setup.software, channels: UInt16(ChannelDemand.minimum(inEachOf: groups)),
            groups: UInt8(groups), isPlain: session.isPlain)
        welcome.ports = core.policy.ports.usual
        session.channel.send(RelayMessage.welcome(welcome).bytes)
    }

    /// Of the membership that a session belongs to; `nil`: it is limited in nothing that lanes count.
    private func quota(of id: SessionID) -> VisitorQuota? {
        guard let membership = core.session(id)?.grant.membership, let limits = core.limits(of: id) else { return nil }
        return quotas.quota(for: membership, limits, at: loop.clock())
    }
}
