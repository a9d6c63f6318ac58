internal import Logging
internal import PeerMesh
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// What is agreed at each relay, and the checks of it from outside.
extension PeerService {
    /// A check that another relay was asked for.
    struct ThirdCheck {
        let mapping: MappingID
        let nonce: [UInt8]
        let relay: Relay
        let verifier: Relay
        let timer: LoopTimer
    }

    func addAgreement(_ wish: MappingWish, at relay: Relay) {
        let earlier = remembered.first { $0.mapping == wish.id && $0.relay == relay.endpoint.description }
        relay.agreements[wish.id] = PeerPortAgreement(
            wish: wish, targetText: Self.text(wish.target), remembered: earlier?.ports)
        if routes[wish.id]?.isTargetDown == true { handle(.targetSilent, wish.id, relay) }
        if relay.link.state == .established { begin(wish.id, at: relay) }
    }

    /// Asks for a mapping's ports. Where any will do and another relay is about to give some, once that has: the same
    /// number is wished for here.
    func begin(_ id: MappingID, at relay: Relay) {
        guard var agreement = relay.agreements[id] else { return }
        relay.waiting.remove(id)
        let others = relays.filter { $0 !== relay }.compactMap { $0.agreements[id] }
        agreement.prefers = order(relays).filter { $0 !== relay }.compactMap { $0.agreements[id]?.ports }.first
        if agreement.ports == nil, agreement.prefers == nil, others.contains(where: \.isAboutToGetPorts) {
            relay.waiting.insert(id)
            return
        }
        relay.agreements[id] = agreement
        handle(.sessionReady, id, relay)
    }

    /// Another relay has answered about a mapping, or is gone.
    private func beginWaiting(for id: MappingID) {
        for relay in relays where relay.waiting.contains(id) && relay.link.state == .established {
            begin(id, at: relay)
        }
    }

    func handle(_ event: PeerPortAgreement.Event, _ id: MappingID, _ relay: Relay) {
        guard var agreement = relay.agreements[id] else { return }
        let actions = agreement.handle(event, at: EventLoop.clock())
        relay.agreements[id] = agreement
        for action in actions { perform(action, id, relay) }
        if !actions.isEmpty { beginWaiting(for: id) }
        tellReach(of: id, at: relay)
    }

    /// Says so once, until there is another reason.
    func tellRefusal(of id: MappingID, _ detail: String, _ relay: Relay) {
        guard let wish = wishes[id], relay.toldRefusals.updateValue(detail, forKey: id) != detail else { return }
        log.warning("relay \(relay.endpoint) refuses \(Self.text(wish.target)): \(detail); asking again every 10 s")
    }

    func perform(_ action: PeerPortAgreement.Action, _ id: MappingID, _ relay: Relay) {
        switch action {
        case .send(let message): send(message, to: relay)
        case .bindOwnPort(let port): handle(bindOwnPort(port, relay) ? .ownPortBound : .ownPortTaken, id, relay)
        case .freeOwnPort:
            freeOwnPort(of: relay)
        case .check(let host, let ports, let delay):
            loop.schedule(after: delay) { [weak self, weak relay] in
                guard let self, let relay else { return }
                check(id, host, ports, relay)
            }
        case .remember(let ports):
            let agreed = AgreedPorts(mapping: id, relay: relay.endpoint.description, ports: ports)
            remembered.removeAll { $0.mapping == id && $0.relay == agreed.relay }
            remembered.append(agreed)
            guard !temporary.contains(id) else { return }
            writer.write("an agreed port", { table throws(StorageError) in try table.save(agreed) })
        case .countersign(let draft): countersign(draft, relay)
        case .object(let objection):
            log.warning("relay \(relay.endpoint): no receipt for mapping \(id): \(objection)")
        case .changed: onChange?()
        }
    }

    /// Has this node's server listen on the number that the relay opens, so that it is one and the same everywhere.
    func bindOwnPort(_ port: UInt16, _ relay: Relay) -> Bool {
        if relay.ownPort != port { freeOwnPort(of: relay) }
        // On the relay's own machine the number is taken by the relay itself, and leads here already.
        if relay.isLocal { return true }
        if !server.listens(on: port) {
            do throws(SystemError) {
                try server.listen(try Listener.hold(port: port, on: bindHost, .betweenNodes))
            } catch {
                return false
            }
        }
        relay.ownPort = port
        return true
    }

    /// Lets go of the number that was bound for a relay, unless another relay gave out the same.
    func freeOwnPort(of relay: Relay) {
        guard let port = relay.ownPort else { return }
        relay.ownPort = nil
        guard port != serverPort, !relays.contains(where: { $0.ownPort == port }) else { return }
        server.stopListening(on: port)
    }

    func check(_ id: MappingID, _ host: String, _ ports: PortRange, _ relay: Relay) {
        guard relay.agreements[id] != nil, relay.link.state == .established else { return }
        let nonce = SystemRandomNumberGenerator.bytes(ReachabilityCheck.nonceByteCount)
        routes[id]?.pendingChecks.insert(nonce)
        publishRoute(id)
        let session = relay.terms?.session
        _ = ReachabilityProbe(
            on: loop, resolver, endpoint: Endpoint(host: host, port: ports.first), nonce: nonce, mapping: id,
            key: identity.key
        ) { [weak self, weak relay] outcome in
            guard let self, let relay else { return }
            routes[id]?.pendingChecks.remove(nonce)
            publishRoute(id)
            guard relay.terms?.session == session else { return }
            switch outcome {
            case .passed where ports.count > 1:
                // The next number of a range, until each was seen to work.
                if let rest = PortRange(first: ports.first + 1, last: ports.last) { check(id, host, rest, relay) }
            case .passed:
                handle(.checkPassed(by: "this node"), id, relay)
                askThirdNode(id, host, ports.first, at: relay)
            case .failed(let reason): handle(.checkFailed(reason: reason), id, relay)
            }
        }
    }

    /// Has another relay look from where it is. What it says is shown beside this node's own check; it cannot undo it.
    func askThirdNode(_ id: MappingID, _ host: String, _ port: UInt16, at relay: Relay) {
        guard let third = relays.first(where: { $0 !== relay && $0.link.state == .established && $0.key != relay.key })
        else { return }
        nextCheck &+= 1
        let nonce = SystemRandomNumberGenerator.bytes(ReachabilityCheck.nonceByteCount)
        let number = nextCheck
        let timer = loop.schedule(after: ReachabilityProbe.limit * 2) { [weak self] in
            self?.thirdNodeAnswered(number, passed: false)
        }
        thirdChecks[number] = ThirdCheck(mapping: id, nonce: nonce, relay: relay, verifier: third, timer: timer)
        routes[id]?.pendingChecks.insert(nonce)
        publishRoute(id)
        send(
            .checkWanted(Message.CheckRequest(number: number, mapping: id, host: host, port: port, nonce: nonce)),
            to: third)
    }

    /// A relay that joined just now can look at what the others opened while there was nobody to ask.
    func checkWhatIsOpen() {
        for relay in relays {
            for (id, agreement) in relay.agreements where agreement.verifiedBy.count == 1 {
                guard let host = agreement.host, let ports = agreement.ports else { continue }
                askThirdNode(id, host, ports.first, at: relay)
            }
        }
    }

    func thirdNodeAnswered(_ number: UInt32, passed: Bool) {
        guard let check = thirdChecks.removeValue(forKey: number) else { return }
        check.timer.cancel()
        routes[check.mapping]?.pendingChecks.remove(check.nonce)
        publishRoute(check.mapping)
        if passed {
            handle(.checkPassed(by: check.verifier.name ?? check.verifier.endpoint.host), check.mapping, check.relay)
        }
    }
}
