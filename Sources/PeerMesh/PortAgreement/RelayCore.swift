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
        public var ports: PortRange
        public var protocols: TransportProtocols
        /// How long a lease lasts after its last session, in seconds.
        public var leaseSeconds: UInt32
        public var maximumPortsPerMapping: Int
        public var maximumMappingsPerSession: Int
        public var maximumSessions: Int

        public init(
            ports: PortRange, protocols: TransportProtocols = .tcp, leaseSeconds: UInt32 = 24 * 3600,
            maximumPortsPerMapping: Int = 64, maximumMappingsPerSession: Int = 1_024, maximumSessions: Int = 4_096
        ) {
            self.ports = ports
            self.protocols = protocols
            self.leaseSeconds = leaseSeconds
            self.maximumPortsPerMapping = maximumPortsPerMapping
            self.maximumMappingsPerSession = maximumMappingsPerSession
            self.maximumSessions = maximumSessions
        }
    }

    public enum Event: Sendable {
        case sessionProven(SessionID, key: NodeKey, introduction: Message.Introduction)
        case received(SessionID, Message)
        case sessionEnded(SessionID)
        /// Answers to `hold`.
        case portsHeld(Claim, PortRange)
        case portsBusy(Claim, PortRange)
        /// Answer to `saveLease`.
        case leaseSaved(Claim, succeeded: Bool)
        case timePassed
    }

    public enum Action: Hashable, Sendable {
        case welcome(SessionID)
        case send(SessionID, Message)
        /// Say why, then close.
        case end(SessionID, CloseReason, detail: String)
        /// Bind these ports without accepting anything; answer with `portsHeld` or `portsBusy`.
        case hold(Claim, PortRange, TransportProtocols)
        /// Start accepting on the held ports, for this session.
        case listen(Claim, SessionID)
        /// Stop accepting: connections are refused, the ports stay bound.
        case pause(Claim)
        /// Give the ports back to the system.
        case free(Claim)
        /// Write the lease down; answer with `leaseSaved`.
        case saveLease(Lease)
        case removeLease(Claim)
        /// Dial what a peer wants checked, unless `DialPolicy` forbids it, and send the result to that session.
        case check(SessionID, Message.CheckRequest, by: NodeKey)
        /// Abort what visitors still have open through this session.
        case abortVisitors(SessionID)
    }

    public struct Session: Sendable {
        public var key: NodeKey
        public var instance: ProcessInstance
        public var name: String
        /// The host by which the peer reached this relay.
        public var dialled: String
        public var lastHeard: Instant
        fileprivate var mappings: Set<MappingID> = []
        /// Checks that it may still ask for; refilled with time.
        fileprivate var checks = RelayCore.checkBurst
        fileprivate var checksRefilled = Instant.zero
    }

    public enum Stage: Hashable, Sendable { case holding, offered, saving, active, paused }

    /// What listings show of one mapping.
    public struct Standing: Sendable {
        public var lease: Lease
        public var stage: Stage?
        public var reported: MappingState?
        public var session: SessionID?
    }

    private struct Agreement: Sendable {
        var session: SessionID
        var request: Message.Request
        var stage = Stage.holding
        var attempt: UInt16 = 0
        var ports: PortRange?
        /// Places not tried yet; `nil` when only these very ports will do.
        var walk: PortWalk?
        var declines = 0
        var deadline = Instant.zero
        var reported: MappingState?
        /// Whether `free` was not called since the last `hold`.
        var isHeld = false
    }

    /// An offer that nobody answers is withdrawn after this.
    static let offerLimit = Instant.Span.seconds(30)
    /// So many numbers may turn out to be taken at the peer's own end.
    static let maximumDeclines = 16
    static let maximumFencedInstances = 64
    static let maximumFencedKeys = 16_384
    /// Checks for other nodes cost a connection each: so many at once, then one a second.
    static let checkBurst = 16

    public private(set) var policy: Policy
    private var sessions: [SessionID: Session] = [:]
    private var live: [NodeKey: SessionID] = [:]
    private var fenced: [NodeKey: [ProcessInstance]] = [:]
    private var leases = LeaseTable()
    /// Claims whose ports are bound though no session uses them.
    private var held: Set<Claim> = []
    private var agreements: [Claim: Agreement] = [:]
    private var random: SeededGenerator

    public init(policy: Policy, seed: UInt64) {
        self.policy = policy
        random = SeededGenerator(seed: seed)
    }

    // MARK: What listings read

    public func session(_ id: SessionID) -> Session? { sessions[id] }
    public var sessionCount: Int { sessions.count }

    public var standings: [Standing] {
        leases.all.map { lease in
            let agreement = agreements[Claim(key: lease.key, mapping: lease.mapping)]
            return Standing(
                lease: lease, stage: agreement?.stage, reported: agreement?.reported, session: agreement?.session)
        }
    }

    // MARK: Events

    /// Takes over the leases of a former run and binds their ports at once, before others can.
    public mutating func restore(_ saved: [Lease], at wall: WallTime) -> [Action] {
        var actions: [Action] = []
        for lease in saved {
            let claim = Claim(key: lease.key, mapping: lease.mapping)
            if lease.expires <= wall {
                actions.append(.removeLease(claim))
            } else if leases.enter(lease) {
                actions.append(.hold(claim, lease.ports, lease.protocols))
            }
        }
        return actions
    }

    public mutating func handle(_ event: Event, at now: Instant, wall: WallTime) -> [Action] {
        switch event {
        case .sessionProven(let id, let key, let introduction): return proven(id, key, introduction, now, wall)
        case .received(let id, let message):
            guard sessions[id] != nil else { return [] }
            sessions[id]?.lastHeard = now
            return received(id, message, now, wall)
        case .sessionEnded(let id): return ended(id, wall)
        case .portsHeld(let claim, let ports): return portsHeld(claim, ports, now)
        case .portsBusy(let claim, let ports): return portsBusy(claim, ports)
        case .leaseSaved(let claim, let succeeded): return leaseSaved(claim, succeeded)
        case .timePassed: return timePassed(now, wall)
        }
    }

    /// When `timePassed` should come at the latest.
    public var nextDeadline: Instant? {
        let silences = sessions.values.map { $0.lastHeard + SessionTiming.relayPatience }
        let offers = agreements.values.filter { $0.stage == .offered }.map(\.deadline)
        return (silences + offers).min()
    }

    // MARK: Sessions

    private mutating func proven(
        _ id: SessionID, _ key: NodeKey, _ introduction: Message.Introduction, _ now: Instant, _ wall: WallTime
    ) -> [Action] {
        if fenced[key, default: []].contains(introduction.instance) {
            return [.end(id, .superseded, detail: "a later process proved the same key")]
        }
        guard sessions.count < policy.maximumSessions || live[key] != nil else {
            return [.end(id, .limitReached, detail: "\(policy.maximumSessions) sessions are open")]
        }
        var actions: [Action] = []
        if let former = live[key], let session = sessions[former] {
            if session.instance == introduction.instance {
                actions += [.end(former, .leaving, detail: "replaced by a new session")]
            } else {
                if fenced[key] == nil, fenced.count >= Self.maximumFencedKeys, let any = fenced.keys.first {
                    fenced[any] = nil
                }
                fenced[key, default: []].append(session.instance)
                if fenced[key, default: []].count > Self.maximumFencedInstances { fenced[key]?.removeFirst() }
                actions += [
                    .abortVisitors(former), .end(former, .superseded, detail: "a later process proved the same key"),
                ]
            }
            actions += ended(former, wall)
        }
        sessions[id] = Session(
            key: key, instance: introduction.instance, name: introduction.name, dialled: introduction.dialled, lastHeard: now)
        live[key] = id
        return actions + [.welcome(id)]
    }

    private mutating func ended(_ id: SessionID, _ wall: WallTime) -> [Action] {
        guard let session = sessions.removeValue(forKey: id) else { return [] }
        if live[session.key] == id { live[session.key] = nil }
        var actions: [Action] = []
        for mapping in session.mappings.sorted(by: { $0.value < $1.value }) {
            let claim = Claim(key: session.key, mapping: mapping)
            guard let agreement = agreements[claim], agreement.session == id else { continue }
            agreements[claim] = nil
            guard leases[claim] != nil else {
                // Never agreed: nothing to come back to.
                if agreement.isHeld { actions.append(.free(claim)) }
                continue
            }
            if agreement.isHeld { held.insert(claim) }
            if agreement.stage == .active { actions.append(.pause(claim)) }
            actions += prolong(claim, wall)
        }
        return actions
    }

    private mutating func prolong(_ claim: Claim, _ wall: WallTime) -> [Action] {
        leases.prolong(claim, until: wall + Int64(policy.leaseSeconds))
        return leases[claim].map { [.saveLease($0)] } ?? []
    }

    private mutating func received(
        _ id: SessionID, _ message: Message, _ now: Instant, _ wall: WallTime
    ) -> [Action] {
        guard let key = sessions[id]?.key else { return [] }
        switch message {
        case .ping(let number): return [.send(id, .pong(number))]
        case .request(let request): return requested(id, key, request, now, wall)
        case .commit(let mapping, let attempt):
            return committed(id, Claim(key: key, mapping: mapping), attempt, wall)
        case .decline(let mapping, let attempt, let reason):
            return declined(Claim(key: key, mapping: mapping), attempt, reason)
        case .release(let mapping): return released(id, Claim(key: key, mapping: mapping))
        case .report(let mapping, let state): return reported(id, Claim(key: key, mapping: mapping), state)
        case .close:
            return ended(id, wall) + [.end(id, .leaving, detail: "")]
        case .checkWanted(let request): return checkWanted(id, request, now)
        case .pong, .receiptSigned: return []
        case .hello, .membership, .introduction, .welcome, .offer, .active, .refusal, .released, .receipt,
            .channelsWanted, .checkDone, .meshKeyRenewed:
            return ended(id, wall) + [.end(id, .protocolBreach, detail: "a message that only a relay sends")]
        }
    }

    private mutating func timePassed(_ now: Instant, _ wall: WallTime) -> [Action] {
        var actions: [Action] = []
        // Sorted, because dictionaries have another order in each process and a run must be replayable.
        let silent = sessions.filter { now >= $0.value.lastHeard + SessionTiming.relayPatience }.keys
        for id in silent.sorted(by: { $0.value < $1.value }) {
            actions += [.end(id, .silent, detail: "nothing was heard for too long")] + ended(id, wall)
        }
        let unanswered = agreements.filter { $0.value.stage == .offered && now >= $0.value.deadline }.keys
        for claim in unanswered.sorted(by: Claim.precedes) {
            actions += refuse(claim, .withdrawn, "the offer was not answered")
        }
        // Those of live sessions are written down anew when half of their time is over, so that after a crash of the
        // relay what is on disk still has time left.
        for claim in leases.expired(at: wall + Int64(policy.leaseSeconds / 2)).sorted(by: Claim.precedes) {
            if let agreement = agreements[claim] {
                if agreement.stage == .active || agreement.stage == .paused { actions += prolong(claim, wall) }
            } else if let lease = leases[claim], lease.expires <= wall {
                leases.remove(claim)
                actions.append(.removeLease(claim))
                if held.remove(claim) != nil { actions.append(.free(claim)) }
            }
        }
        return actions
    }

    // MARK: Agreement

    private mutating func requested(
        _ id: SessionID, _ key: NodeKey, _ request: Message.Request, _ now: Instant, _ wall: WallTime
    ) -> [Action] {
        let claim = Claim(key: key, mapping: request.mapping)
        func refusal(_ reason: RefusalReason, _ detail: String) -> [Action] {
            [.send(id, .refusal(request.mapping, reason: reason, detail: detail))]
        }
        guard request.protocols.isSubset(of: policy.protocols) else {
            return refusal(.protocolNotSupported, "this relay does not carry UDP")
        }
        let count = request.wish.count
        guard count <= policy.maximumPortsPerMapping else {
            return refusal(.limitReached, "at most \(policy.maximumPortsPerMapping) ports for one mapping")
        }
        guard let mappings = sessions[id]?.mappings,
            mappings.contains(request.mapping) || mappings.count < policy.maximumMappingsPerSession
        else { return refusal(.limitReached, "at most \(policy.maximumMappingsPerSession) mappings for one peer") }
        if case .exactly(let ports) = request.wish, !policy.ports.contains(ports) {
            return refusal(.portNotAllowed, "this relay gives out \(policy.ports)")
        }
        // A repeated request starts over; what it held is kept if it still fits, but nothing accepts until it is agreed.
        let former = agreements.removeValue(forKey: claim)
        if former?.isHeld == true { held.insert(claim) }
        var actions: [Action] = former?.stage == .active ? [.pause(claim)] : []
        sessions[id]?.mappings.insert(request.mapping)
        var agreement = Agreement(session: id, request: request)

        if let lease = leases[claim] {
            let fits =
                switch request.wish {
                case .any(let count): count == lease.ports.count
                case .exactly(let ports): ports == lease.ports
                case .preferably(let ports): ports.count == lease.ports.count
                }
            if fits, lease.protocols == request.protocols {
                agreement.walk = walk(for: request.wish)
                agreements[claim] = agreement
                guard held.remove(claim) != nil else {
                    return actions + [.hold(claim, lease.ports, lease.protocols)]
                }
                agreements[claim]?.isHeld = true
                return actions + offer(claim, lease.ports, now)
            }
        }
        actions += giveUp(claim)
        switch request.wish {
        case .any:
            agreement.walk = walk(for: request.wish)
            agreements[claim] = agreement
            return actions + tryNextPlace(claim)
        case .exactly(let ports):
            if let owner = leases.owner(of: ports, request.protocols) {
                sessions[id]?.mappings.remove(request.mapping)
                return actions
                    + (owner.key == key
                        ? refusal(.portTaken, "port \(ports) already serves another mapping of yours")
                        : refusal(.portLeased, "port \(ports) is leased to another node"))
            }
            agreements[claim] = agreement
        case .preferably(let ports):
            agreement.walk = walk(for: request.wish)
            agreements[claim] = agreement
            guard policy.ports.contains(ports), isFree(ports, request.protocols, except: claim) else {
                return actions + tryNextPlace(claim)
            }
            actions.append(.hold(claim, ports, request.protocols))
            return actions
        }
        if case .exactly(let ports) = request.wish { actions.append(.hold(claim, ports, request.protocols)) }
        return actions
    }

    private mutating func walk(for wish: PortWish) -> PortWalk? {
        if case .exactly = wish { return nil }
        return PortWalk(policy.ports, count: wish.count, random: &random)
    }

    /// Free as far as this relay knows; the system has the last word.
    private func isFree(_ ports: PortRange, _ protocols: TransportProtocols, except claim: Claim) -> Bool {
        if let owner = leases.owner(of: ports, protocols), owner != claim { return false }
        return !agreements.contains { other, agreement in
            other != claim && agreement.isHeld && agreement.ports?.overlaps(ports) == true
        }
    }

    private mutating func tryNextPlace(_ claim: Claim) -> [Action] {
        guard let request = agreements[claim]?.request else { return [] }
        while let ports = agreements[claim]?.walk?.next() {
            // Ports under another offer are bound, so the system would say busy as well: no need to ask here.
            if leases.owner(of: ports, request.protocols) == nil { return [.hold(claim, ports, request.protocols)] }
        }
        if case .exactly(let ports) = request.wish {
            return refuse(claim, .portTaken, "port \(ports) is used by something else on the relay's machine")
        }
        return refuse(claim, .noPortFree, "none of \(policy.ports) is free")
    }

    private mutating func portsHeld(_ claim: Claim, _ ports: PortRange, _ now: Instant) -> [Action] {
        guard let agreement = agreements[claim], agreement.stage == .holding, !agreement.isHeld else {
            // Restored from a former run, or the session went meanwhile.
            guard leases[claim]?.ports == ports, agreements[claim] == nil else { return [.free(claim)] }
            held.insert(claim)
            return []
        }
        agreements[claim]?.isHeld = true
        return offer(claim, ports, now)
    }

    private mutating func portsBusy(_ claim: Claim, _ ports: PortRange) -> [Action] {
        guard let agreement = agreements[claim], agreement.stage == .holding else { return [] }
        // A lease whose port something else took meanwhile is worth nothing.
        let lost: [Action] = leases.remove(claim) == nil ? [] : [.removeLease(claim)]
        _ = agreement
        return lost + tryNextPlace(claim)
    }

    private mutating func offer(_ claim: Claim, _ ports: PortRange, _ now: Instant) -> [Action] {
        guard var agreement = agreements[claim] else { return [] }
        agreement.stage = .offered
        agreement.attempt += 1
        agreement.ports = ports
        agreement.deadline = now + Self.offerLimit
        agreements[claim] = agreement
        return [
            .send(
                agreement.session,
                .offer(
                    Message.Offer(
                        mapping: claim.mapping, attempt: agreement.attempt, ports: ports,
                        leaseSeconds: policy.leaseSeconds)))
        ]
    }

    private mutating func committed(
        _ id: SessionID, _ claim: Claim, _ attempt: UInt16, _ wall: WallTime
    ) -> [Action] {
        guard let agreement = agreements[claim], agreement.stage == .offered, agreement.attempt == attempt,
            agreement.session == id, let ports = agreement.ports, let session = sessions[id]
        else { return [] }
        let lease = Lease(
            key: claim.key, mapping: claim.mapping, ports: ports, protocols: agreement.request.protocols,
            peerName: session.name, target: agreement.request.target,
            expires: wall + Int64(policy.leaseSeconds))
        guard leases.enter(lease) else {
            return refuse(claim, .portLeased, "port \(ports) was leased to another node meanwhile")
        }
        agreements[claim]?.stage = .saving
        return [.saveLease(lease)]
    }

    private mutating func leaseSaved(_ claim: Claim, _ succeeded: Bool) -> [Action] {
        guard let agreement = agreements[claim], agreement.stage == .saving, let session = sessions[agreement.session]
        else { return [] }
        guard succeeded else { return refuse(claim, .storageFailed, "the relay could not write the lease down") }
        agreements[claim]?.stage = .active
        return [
            .listen(claim, agreement.session),
            .send(agreement.session, .active(claim.mapping, attempt: agreement.attempt, host: session.dialled)),
        ]
    }

    private mutating func declined(_ claim: Claim, _ attempt: UInt16, _ reason: RefusalReason) -> [Action] {
        guard var agreement = agreements[claim], agreement.stage == .offered, agreement.attempt == attempt else {
            return []
        }
        agreement.declines += 1
        agreement.stage = .holding
        agreement.isHeld = false
        agreement.ports = nil
        agreements[claim] = agreement
        var actions: [Action] = [.free(claim)]
        if leases.remove(claim) != nil { actions.append(.removeLease(claim)) }
        guard reason != .withdrawn, agreement.declines < Self.maximumDeclines, agreement.walk != nil else {
            return actions + refuse(claim, reason, "the peer could not use the number at its own end")
        }
        return actions + tryNextPlace(claim)
    }

    private mutating func released(_ id: SessionID, _ claim: Claim) -> [Action] {
        if agreements.removeValue(forKey: claim)?.isHeld == true { held.insert(claim) }
        sessions[id]?.mappings.remove(claim.mapping)
        return giveUp(claim) + [.send(id, .released(claim.mapping))]
    }

    private mutating func reported(_ id: SessionID, _ claim: Claim, _ state: MappingState) -> [Action] {
        guard let agreement = agreements[claim], agreement.session == id, let session = sessions[id] else { return [] }
        agreements[claim]?.reported = state
        switch (agreement.stage, state) {
        case (.active, .targetDown):
            agreements[claim]?.stage = .paused
            return [.pause(claim)]
        case (.paused, .active), (.paused, .verified):
            agreements[claim]?.stage = .active
            return [
                .listen(claim, id),
                .send(id, .active(claim.mapping, attempt: agreement.attempt, host: session.dialled)),
            ]
        case (.holding, _), (.offered, _), (.saving, _), (.active, _), (.paused, _): return []
        }
    }

    private mutating func checkWanted(_ id: SessionID, _ request: Message.CheckRequest, _ now: Instant) -> [Action] {
        guard var session = sessions[id] else { return [] }
        let refilled = Int((now - session.checksRefilled).nanoseconds / 1_000_000_000)
        if refilled > 0 {
            session.checks = min(Self.checkBurst, session.checks + min(refilled, Self.checkBurst))
            session.checksRefilled = now
        }
        let isAllowed = session.checks > 0
        if isAllowed { session.checks -= 1 }
        sessions[id] = session
        guard isAllowed else {
            return [
                .send(id, .checkDone(number: request.number, passed: false, detail: "too many checks were asked for"))
            ]
        }
        return [.check(id, request, by: session.key)]
    }

    /// Tells the peer no, and gives back what was bound for it.
    private mutating func refuse(_ claim: Claim, _ reason: RefusalReason, _ detail: String) -> [Action] {
        guard let agreement = agreements.removeValue(forKey: claim) else { return [] }
        if agreement.isHeld { held.insert(claim) }
        sessions[agreement.session]?.mappings.remove(claim.mapping)
        // An offer that went unanswered ends the agreement, not the lease that was there before it.
        let keepsLease = reason == .withdrawn && leases[claim] != nil
        return (keepsLease ? [] : giveUp(claim))
            + [.send(agreement.session, .refusal(claim.mapping, reason: reason, detail: detail))]
    }

    /// Ends a claim's lease and frees its ports, where there are any.
    private mutating func giveUp(_ claim: Claim) -> [Action] {
        var actions: [Action] = []
        if leases.remove(claim) != nil { actions.append(.removeLease(claim)) }
        if held.remove(claim) != nil { actions.append(.free(claim)) }
        return actions
    }
}
