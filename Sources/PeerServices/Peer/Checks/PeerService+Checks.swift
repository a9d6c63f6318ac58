internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// Checks of what relays opened, from where this node is and from where other relays are.
///
/// A relay's `active` names a host for visitors, and that is its word: this node dials the relay itself, at the address
/// that the session stands on, and nobody else. So no relay has a peer dial anything but that relay. Where that is not
/// the host that visitors are told, the port works and is not verified, until another relay has seen it there.
extension PeerService {
    /// Other relays are asked about a port, one after the other, until one has come through.
    struct ThirdRound {
        let mapping: MappingID
        let relay: Relay
        let session: SessionID?
        /// How often there was such a round before.
        let repetitions: Int
        var asked: [Relay] = []
        /// Who dialled last, and did not come through.
        var denier: (name: String, place: String)?

        init(mapping: MappingID, relay: Relay, repetitions: Int) {
            self.mapping = mapping
            self.relay = relay
            self.repetitions = repetitions
            session = relay.terms?.session
        }
    }

    /// A check that another relay was asked for.
    struct ThirdCheck {
        let round: ThirdRound
        let nonce: [UInt8]
        let verifier: Relay
        /// By how many the port is after the first one.
        let offset: UInt16
        let sent: Instant
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
    /// A no after less was not dialled for.
    private static let shortestDial = Instant.Span.milliseconds(2_900)

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
        _ = ReachabilityProbe(on: loop, at: address, nonce: nonce, mapping: id, key: keys.key) {
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
                let asksOthers = elsewhere == nil && !others(than: relay, for: id).isEmpty
                handle(
                    .checkPassed(check.offset, by: Self.ownName, elsewhere: elsewhere, asksOthers: asksOthers), id,
                    relay)
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

    /// Where that is dialled, and whether it is the host that visitors are told; `nil` where it is not made now. What
    /// the user's configuration names (`[mesh] dial`) is dialled as it was told.
    private func place(of check: Check, at relay: Relay) -> (SocketAddress, isTold: Bool)? {
        guard let remote = relay.channel?.remoteAddress, let own = HostAddress(bytes: remote.hostBytes) else {
            return nil
        }
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

    /// Relays that can look at a port of another one: those that the mapping is for.
    private func others(than relay: Relay, for id: MappingID) -> [Relay] {
        let filter = visitors(of: id)
        return relays.filter {
            $0 !== relay && $0.link.state == .established && !$0.isLeaving && $0.key != relay.key
                && $0.key.map(selector.isSilent) == false && admits($0, filter)
        }
    }

    private func visitors(of id: MappingID) -> NetworkFilter {
        wishes[id].map { NetworkFilter(allow: $0.allow, deny: $0.deny) } ?? .everybody
    }

    private func admits(_ relay: Relay, _ filter: NetworkFilter) -> Bool {
        guard !filter.isForEverybody else { return true }
        return relay.channel?.remoteAddress.flatMap { HostAddress(bytes: $0.hostBytes) }.map(filter.admits) ?? false
    }

    /// Has another relay look from where it is: its word decides whether the port is verified (`OthersWord`). Where one
    /// says no it may lie, or something may have been lost: another one is asked, or the same once more.
    func askThirdNode(_ id: MappingID, at relay: Relay, repetitions: Int = 0) {
        let round = ThirdRound(mapping: id, relay: relay, repetitions: repetitions)
        if !ask(round) { handle(.notAsked, id, relay) }
    }

    /// `false` where there is nobody left.
    private func ask(_ round: ThirdRound) -> Bool {
        let (id, relay) = (round.mapping, round.relay)
        let others = others(than: relay, for: id)
        let isAgain = round.asked.count == 1 && round.denier != nil && others.count == 1
        guard let agreement = relay.agreements[id], let offset = agreement.firstWorking?.offset,
            let ports = agreement.ports, let numeric = numericHost(of: agreement, at: relay),
            let third = others.first(where: { other in isAgain || !round.asked.contains { $0 === other } })
        else { return false }
        var round = round
        round.asked.append(third)
        nextCheck &+= 1
        let nonce = SystemRandomNumberGenerator.bytes(ReachabilityCheck.nonceByteCount)
        let number = nextCheck
        let timer = loop.schedule(after: ReachabilityProbe.limit * 2) { [weak self] in
            self?.thirdNodeAnswered(number, passed: false, isSilence: true)
        }
        thirdChecks[number] = ThirdCheck(
            round: round, nonce: nonce, verifier: third, offset: offset, sent: loop.clock(), timer: timer)
        routes[id]?.pendingChecks[nonce] = offset
        publishRoute(id)
        send(
            .checkWanted(
                PeerMessage.CheckRequest(
                    number: number, mapping: id, host: numeric, port: ports.first + offset, nonce: nonce)),
            to: third)
        return true
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

    /// - Parameter isSilence: it has not answered.
    func thirdNodeAnswered(_ number: UInt32, passed: Bool, isSilence: Bool = false) {
        guard let check = thirdChecks.removeValue(forKey: number) else { return }
        check.timer.cancel()
        var round = check.round
        let (id, relay) = (round.mapping, round.relay)
        routes[id]?.pendingChecks[check.nonce] = nil
        publishRoute(id)
        guard relay.terms?.session == round.session else { return }
        let name = check.verifier.name ?? check.verifier.endpoint.host
        let place = check.verifier.endpoint.description
        if passed { return handle(.seen(check.offset, by: name, relay: place), id, relay) }
        // One that does not dial says so at once, and one that did not come through when its dial would have ended.
        // From where it dials is not known here, so where a mapping is not for everybody its no says nothing.
        let isDenied = !isSilence && loop.clock() - check.sent >= Self.shortestDial
        if isDenied, visitors(of: id).isForEverybody { round.denier = (name, place) }
        if ask(round) {
            if let denier = round.denier {
                handle(.notSeen(check.offset, by: denier.name, relay: denier.place, isLast: false), id, relay)
            }
            return
        }
        if let denier = round.denier {
            handle(.notSeen(check.offset, by: denier.name, relay: denier.place, isLast: true), id, relay)
        } else {
            handle(.notAsked, id, relay)
        }
        guard round.repetitions < Self.maximumRepetitions else { return }
        loop.schedule(after: Self.thirdPause * (1 << UInt64(round.repetitions))) { [weak self, weak relay] in
            guard let self, let relay, relay.terms?.session == round.session,
                let by = relay.agreements[id]?.firstWorking?.by, by.count < 2
            else { return }
            askThirdNode(id, at: relay, repetitions: round.repetitions + 1)
        }
    }
}
