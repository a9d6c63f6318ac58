public import PeerWire

/// Everything that a relay decides: which session of a key counts, which ports it gets, when they accept and when
/// they refuse. No I/O, no clock, no random numbers of its own.
///
/// One agreement, seen from here (the peer's half is `PeerPortAgreement`):
/// ```
///  request ─▶ holding ──portsHeld──▶ offered ──commit──▶ saving ──leaseSaved──▶ active ◀─▶ paused
///               │ ▲ portsBusy: next place  │ decline: next place                   (target down, or no session)
///               ▼ no place left            ▼ too many
///            refusal                    refusal
/// ```
/// Ports stay bound from `holding` until the lease ends: nobody else can take them while nobody listens.
public struct RelayCore: Sendable {
    public struct Policy: Sendable {
        /// What may be given out.
        public var ports: PublicPorts
        public var protocols: TransportProtocols
        /// How long a lease lasts after its last session, in seconds.
        public var leaseSeconds: UInt32
        public var maximumPortsPerMapping: Int
        /// A port for both TCP and UDP is two of them.
        public var maximumSocketsPerMapping = Int.max
        public var maximumMappingsPerSession: Int
        public var maximumSessions: Int
        /// For a membership that brings no limits of its own: by the mesh key, or at an open relay.
        public var membershipLimits: Grant.Limits

        public static let usualLimits = Grant.Limits(keys: 64, leases: 4_096, mappings: 1_024)

        public init(
            ports: PortRange, protocols: TransportProtocols = .tcp, leaseSeconds: UInt32 = 24 * 3600,
            maximumPortsPerMapping: Int = PortStates.maximumPorts, maximumMappingsPerSession: Int = 1_024,
            maximumSessions: Int = 4_096,
            membershipLimits: Grant.Limits = Policy.usualLimits
        ) {
            self.ports = PublicPorts(ports)
            self.protocols = protocols
            self.leaseSeconds = leaseSeconds
            self.maximumPortsPerMapping = maximumPortsPerMapping
            self.maximumMappingsPerSession = maximumMappingsPerSession
            self.maximumSessions = maximumSessions
            self.membershipLimits = membershipLimits
        }

        /// The ceilings that count for a grant. A token has none but its own; where another one names none, the
        /// relay's stand.
        public func limits(of grant: Grant) -> Grant.Limits {
            if case .token = grant.membership { return grant.limits }
            return grant.limits.completed(by: membershipLimits)
        }
    }

    public struct Session: Sendable {
        public var key: NodeKey
        public var start: ProcessStart
        public var instance: ProcessInstance { start.instance }
        public var name: String
        /// The host by which the peer reached this relay.
        public var dialled: String
        public var lastHeard: Instant
        var since: Instant
        /// The peer heard which of its leases it has not asked for.
        var isToldOfOrphans = false
        public internal(set) var grant: Grant
        var mappings: Set<MappingID> = []
        var work: Workload
        /// Mappings that were taken back or asked for anew, and how often that may still be.
        var cycles: [MappingID: RateBucket] = [:]
    }

    public enum Stage: Hashable, Sendable { case holding, offered, saving, active, paused }

    /// What listings show of one mapping.
    public struct Standing: Sendable {
        public var lease: Lease
        public var stage: Stage?
        public var reported: MappingState?
        /// How each port is, where they differ.
        public var ports: PortStates?
        public var session: SessionID?
        /// Whom the peer wants let in; `nil` while no session asks for it.
        public var filter: NetworkFilter?
    }

    struct Agreement: Sendable {
        var session: SessionID
        var request: PeerMessage.Request
        var filter: NetworkFilter
        var stage = Stage.holding
        var attempt: UInt16 = 0
        var ports: PortRange?
        /// Places not tried yet; `nil` when only these very ports will do.
        var walk: PortWalk?
        var declines = 0
        var deadline = Instant.zero
        var reported: MappingState?
        var reportedPorts: PortStates?
        /// Ports that are not to accept, by how many they are after the first one.
        var refusing: Set<UInt16> = []
        /// Those that do not though others do, while it is active.
        var shut: Set<UInt16> = []
        /// Whether `free` was not called since the last `hold`.
        var isHeld = false
        /// Receipts that were sent and not answered yet, the oldest first.
        var receipts: [Receipt.Draft] = []
        /// The target answers again, but its ports could not be opened yet: too much was asked for just then.
        var mustResume = false
    }

    /// An offer that nobody answers is withdrawn after this.
    static let offerLimit = Instant.Span.seconds(30)
    /// So many numbers may turn out to be taken at the peer's own end.
    static let maximumDeclines = 16
    /// More in a row than this are looked for in the gaps between leases.
    static let manyPorts = 16
    static let maximumFencedInstances = 64
    static let maximumFencedKeys = 16_384
    /// A peer asks for all that it has when its session begins. What it did not ask for by then it does not know.
    static let settling = Instant.Span.seconds(2)
    /// Checks for other nodes cost a connection each: so many at once, then one a second.
    static let checkBurst = 16
    static let maximumCheckers = 4_096

    public private(set) var policy: Policy
    // Shared with the extensions in files of their own, and nobody else.
    var sessions: [SessionID: Session] = [:]
    var live: [NodeKey: SessionID] = [:]
    var fenced: [NodeKey: [ProcessInstance]] = [:]
    /// Keys that were handed over, and to which; they open nothing any more.
    var retired = RetiredKeys()
    /// Keys that a token is bound to, or was made for.
    var holders: Set<NodeKey> = []
    var leases = LeaseTable()
    /// The ports of leases as the disk has them.
    var written: [Claim: PortRange] = [:]
    /// Claims whose ports are bound though no session uses them.
    var held: Set<Claim> = []
    var agreements: [Claim: Agreement] = [:]
    var ledger = Ledger()
    /// What memberships may still have checked.
    var checks: [Grant.Membership: Allowance] = [:]
    var workloads: [Grant.Membership: Workload] = [:]
    /// Ports that something else on this machine has, and until when that is taken for granted.
    var busyPorts: [BusyPort: Instant] = [:]
    /// What the owner took back lately, and until when it is not given again.
    var releases: [Release: Instant] = [:]
    public internal(set) var isDraining = false
    private var clock = SteadyClock()
    var random: SeededGenerator

    public init(policy: Policy, seed: UInt64) {
        self.policy = policy
        random = SeededGenerator(seed: seed)
    }

    // MARK: What listings read

    public func session(_ id: SessionID) -> Session? { sessions[id] }
    public var sessionCount: Int { sessions.count }
    /// Who has a session, by key and the name that it gives itself.
    public var connected: [(key: NodeKey, name: String)] { sessions.values.map { ($0.key, $0.name) } }
    public func lease(of claim: Claim) -> Lease? { leases[claim] }

    /// Whether any session belongs to it.
    public func isInUse(_ membership: Grant.Membership) -> Bool { ledger.use(of: membership).keys > 0 }

    /// The ceilings that count for a session's membership, of which its lane holds visitors, rates and bytes.
    public func limits(of id: SessionID) -> Grant.Limits? { sessions[id].map { policy.limits(of: $0.grant) } }

    public var standings: [Standing] {
        leases.all.map { lease in
            let agreement = agreements[Claim(key: lease.key, mapping: lease.mapping)]
            return Standing(
                lease: lease, stage: agreement?.stage, reported: agreement?.reported, ports: agreement?.reportedPorts,
                session: agreement?.session, filter: agreement?.filter)
        }
    }

    // MARK: Events

    /// A lease that ran out while no relay was there lasts so long at least, in seconds: that it did is what a clock
    /// says which may be wrong, and its peer could not come.
    public static let leaseGrace: UInt32 = 3_600

    /// Takes over the leases of a former run and binds their ports at once, before others can.
    ///
    /// - Parameters:
    ///   - retired: keys that were handed over, the oldest first.
    ///   - holders: keys that a token is bound to, or was made for.
    public mutating func restore(
        _ saved: [Lease], retired: [Retirement] = [], holders: [NodeKey] = [], at wall: WallTime
    ) -> [Action] {
        var actions = retired.flatMap { keep($0) }
        for key in holders { holdsToken(key) }
        let least = wall + Int64(min(Self.leaseGrace, policy.leaseSeconds))
        let most = wall + Int64(policy.leaseSeconds)
        for var lease in saved {
            let claim = Claim(key: lease.key, mapping: lease.mapping)
            lease.expires = min(max(lease.expires, least), most)
            if leases.enter(lease) {
                written[claim] = lease.ports
                rebook(claim)
                actions.append(.hold(claim, lease.ports, lease.protocols))
            }
        }
        return actions
    }

    public mutating func handle(_ event: Event, at now: Instant, wall: WallTime) -> [Action] {
        let (time, changes) = clock.read(wall, at: now)
        var actions: [Action] = []
        for change in changes {
            switch change {
            case .jumped(let seconds): actions.append(.clockJumped(seconds: seconds))
            case .adopted(let seconds): leases.shift(by: seconds)
            }
        }
        return actions + handle(event, now, time)
    }

    private mutating func handle(_ event: Event, _ now: Instant, _ wall: WallTime) -> [Action] {
        switch event {
        case .sessionProven(let id, let key, let introduction, let grant, let formerly):
            guard retired[key] == nil else { return [.end(id, .superseded, detail: Self.retirement)] }
            if case .token = grant.membership { holdsToken(key) }
            let taken = formerly.flatMap { succeed($0, to: key, introduction.instance, grant.membership, wall) }
            return taken + proven(id, key, introduction, grant, now, wall)
        case .received(let id, let message):
            guard sessions[id] != nil else { return [] }
            sessions[id]?.lastHeard = now
            return received(id, message, now, wall)
        case .sessionEnded(let id): return ended(id, wall)
        case .portsHeld(let claim, let ports): return portsHeld(claim, ports, now)
        case .portsBusy(let claim, let ports, let taken): return portsBusy(claim, ports, taken, now)
        case .portsShort(let claim): return portsShort(claim)
        case .leaseSaved(let claim, let succeeded): return leaseSaved(claim, succeeded)
        case .receiptDrafted(let claim, let id, let draft): return receiptDrafted(claim, id, draft)
        case .tokenMade(let key):
            holdsToken(key)
            return []
        case .grantRenewed(let id, let grant): return renewed(id, grant, wall)
        case .membershipEnded(let membership, let reason, let detail):
            return dismiss(sessions.filter { $0.value.grant.membership == membership }.map(\.key), reason, detail, wall)
        case .ownerReleased(let claim): return release(claim, now)
        case .ownerSentAway(let key): return sendAway(key, now, wall)
        case .drain(let isOn): return drain(isOn)
        case .drained:
            return isDraining ? dismiss(Array(sessions.keys), .leaving, "the relay is about to stop", wall) : []
        case .timePassed: return timePassed(now, wall)
        }
    }

    /// When `timePassed` should come at the latest; for grants that expire by the wall clock it must come often anyway.
    public var nextDeadline: Instant? {
        let silences = sessions.values.map { $0.lastHeard + SessionTiming.relayPatience }
        let offers = agreements.values.filter { $0.stage == .offered }.map(\.deadline)
        return (silences + offers).min()
    }

    mutating func prolong(_ claim: Claim, _ wall: WallTime) -> [Action] {
        leases.prolong(claim, until: wall + Int64(policy.leaseSeconds))
        return leases[claim].map { [.saveLease($0)] } ?? []
    }

    private mutating func received(
        _ id: SessionID, _ message: PeerMessage, _ now: Instant, _ wall: WallTime
    ) -> [Action] {
        guard let key = sessions[id]?.key else { return [] }
        switch message {
        case .ping(let number): return [.send(id, .pong(number))]
        case .request(let request): return requested(id, key, request, now, wall)
        case .commit(let mapping, let attempt, let ports):
            return committed(id, Claim(key: key, mapping: mapping), attempt, ports, wall)
        case .decline(let mapping, let attempt, let reason):
            return declined(Claim(key: key, mapping: mapping), attempt, reason, now)
        case .release(let mapping): return released(id, Claim(key: key, mapping: mapping), now)
        case .report(let mapping, let state, let isLeaving, let ports):
            return reported(id, Claim(key: key, mapping: mapping), state, ports, isLeaving: isLeaving, now)
        case .close:
            return ended(id, wall) + [.end(id, .leaving, detail: "")]
        case .checkWanted(let request): return checkWanted(id, request, now)
        case .receiptSigned(let mapping, let signature):
            guard isReceiptSigned(Claim(key: key, mapping: mapping), id, signature) else {
                return ended(id, wall) + [.end(id, .protocolBreach, detail: "a signature that fits no receipt")]
            }
            return []
        // A token is judged outside, and comes back as `grantRenewed`.
        case .pong, .tokenRenewed: return []
        case .hello, .introduction, .keyHistoryWanted:
            return ended(id, wall) + [.end(id, .protocolBreach, detail: "a message of the handshake")]
        }
    }

    private mutating func timePassed(_ now: Instant, _ wall: WallTime) -> [Action] {
        forgetReleases(now)
        var actions: [Action] = []
        // Sorted, because dictionaries have another order in each process and a run must be replayable.
        let silent = sessions.filter { now >= $0.value.lastHeard + SessionTiming.relayPatience }.keys
        for id in silent.sorted(by: { $0.value < $1.value }) {
            actions += [.end(id, .silent, detail: "nothing was heard for too long")] + ended(id, wall)
        }
        actions += tellOfOrphans(now)
        actions += dismiss(
            sessions.filter { $0.value.grant.hasExpired(at: wall) }.map(\.key), .expired, Self.expiry, wall)
        let unanswered = agreements.filter { $0.value.stage == .offered && now >= $0.value.deadline }.keys
        for claim in unanswered.sorted(by: Claim.precedes) {
            actions += refuse(claim, .withdrawn, "the offer was not answered")
        }
        for claim in agreements.filter(\.value.mustResume).keys.sorted(by: Claim.precedes) {
            actions += resume(claim, now)
        }
        forgetWorkloads(now)
        // Those of live sessions are written down anew when half of their time is over, so that after a crash of the
        // relay what is on disk still has time left.
        for claim in leases.expired(at: wall + Int64(policy.leaseSeconds / 2)).sorted(by: Claim.precedes) {
            if let agreement = agreements[claim] {
                if agreement.stage == .active || agreement.stage == .paused {
                    actions += prolong(claim, wall) + promise(claim)
                }
            } else if let lease = leases[claim], lease.expires <= wall {
                actions += giveUp(claim)
            }
        }
        return actions
    }
}
