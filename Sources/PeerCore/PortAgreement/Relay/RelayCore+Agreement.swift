internal import PeerWire

/// How one mapping comes to its ports, from the request to the end of its lease.
extension RelayCore {
    mutating func requested(
        _ id: SessionID, _ key: NodeKey, _ request: PeerMessage.Request, _ now: Instant, _ wall: WallTime
    ) -> [Action] {
        guard let session = sessions[id] else { return [] }
        let claim = Claim(key: key, mapping: request.mapping)
        let grant = session.grant
        let inherited = inherit(for: request, claim, session, now)
        func refusal(_ reason: RefusalReason, _ detail: String) -> [Action] {
            inherited + [.send(id, .refusal(request.mapping, reason: reason, detail: detail))]
        }
        guard request.protocols.isSubset(of: policy.protocols) else {
            return refusal(.protocolNotSupported, "this relay does not carry UDP")
        }
        guard !isReleased(claim, now) else { return refusal(.notGranted, Self.releasedPort) }
        let count = request.wish.count
        let most = policy.maximumPorts(for: request.protocols)
        guard count <= most else { return refusal(.limitReached, "at most \(most) ports for one mapping") }
        guard session.mappings.contains(request.mapping) || session.mappings.count < policy.maximumMappingsPerSession
        else { return refusal(.limitReached, "at most \(policy.maximumMappingsPerSession) mappings for one peer") }
        if case .exactly(let ports) = request.wish, !policy.ports.contains(ports) {
            return refusal(.portNotAllowed, "this relay gives out \(policy.ports)")
        }
        if let detail = excess(of: request, by: claim, grant) { return refusal(.limitReached, detail) }
        if let detail = trespass(of: request, grant) {
            // The last port of a token may be its server port's from before.
            return inherited + (request.target == HostText.serverPort ? giveUp(claim) : [])
                + [.send(id, .refusal(request.mapping, reason: .notGranted, detail: detail))]
        }
        guard mayCycle(request.mapping, id, now) else { return refusal(.limitReached, Self.excessOfCycles) }
        guard pay(count, for: id, now) else { return refusal(.limitReached, Self.excessOfWork) }
        if agreements[claim] != nil { countCycle(of: request.mapping, id, now) }
        let walk = walk(for: request.wish, request.protocols, claim, grant)
        // A repeated request starts over; what it held is kept if it still fits, but nothing accepts until it is
        // agreed.
        let former = agreements.removeValue(forKey: claim)
        if former?.isHeld == true { held.insert(claim) }
        let receipts = former?.session == id ? former?.receipts ?? [] : []
        var actions = inherited + (former?.stage == .active ? [.pause(claim)] : [])
        sessions[id]?.mappings.insert(request.mapping)
        let agreement = Agreement(
            session: id, request: request, filter: NetworkFilter(allow: request.allow, deny: request.deny), walk: walk,
            receipts: receipts)
        agreements[claim] = agreement
        rebook(claim)

        if let lease = leases[claim] {
            let fits =
                switch request.wish {
                case .any(let count): count == lease.ports.count
                case .exactly(let ports): ports == lease.ports
                case .preferably(let ports): ports.count == lease.ports.count
                }
            if fits, lease.protocols == request.protocols, grant.allows(lease.ports) {
                guard held.remove(claim) != nil else {
                    return actions + [.hold(claim, lease.ports, lease.protocols)]
                }
                agreements[claim]?.isHeld = true
                return actions + offer(claim, lease.ports, now)
            }
        }
        actions += giveUp(claim)
        switch request.wish {
        case .any: return actions + tryNextPlace(claim, now, isPaid: true)
        case .exactly(let ports):
            guard let owner = leases.owner(of: ports, request.protocols) else {
                return actions + [.hold(claim, ports, request.protocols)]
            }
            return actions
                + (owner.key == key
                    ? refuse(claim, .portTaken, "\(Self.subject(ports)) already another mapping's of yours")
                    : refuse(claim, .portLeased, "\(Self.subject(ports)) leased to another node"))
        case .preferably(let ports):
            guard policy.ports.contains(ports), grant.allows(ports), isFree(ports, request.protocols, except: claim)
            else { return actions + tryNextPlace(claim, now, isPaid: true) }
            return actions + [.hold(claim, ports, request.protocols)]
        }
    }

    /// Once in each session the peer hears which of its leases it has not asked for: one that it does not know any more
    /// it gives back (`release`), where it would otherwise take a place of its membership until it runs out. What it
    /// knows, and what an older peer hears, it passes over.
    mutating func tellOfOrphans(_ now: Instant) -> [Action] {
        let due = sessions.filter { !$0.value.isToldOfOrphans && now >= $0.value.since + Self.settling }.keys
        guard !due.isEmpty else { return [] }
        for id in due { sessions[id]?.isToldOfOrphans = true }
        return leases.all.filter { agreements[Claim(key: $0.key, mapping: $0.mapping)] == nil }
            .compactMap { lease in live[lease.key].map { (id: $0, mapping: lease.mapping) } }
            .filter { due.contains($0.id) }
            .sorted { ($0.id.value, $0.mapping.value) < ($1.id.value, $1.mapping.value) }
            .map {
                .send(
                    $0.id, .refusal($0.mapping, reason: .withdrawn, detail: "leased, and not asked for in this session")
                )
            }
    }

    /// Moves a lease of the same key for the very ports that are asked for to this mapping, where the peer does not
    /// know the one that it belongs to any more: it could not write it down, or its home is an older one. Nobody else
    /// may have those ports, so that without this the key would lock itself out of them.
    private mutating func inherit(
        for request: PeerMessage.Request, _ claim: Claim, _ session: Session, _ now: Instant
    ) -> [Action] {
        let ports: PortRange
        switch request.wish {
        case .any: return []
        case .exactly(let range), .preferably(let range): ports = range
        }
        guard let orphan = leases.owner(of: ports, request.protocols), orphan.key == claim.key, orphan != claim,
            agreements[orphan] == nil, agreements[claim] == nil, leases[claim] == nil,
            now >= session.since + Self.settling, var lease = leases[orphan], lease.ports == ports,
            lease.protocols == request.protocols
        else { return [] }
        leases.remove(orphan)
        lease.mapping = claim.mapping
        lease.target = request.target
        leases.enter(lease)
        written[orphan] = nil
        rebook(orphan)
        rebook(claim)
        // Written down anew before it goes from its old place: a crash in between loses nothing.
        let moved: [Action] = [.saveLease(lease), .removeLease(orphan)]
        guard held.remove(orphan) != nil else { return moved }
        held.insert(claim)
        return [.rename(orphan, to: claim)] + moved
    }

    /// A newer grant: its ports and protocols count from now on.
    mutating func regrant(_ claim: Claim, _ grant: Grant) -> [Action] {
        guard var agreement = agreements[claim] else { return [] }
        if agreement.walk != nil {
            agreement.walk = walk(for: agreement.request.wish, agreement.request.protocols, claim, grant)
        }
        agreements[claim] = agreement
        rebook(claim)
        if let ports = agreement.ports {
            guard grant.allows(ports) else {
                return refuse(claim, .notGranted, "\(grant.membership.holder) no longer allows port \(ports)")
            }
        } else if let detail = trespass(of: agreement.request, grant) {
            return refuse(claim, .notGranted, detail)
        }
        guard grant.allows(agreement.request.protocols) else {
            return refuse(claim, .notGranted, "your membership no longer allows this protocol")
        }
        guard let lease = leases[claim], lease.account != grant.membership else { return promise(claim) }
        leases.charge(claim, to: grant.membership)
        return (leases[claim].map { [.saveLease($0)] } ?? []) + promise(claim)
    }

    /// Brings the ledger up to date with what a claim has now.
    mutating func rebook(_ claim: Claim) {
        if let agreement = agreements[claim], let session = sessions[agreement.session] {
            let (account, count) = (session.grant.membership, agreement.request.wish.count)
            let isSpared = isSpared(claim, agreement.request.target, count, account)
            ledger.book(claim, to: account, ports: count, isLive: true, isSpared: isSpared)
        } else if let lease = leases[claim], let account = lease.account {
            let isSpared = isSpared(claim, lease.target, lease.ports.count, account)
            ledger.book(claim, to: account, ports: lease.ports.count, isLive: false, isSpared: isSpared)
        } else {
            ledger.erase(claim)
        }
    }

    mutating func committed(
        _ id: SessionID, _ claim: Claim, _ attempt: UInt16, _ states: PortStates?, _ wall: WallTime
    ) -> [Action] {
        guard let agreement = agreements[claim], agreement.stage == .offered, agreement.attempt == attempt,
            agreement.session == id, let ports = agreement.ports, let session = sessions[id]
        else { return [] }
        // The grant may be another one than when the port was offered.
        if let detail = excessOfPorts(agreement.request, by: claim, session.grant) {
            return refuse(claim, .limitReached, detail)
        }
        var lease = Lease(
            key: claim.key, mapping: claim.mapping, ports: ports, protocols: agreement.request.protocols,
            peerName: session.name, target: agreement.request.target,
            expires: wall + Int64(policy.leaseSeconds))
        lease.account = session.grant.membership
        guard leases.enter(lease) else {
            return refuse(claim, .portLeased, "\(Self.subject(ports)) leased to another node since a moment ago")
        }
        agreements[claim]?.stage = .saving
        agreements[claim]?.note(states)
        agreements[claim]?.reportedPorts = nil
        return [.saveLease(lease)]
    }

    mutating func leaseSaved(_ claim: Claim, _ succeeded: Bool) -> [Action] {
        if succeeded, let lease = leases[claim] { written[claim] = lease.ports }
        guard let agreement = agreements[claim], agreement.stage == .saving, let session = sessions[agreement.session]
        else { return [] }
        // What the disk has is served, whatever the disk does now: only the lease's new end is missing there, and
        // whoever writes goes on trying.
        guard succeeded || written[claim] == agreement.ports else {
            return refuse(claim, .storageFailed, "the relay could not write the lease down")
        }
        let opened = agreement.all.subtracting(agreement.refusing)
        agreements[claim]?.stage = opened.isEmpty ? .paused : .active
        agreements[claim]?.shut = agreement.refusing
        let only = opened == agreement.all ? nil : opened
        let listening: [Action] =
            opened.isEmpty ? [] : [.listen(claim, agreement.session, agreement.filter, only: only)]
        return listening + [
            .send(agreement.session, .active(claim.mapping, attempt: agreement.attempt, host: session.dialled))
        ] + promise(claim)
    }

    mutating func declined(_ claim: Claim, _ attempt: UInt16, _ reason: RefusalReason, _ now: Instant) -> [Action] {
        guard var agreement = agreements[claim], agreement.stage == .offered, agreement.attempt == attempt else {
            return []
        }
        agreement.declines += 1
        agreement.stage = .holding
        agreement.isHeld = false
        agreement.ports = nil
        agreements[claim] = agreement
        let actions: [Action] = [.free(claim)] + endLease(claim)
        guard reason != .withdrawn, agreement.declines < Self.maximumDeclines, agreement.walk != nil else {
            return actions + refuse(claim, reason, "the peer could not use the number at its own end")
        }
        return actions + tryNextPlace(claim, now)
    }

    mutating func released(_ id: SessionID, _ claim: Claim, _ now: Instant) -> [Action] {
        if agreements[claim] != nil { countCycle(of: claim.mapping, id, now) }
        if agreements.removeValue(forKey: claim)?.isHeld == true { held.insert(claim) }
        sessions[id]?.mappings.remove(claim.mapping)
        return giveUp(claim) + [.send(id, .released(claim.mapping))]
    }

    mutating func reported(
        _ id: SessionID, _ claim: Claim, _ state: MappingState, _ states: PortStates?, isLeaving: Bool, _ now: Instant
    ) -> [Action] {
        guard let agreement = agreements[claim], agreement.session == id else { return [] }
        agreements[claim]?.reported = state
        agreements[claim]?.mustResume = false
        switch (agreement.stage, state) {
        case (.active, .targetDown):
            agreements[claim]?.stage = .paused
            agreements[claim]?.note(nil)
            // Where the service is down, who comes in would be turned away at once.
            return [isLeaving ? .pauseGently(claim) : .pause(claim)]
        case (.active, _):
            agreements[claim]?.note(states)
            let closed = (agreements[claim]?.refusing ?? []).subtracting(agreement.shut)
            agreements[claim]?.shut.formUnion(closed)
            return (closed.isEmpty ? [] : [.pause(claim, only: closed)]) + resume(claim, now)
        case (.paused, .active), (.paused, .verified), (.paused, .unreachable):
            agreements[claim]?.note(states)
            return resume(claim, now)
        case (.holding, _), (.offered, _), (.saving, _), (.paused, _): return []
        }
    }

    /// Targets answer again, and so their ports accept; as soon as that is paid for, and with it that they were closed.
    mutating func resume(_ claim: Claim, _ now: Instant) -> [Action] {
        guard let agreement = agreements[claim], agreement.stage == .paused || agreement.stage == .active,
            let session = sessions[agreement.session]
        else { return [] }
        let shut = agreement.stage == .paused ? agreement.all : agreement.shut
        let opened = shut.subtracting(agreement.refusing)
        let isPaid = opened.isEmpty || pay(2 * opened.count, for: agreement.session, now)
        agreements[claim]?.mustResume = !isPaid
        guard isPaid, !opened.isEmpty else { return [] }
        agreements[claim]?.stage = .active
        agreements[claim]?.shut = shut.subtracting(opened)
        return [
            .listen(claim, agreement.session, agreement.filter, only: opened == agreement.all ? nil : opened),
            .send(
                agreement.session, .active(claim.mapping, attempt: agreement.attempt, host: session.dialled)),
        ]
    }

    /// Tells the peer no, and gives back what was bound for it.
    mutating func refuse(
        _ claim: Claim, _ reason: RefusalReason, _ detail: String, keepingLease: Bool = false
    ) -> [Action] {
        guard let agreement = agreements.removeValue(forKey: claim) else { return [] }
        if agreement.isHeld { held.insert(claim) }
        sessions[agreement.session]?.mappings.remove(claim.mapping)
        rebook(claim)
        // An offer that went unanswered ends the agreement, not the lease that was there before it.
        let keepsLease = (keepingLease || reason == .withdrawn) && leases[claim] != nil
        return (keepsLease ? [] : giveUp(claim))
            + [.send(agreement.session, .refusal(claim.mapping, reason: reason, detail: detail))]
    }

    /// Ends a claim's lease and frees its ports, where there are any.
    mutating func giveUp(_ claim: Claim) -> [Action] {
        let actions = endLease(claim)
        rebook(claim)
        return held.remove(claim) != nil ? actions + [.free(claim)] : actions
    }

    mutating func endLease(_ claim: Claim) -> [Action] {
        written[claim] = nil
        return leases.remove(claim) == nil ? [] : [.removeLease(claim)]
    }
}

extension RelayCore.Agreement {
    /// What the peer says of each port; of those that it says nothing of they all accept.
    mutating func note(_ states: PortStates?) {
        let count = UInt16(clamping: ports?.count ?? 0)
        reportedPorts = states
        refusing = states?.offsets(in: .targetDown).filter { $0 < count } ?? []
    }

    /// All of its ports, by how many they are after the first one.
    var all: Set<UInt16> { Set((0..<(ports?.count ?? 0)).map { UInt16($0) }) }
}
