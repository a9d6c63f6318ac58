internal import PeerWire

/// Which ports are offered: places are tried one after the other, and held before anybody hears of them.
extension RelayCore {
    mutating func walk(
        for wish: PortWish, _ protocols: TransportProtocols, _ claim: Claim, _ grant: Grant
    ) -> PortWalk? {
        if case .exactly = wish { return nil }
        let places = grant.places(within: policy.ports)
        // Many in a row are looked for only where they can be: to ask of each place who has it would take too long.
        let isLong = wish.count > Self.manyPorts
        return PortWalk(
            isLong ? leases.gaps(in: places, protocols, except: claim) : places, count: wish.count, random: &random)
    }

    /// Free as far as this relay knows; the system has the last word.
    func isFree(_ ports: PortRange, _ protocols: TransportProtocols, except claim: Claim) -> Bool {
        if let owner = leases.owner(of: ports, protocols), owner != claim { return false }
        return !agreements.contains { other, agreement in
            other != claim && agreement.isHeld && agreement.ports?.overlaps(ports) == true
        }
    }

    /// - Parameter isPaid: so many ports were paid for already.
    mutating func tryNextPlace(_ claim: Claim, _ now: Instant, isPaid: Bool = false) -> [Action] {
        guard let agreement = agreements[claim] else { return [] }
        let request = agreement.request
        var walk = agreement.walk
        var looked = 0
        while let ports = walk?.next() {
            looked += ports.count
            if looked >= Self.lookUpsForOne {
                looked -= Self.lookUpsForOne
                guard pay(1, for: agreement.session, now) else {
                    return refuse(claim, .limitReached, Self.excessOfWork)
                }
            }
            // Ports under another offer are bound, so the system would say busy as well: no need to ask here.
            guard leases.owner(of: ports, request.protocols) == nil, !isKnownBusy(ports, request.protocols, now) else {
                continue
            }
            guard isPaid || pay(ports.count, for: agreement.session, now) else {
                return refuse(claim, .limitReached, Self.excessOfWork)
            }
            agreements[claim]?.walk = walk
            return [.hold(claim, ports, request.protocols)]
        }
        if case .exactly(let ports) = request.wish {
            return refuse(claim, .portTaken, "\(Self.subject(ports)) used by something else on the relay's machine")
        }
        let granted = agreements[claim].flatMap { sessions[$0.session]?.grant.places(within: policy.ports) }
        let places = (granted ?? [policy.ports.usual]).map(\.description).joined(separator: ", ")
        return refuse(claim, .noPortFree, "none of \(places) is free")
    }

    mutating func portsHeld(_ claim: Claim, _ ports: PortRange, _ now: Instant) -> [Action] {
        guard let agreement = agreements[claim], agreement.stage == .holding, !agreement.isHeld else {
            // Restored from a former run, or the session went meanwhile.
            guard leases[claim]?.ports == ports, agreements[claim] == nil else { return [.free(claim)] }
            held.insert(claim)
            return []
        }
        guard sessions[agreement.session]?.grant.allows(ports) == true else {
            // Renewed while the system was asked.
            return [.free(claim)] + tryNextPlace(claim, now)
        }
        agreements[claim]?.isHeld = true
        return offer(claim, ports, now)
    }

    /// A port that the system did not give for all of these protocols together.
    struct BusyPort: Hashable {
        let port: UInt16
        let protocols: TransportProtocols
    }

    /// What was not to be had for UDP alone is not to be had for both either, and may well be for TCP.
    private func isKnownBusy(_ ports: PortRange, _ protocols: TransportProtocols, _ now: Instant) -> Bool {
        guard !busyPorts.isEmpty else { return false }
        let noted = [TransportProtocols.tcp, .udp, [.tcp, .udp]].filter { $0.isSubset(of: protocols) }
        return ports.ports.contains { port in
            noted.contains { busyPorts[BusyPort(port: port, protocols: $0)].map { $0 > now } ?? false }
        }
    }

    /// Others that want any port need not ask the system about this one for some time. Those that are only offered to
    /// somebody may be free any moment.
    private mutating func noteBusy(_ port: UInt16, _ protocols: TransportProtocols, _ now: Instant) {
        let isOurs = agreements.values.contains { agreement in
            agreement.isHeld && agreement.ports?.ports.contains(port) == true
                && !agreement.request.protocols.isDisjoint(with: protocols)
        }
        if !isOurs { busyPorts[BusyPort(port: port, protocols: protocols)] = now + Self.busySpan }
    }

    mutating func portsBusy(_ claim: Claim, _ ports: PortRange, _ taken: UInt16?, _ now: Instant) -> [Action] {
        if let taken, let request = agreements[claim]?.request { noteBusy(taken, request.protocols, now) }
        guard agreements[claim]?.stage == .holding else { return [] }
        // A lease whose port something else took meanwhile is worth nothing.
        return endLease(claim) + tryNextPlace(claim, now)
    }

    /// A lease outlives that: its ports come back with the descriptors.
    mutating func portsShort(_ claim: Claim) -> [Action] {
        guard agreements[claim]?.stage == .holding else { return [] }
        return refuse(
            claim, .limitReached,
            "the relay has no descriptors left; whoever runs it can raise its limit of open files",
            keepingLease: true)
    }

    mutating func offer(_ claim: Claim, _ ports: PortRange, _ now: Instant) -> [Action] {
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
                    RelayMessage.Offer(
                        mapping: claim.mapping, attempt: agreement.attempt, ports: ports,
                        leaseSeconds: policy.leaseSeconds)))
        ]
    }
}
