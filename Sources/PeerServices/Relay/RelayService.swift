public import Logging
public import PeerCore
internal import PeerDataPlane
public import PeerReactor
public import PeerWire

/// The shell around `RelayCore`: lets peers in (`Admission`), holds their ports (`HeldPorts`), has lanes carry their
/// visitors (`RelayLanes`) and writes their leases down (`LeaseWriter`). Belongs to the control loop.
public final class RelayService {
    /// With room for fewer it is worth a warning.
    private static let fewVisitors = 256
    private static let tick = Instant.Span.milliseconds(250)

    let loop: EventLoop
    let keys: KeyRing
    let setup: Setup
    let log: Logger
    /// Who may be dialled on a peer's word.
    let dialJudge: DialGuard
    let checks: ChecksForPeers
    let lanes: RelayLanes
    let ports: HeldPorts
    let admission: Admission
    var leaseWriter: LeaseWriter
    var core: RelayCore
    /// Those that were admitted.
    var sessions: [SessionID: RelaySession] = [:]
    private var quotas = VisitorQuotas()
    var addressVote = AddressVote()
    var shortage = Shortage()
    /// Ends the sessions of peers that have not left by themselves; there while the relay drains.
    var drainTimer: LoopTimer?
    private(set) weak var server: NodeServer?
    /// Set as long as the relay runs.
    private(set) weak var host: (any RelayHost)?

    public init(
        on loop: EventLoop, lanes laneLoops: [EventLoop], keys: KeyRing, setup: Setup, store: any LeaseStore,
        dialJudge: DialGuard, log: Logger
    ) {
        self.loop = loop
        self.keys = keys
        self.setup = setup
        self.dialJudge = dialJudge
        self.log = log
        checks = ChecksForPeers(on: loop, judge: dialJudge)
        lanes = RelayLanes(on: loop, laneLoops)
        ports = HeldPorts(
            on: loop, lanes, at: setup.bindHost, reserve: setup.visitorPolicy.reserve, log: log)
        admission = Admission(on: loop, keys: keys, isOpen: setup.isOpen, allowsPlain: setup.allowsPlain)
        leaseWriter = LeaseWriter(store)
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
        self.server = server
        admission.host = self
        let wall = loop.wall()
        lanes.start(for: self, policy: setup.visitorPolicy, datagrams: datagramSockets())
        tellOver(leases.count { $0.expires <= wall })
        leaseWriter.restored(leases)
        run(core.restore(leases, retired: retired, holders: holders, at: wall))
        server.relay = self
        scheduleTick()
        let reserve = setup.visitorPolicy.reserve
        if reserve.visitors < Self.fewVisitors {
            log.warning(
                "with \(reserve.descriptors.limit) open files there is room for \(reserve.visitors) visitors at "
                    + "the most; raise the limit (ulimit -n, LimitNOFILE=)"
            )
        }
    }

    /// Says goodbye to every peer; ports refuse from now on, leases stay.
    public func stop() {
        for session in sessions.values { session.close(.leaving, "the relay stops") }
        ports.refuseAll()
    }

    /// Gives the public ports back to the system, which the end of the process does otherwise. Visitors are reset.
    public func close() { ports.freeAll() }

    public var sessionCount: Int { core.sessionCount }

    public func hasSession(of key: NodeKey) -> Bool { sessions.values.contains { $0.key == key } }

    public var policy: RelayCore.Policy { core.policy }

    private func scheduleTick() {
        loop.schedule(after: Self.tick) { [weak self] in
            guard let self else { return }
            handle(.timePassed)
            lookAtShortage()
            quotas.timePassed(at: loop.now) { core.isInUse($0) }
            lanes.onAll { $0.timePassed() }
            scheduleTick()
        }
    }

    /// One for each lane, at one port; none where the system has it for somebody else. `nil`: this relay has no ports
    /// for datagrams.
    private func datagramSockets() -> [DatagramSocket]? {
        guard let port = setup.datagramPort else { return nil }
        do throws(SystemError) {
            var sockets: [DatagramSocket] = []
            for _ in lanes.loops {
                sockets.append(
                    try DatagramSocket.bound(port: port, on: setup.bindHost, .betweenNodes, isShared: true))
            }
            // Where the kernel cannot tell which lane a datagram is for, only the first lane has any.
            if sockets.count > 1, sockets[0].steer(bits: ChannelGroup.maximum.trailingZeroBitCount) != true {
                sockets.removeLast(sockets.count - 1)
            }
            return sockets
        } catch {
            log.warning("UDP port \(port): \(error); peers' datagrams go over TCP until this relay restarts with it")
            return []
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

    /// Does what the core decided; the event is what came of it, where that is known at once.
    private func perform(_ action: RelayCore.Action) -> RelayCore.Event? {
        switch action {
        case .welcome(let id): welcome(id)
        case .send(let id, let message): sessions[id]?.send(message)
        case .end(let id, let reason, let detail): end(id, reason, detail)
        case .hold(let claim, let range, let protocols):
            let event = ports.hold(claim, range, protocols)
            if case .portsShort = event { ranShort(1) }
            return event
        case .listen(let claim, let id, let filter, let only):
            if sessions[id] != nil { ports.listen(claim, for: id, filter, only) }
        case .pause(let claim, let only): ports.pause(claim, only)
        case .pauseGently(let claim): ports.pauseGently(claim)
        case .free(let claim): ports.free(claim)
        case .saveLease(let lease):
            let bound = LoopBound(self, on: loop)
            leaseWriter.save(lease) { [loop] succeeded in
                let claim = Claim(key: lease.key, mapping: lease.mapping)
                loop.execute { bound.value.handle(.leaseSaved(claim, succeeded: succeeded)) }
            }
        case .removeLease(let claim): leaseWriter.remove(claim)
        case .rename(let former, let claim): ports.rename(former, to: claim)
        case .retire(let retirement):
            let told = retirement.account.map { log.about($0) } ?? log
            told.info(
                "\(retirement.next.short) has taken over from \(retirement.former.short), which opens nothing any more")
            leaseWriter.retire(retirement)
        case .forgetRetired(let former, let account): leaseWriter.forgetRetired(former, on: account)
        case .draftReceipt(let claim, let id, let lease, let grant, let host):
            let terms = Receipt.Terms(lease: lease, grant: grant, relay: keys.key, host: host, now: loop.wall())
            return (terms?.signed(byRelay: keys.identity)).map { .receiptDrafted(claim, id, $0) }
        case .clockJumped(let seconds): tellJump(seconds)
        case .check(let id, let request, let key): check(id, request, key)
        case .abortVisitors(let id):
            guard let key = sessions[id]?.key else { return nil }
            lanes.on(key) { $0.abortVisitors(of: key) }
        }
        return nil
    }

    private func check(_ id: SessionID, _ request: PeerMessage.CheckRequest, _ key: NodeKey) {
        checks.check(request, of: key, hasMet: { host?.hasMetRelay(at: $0) == true }) { [weak self] passed in
            self?.sessions[id]?.send(.checkDone(number: request.number, passed: passed, detail: ""))
        }
    }

    // MARK: Shortage

    /// A port, a channel or a visitor was refused for want of descriptors.
    func ranShort(_ count: UInt64) {
        guard shortage.noted(count, at: loop.clock()) else { return }
        let descriptors = setup.visitorPolicy.reserve.descriptors
        log.warning(
            "no descriptors are left: visitors and ports are refused; of \(descriptors.limit) "
                + "open files \(descriptors.reserve) are kept for sessions. Raise the limit "
                + "(ulimit -n, LimitNOFILE=)"
        )
        host?.changed()
    }

    private func lookAtShortage() {
        let refused = shortage.timePassed(at: loop.clock()) {
            let load = ReserveGate.Load(descriptors: Descriptor.openCount, buffered: 0)
            return setup.visitorPolicy.reserve.isShortOfDescriptors(at: load)
        }
        guard let refused else { return }
        log.info("there are descriptors again; \(refused) visitors and ports were refused meanwhile")
        host?.changed()
    }

    /// Of the membership that a session belongs to; `nil`: it is limited in nothing that lanes count.
    func quota(of id: SessionID) -> VisitorQuota? {
        guard let membership = core.session(id)?.grant.membership, let limits = core.limits(of: id) else { return nil }
        return quotas.quota(for: membership, limits, at: loop.clock())
    }
}
