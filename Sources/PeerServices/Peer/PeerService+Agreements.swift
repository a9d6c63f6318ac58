internal import Logging
internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// What is agreed at each relay.
extension PeerService {
    func addAgreement(_ wish: MappingWish, at relay: UsedRelay) {
        relay.agreements[wish.id] = PeerPortAgreement(
            wish: wish, targetText: Self.text(wish.target),
            remembered: memory.ports(of: wish.id, at: relay.endpoint.description))
        if let targets = book.targets(of: wish.id) { handle(.targets(targets), wish.id, relay) }
        if relay.isEstablished { begin(wish.id, at: relay) }
    }

    /// Asks for a mapping's ports. Where any will do and another relay is about to give some, once that has: the same
    /// number is wished for here.
    func begin(_ id: MappingID, at relay: UsedRelay) {
        guard var agreement = relay.agreements[id] else { return }
        relay.waiting.remove(id)
        let others = relays.filter { $0 !== relay }.compactMap { $0.agreements[id] }
        let elsewhere = order(relays).filter { $0 !== relay }.compactMap { $0.agreements[id]?.ports }.first
        agreement.prefers = elsewhere ?? memory.usual(id)
        if agreement.ports == nil, agreement.prefers == nil, others.contains(where: \.isAboutToGetPorts) {
            relay.waiting.insert(id)
            return
        }
        relay.agreements[id] = agreement
        handle(.sessionReady, id, relay)
    }

    /// Where a mapping that any port will do for has two numbers, the odd one is given back for the usual one. That
    /// ends what visitors have open there, so it waits for a moment when there are none.
    func lookForOneNumber() {
        let places = order(relays).filter { relay in
            relay.isEstablished && !relay.isLeaving && publishedRelays.contains(relay.endpoint.description)
        }
        guard places.count > 1 else { return }
        let now = loop.clock()
        for wish in book.all {
            guard case .any = wish.ports else { continue }
            let standing = places.compactMap { relay -> OneNumber.Place? in
                guard let key = relay.terms?.key, let agreement = relay.agreements[wish.id],
                    let ports = agreement.ports,
                    agreement.stage == .active
                else { return nil }
                return OneNumber.Place(
                    relay: key, ports: ports, isVerified: agreement.verifiedPorts == [ports], range: relay.terms?.ports,
                    denied: agreement.denied)
            }
            guard Set(standing.map(\.ports)).count > 1 else { continue }
            whetherVisited(wish.id) { [weak self] isVisited in
                guard let self, !isVisited else { return }
                let given = memory.given(wish.id)
                guard let (key, ports) = oneNumber.exchange(of: wish.id, standing, given: given, at: now),
                    let relay = places.first(where: { $0.terms?.key == key })
                else { return }
                exchange(wish.id, for: ports, at: relay)
            }
        }
    }

    /// Its ports refuse first, so that nobody is accepted and then reset.
    private func exchange(_ id: MappingID, for ports: PortRange, at relay: UsedRelay) {
        let former = relay.agreements[id]?.ports
        let session = relay.terms?.session
        log.about(relay.endpoint).info(
            "relay \(relay.endpoint) is asked for port \(ports) instead of "
                + "\(former?.description ?? "?"), as it is elsewhere"
        )
        relay.send(.report(id, state: .targetDown, isLeaving: true))
        loop.schedule(after: Self.farewell) { [weak self, weak relay] in
            guard let self, let relay, relay.terms?.session == session, !relay.isLeaving,
                relay.agreements[id]?.ports == former
            else { return }
            handle(.exchange(ports), id, relay)
        }
    }

    private func whetherVisited(_ id: MappingID, _ answer: @escaping (Bool) -> Void) {
        let bound = LoopBound(answer, on: loop)
        report { exposed, _ in bound.value(exposed.contains { $0.wish.id == id && $0.traffic.open > 0 }) }
    }

    /// Another relay has answered about a mapping, or is gone.
    private func beginWaiting(for id: MappingID) {
        for relay in relays where relay.waiting.contains(id) && relay.isEstablished {
            begin(id, at: relay)
        }
    }

    func handle(_ event: PeerPortAgreement.Event, _ id: MappingID, _ relay: UsedRelay) {
        // In its place: the states of a thousand ports are not copied for each check of one.
        guard let actions = relay.agreements[id]?.handle(event, at: loop.clock()) else { return }
        for action in actions { carryOut(agreementAction: action, id, relay) }
        if !actions.isEmpty { beginWaiting(for: id) }
        tellReach(of: id, at: relay)
        if case .activated = event { tellPlaces(of: id) }
    }

    /// Where visitors come in, for a target that is told so: an address of each relay, even where visitors are told
    /// its name.
    func tellPlaces(of id: MappingID) {
        guard let wish = book[id], wish.proxyProtocol != .off else { return }
        var places: [NodeKey: SocketAddress] = [:]
        for relay in relays {
            guard let key = relay.key, let agreement = relay.agreements[id], let first = agreement.ports?.first else {
                continue
            }
            let told = agreement.host.flatMap { SocketAddress(numeric: $0, port: first) }
            places[key] = told ?? relay.remoteAddress.map { SocketAddress(host: $0.host, port: first) }
        }
        book.set(places, of: id)
    }

    /// Says so once, until there is another reason.
    func tellRefusal(of id: MappingID, _ reason: RefusalReason, _ detail: String, _ relay: UsedRelay) {
        guard let wish = book[id], relay.toldRefusals.updateValue(detail, forKey: id) != detail else { return }
        let next = book.onTrial.contains(id) ? "" : "; it is asked again by and by"
        log.about(relay.endpoint).warning(
            "relay \(relay.endpoint) refuses \(Self.text(wish.target)): \(reason.advised(detail))\(next)")
    }

    func carryOut(agreementAction action: PeerPortAgreement.Action, _ id: MappingID, _ relay: UsedRelay) {
        switch action {
        // Its ports are to refuse, whatever becomes of them meanwhile.
        case .send(.report) where relay.isLeaving: break
        case .send(let message): relay.send(message)
        case .bindOwnPort(let port): handle(bindOwnPort(port, relay) ? .ownPortBound : .ownPortTaken, id, relay)
        case .freeOwnPort:
            freeOwnPort(of: relay)
        case .check(let host, let port, let offset, let delay):
            let session = relay.terms?.session
            loop.schedule(after: delay) { [weak self, weak relay] in
                guard let self, let relay, relay.terms?.session == session else { return }
                checks.check(PortCheck(mapping: id, host: host, port: port, offset: offset), at: relay)
            }
        case .remember(let ports):
            let agreed = AgreedPorts(mapping: id, relay: relay.endpoint.description, ports: ports)
            memory.remember(agreed)
            guard !book.isTemporary(id) else { return }
            parts.writer.write("an agreed port", { table throws(StorageError) in try table.save(agreed) })
        case .countersign(let draft): countersign(draft, relay)
        case .object(let objection):
            log.about(relay.endpoint).warning("relay \(relay.endpoint): no receipt for mapping \(id): \(objection)")
        case .changed:
            selector.outcomesChanged()
            host?.changed()
        }
    }

    /// Has this node's server listen on the number that the relay opens, so that it is one and the same everywhere.
    func bindOwnPort(_ port: UInt16, _ relay: UsedRelay) -> Bool {
        if relay.ownPort != port { freeOwnPort(of: relay) }
        // On the relay's own machine the number is taken by the relay itself, and leads here already.
        if relay.connection.isLocal { return true }
        if !parts.server.listens(on: port) {
            do throws(SystemError) {
                try parts.server.listen(try Listener.hold(port: port, on: setup.bindHost, .betweenNodes))
            } catch {
                return false
            }
        }
        relay.ownPort = port
        return true
    }

    /// Lets go of the number that was bound for a relay, unless another relay gave out the same.
    func freeOwnPort(of relay: UsedRelay) {
        guard let port = relay.ownPort else { return }
        relay.ownPort = nil
        guard port != setup.serverPort, !relays.contains(where: { $0.ownPort == port }) else { return }
        parts.server.stopListening(on: port)
    }
}
