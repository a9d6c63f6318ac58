internal import PeerMesh
internal import PeerReactor
internal import PeerWire

/// Checks of what relays opened, from where this node is and from where other relays are.
///
/// A relay's `active` names a host for visitors, and that is its word: this node dials the relay itself, at the address
/// that the session stands on, and nobody else. So no relay has a peer dial anything but that relay. Where that is not
/// the host that visitors are told, the port works and is not verified, until another relay has seen it there.
extension PeerService {
    /// A check that another relay was asked for.
    struct ThirdCheck {
        let mapping: MappingID
        let nonce: [UInt8]
        let relay: Relay
        let verifier: Relay
        /// By how many the port is after the first one.
        let offset: UInt16
        /// How often it was asked before.
        let repetitions: Int
        let timer: LoopTimer
    }

    struct Check {
        let mapping: MappingID
        let host: String
        let port: UInt16
        /// By how many it is after the first one.
        let offset: UInt16
    }

    private static let ownName = "this node"
    /// A relay that does not know the other one yet hears of it through the mesh, which takes some seconds. Later on it
    /// is asked with each check of this node's own, once.
    private static let thirdPause = Instant.Span.seconds(5)
    private static let maximumRepetitions = 4

    func check(_ check: Check, at relay: Relay) {
        guard relay.agreements[check.mapping] != nil, relay.link.state == .established else { return }
        guard relay.checksUnderWay < relay.checkPace.limit else { return relay.waitingChecks.append(check) }
        guard let (address, isTold) = place(of: check, at: relay) else { return }
        relay.checksUnderWay += 1
        let id = check.mapping
        let nonce = SystemRandomNumberGenerator.bytes(ReachabilityCheck.nonceByteCount)
        routes[id]?.pendingChecks[nonce] = check.offset
        publishRoute(id)
        let session = relay.terms?.session
        _ = ReachabilityProbe(on: loop, at: address, nonce: nonce, mapping: id, key: identity.key) {
            [weak self, weak relay] outcome in
            guard let self, let relay else { return }
            relay.checksUnderWay -= 1
            defer { checkNext(at: relay) }
            routes[id]?.pendingChecks[nonce] = nil
            publishRoute(id)
            guard relay.terms?.session == session else { return }
            switch outcome {
            case .passed:
                relay.checkPace.answered()
                let elsewhere = isTold ? nil : address.hostText
                handle(.checkPassed(check.offset, by: Self.ownName, elsewhere: elsewhere), id, relay)
                // Of many ports others look at one.
                guard relay.agreements[id]?.firstWorking?.offset == check.offset else { return }
                let isFirst = relay.askedAbout.insert(id).inserted
                askThirdNode(id, at: relay, repetitions: isFirst ? 0 : Self.maximumRepetitions)
            case .failed(let reason):
                relay.checkPace.failed()
                handle(.checkFailed(check.offset, reason: reason), id, relay)
            }
        }
    }

    private func checkNext(at relay: Relay) {
        while !relay.waitingChecks.isEmpty, relay.checksUnderWay < relay.checkPace.limit {
            check(relay.waitingChecks.removeFirst(), at: relay)
        }
    }

    /// Where that is dialled, and whether it is the host that visitors are told; `nil` where it is not made now. What the
    /// user's configuration names (`[mesh] dial`) is dialled as it was told.
    private func place(of check: Check, at relay: Relay) -> (SocketAddress, isTold: Bool)? {
        guard let remote = relay.channel?.remoteAddress, let own = HostAddress(bytes: remote.hostBytes) else { return nil }
        let told = HostAddress(check.host)
        var address = remote
        address.port = check.port
        if let told, judge.isNamed(told), let named = SocketAddress(numeric: told.description, port: address.port) {
            return (named, true)
        }
        if check.host == relay.endpoint.host { return (address, true) }
        if let told { return (address, told == own) }
        return isTold(check, by: relay, at: own).map { (address, $0) }
    }

    /// Whether a relay that nobody named may be dialled there.
    func mayDial(_ endpoint: Endpoint) -> Bool {
        HostAddress(endpoint.host).map { judge.allows($0, port: endpoint.port, for: .node) } ?? false
    }

    // MARK: Other relays

    /// Has another relay look from where it is. What it says is shown beside this node's own check; it cannot undo it.
    func askThirdNode(_ id: MappingID, at relay: Relay, repetitions: Int = 0) {
        guard let agreement = relay.agreements[id], let offset = agreement.firstWorking?.offset,
            let ports = agreement.ports, let numeric = numericHost(of: agreement, at: relay),
            let third = relays.first(where: { $0 !== relay && $0.link.state == .established && $0.key != relay.key })
        else { return }
        nextCheck &+= 1
        let nonce = SystemRandomNumberGenerator.bytes(ReachabilityCheck.nonceByteCount)
        let number = nextCheck
        let timer = loop.schedule(after: ReachabilityProbe.limit * 2) { [weak self] in
            self?.thirdNodeAnswered(number, passed: false)
        }
        thirdChecks[number] = ThirdCheck(
            mapping: id, nonce: nonce, relay: relay, verifier: third, offset: offset, repetitions: repetitions,
            timer: timer)
        routes[id]?.pendingChecks[nonce] = offset
        publishRoute(id)
        send(
            .checkWanted(
                Message.CheckRequest(
                    number: number, mapping: id, host: numeric, port: ports.first + offset, nonce: nonce)),
            to: third)
    }

    /// What another relay can dial: where this node's check came through, unless visitors are told another address.
    private func numericHost(of agreement: PeerPortAgreement, at relay: Relay) -> String? {
        guard let host = agreement.host, let remote = relay.channel?.remoteAddress else { return nil }
        if let numeric = HostAddress(host) { return numeric.description }
        return agreement.firstWorking?.by.isEmpty == false ? remote.hostText : nil
    }

    /// A relay that joined just now can look at what the others opened while there was nobody to ask.
    func checkWhatIsOpen() {
        for relay in relays {
            for (id, agreement) in relay.agreements where (agreement.firstWorking?.by.count ?? 2) < 2 {
                askThirdNode(id, at: relay)
            }
        }
    }

    func thirdNodeAnswered(_ number: UInt32, passed: Bool) {
        guard let check = thirdChecks.removeValue(forKey: number) else { return }
        check.timer.cancel()
        let (id, relay) = (check.mapping, check.relay)
        routes[id]?.pendingChecks[check.nonce] = nil
        publishRoute(id)
        if passed {
            handle(.seen(check.offset, by: check.verifier.name ?? check.verifier.endpoint.host), id, relay)
        } else if check.repetitions < Self.maximumRepetitions {
            let session = relay.terms?.session
            loop.schedule(after: Self.thirdPause * (1 << UInt64(check.repetitions))) { [weak self, weak relay] in
                guard let self, let relay, let session, relay.terms?.session == session,
                    let by = relay.agreements[id]?.firstWorking?.by, by.count < 2
                else { return }
                askThirdNode(id, at: relay, repetitions: check.repetitions + 1)
            }
        }
    }
}
