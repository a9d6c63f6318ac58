internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// The peer whose ports are checked.
protocol ReachabilityChecksHost: AnyObject {
    /// Relays that this node uses.
    var relays: [UsedRelay] { get }
    /// Whether a relay whose session stands says nothing now.
    func isSilent(_ key: NodeKey) -> Bool
    /// What came of a check.
    func handle(_ event: PeerPortAgreement.Event, _ id: MappingID, _ relay: UsedRelay)
}

/// A port that a relay says is open.
struct PortCheck: Sendable {
    let mapping: MappingID
    /// What the relay tells visitors.
    let host: String
    let port: UInt16
    /// By how many it is after the first one.
    let offset: UInt16
}

/// Where the checks of one relay's ports are: `ReachabilityChecks` alone changes it.
struct RelayChecks {
    fileprivate var queue = CheckQueue<PortCheck>()
    /// The name that it tells visitors, where that is not the one by which this node knows it.
    fileprivate var toldName = ToldName()
    fileprivate var awaitingName: [PortCheck] = []
    /// What did not come through when a port of a mapping was checked last without success.
    fileprivate(set) var closed: [MappingID: TransportProtocols] = [:]
    /// Mappings of this session that another relay was asked to look at.
    fileprivate var askedAbout: Set<MappingID> = []

    /// They were of that session.
    mutating func sessionLost() {
        queue.sessionLost()
        awaitingName = []
        closed = [:]
        askedAbout = []
    }
}

/// Checks of what relays opened, from where this node is and from where other relays are. Belongs to the control loop.
///
/// A relay's `active` names a host for visitors, and that is its word: this node dials the relay itself, at the address
/// that the session stands on, and nobody else. So no relay has a peer dial anything but that relay. Where that is not
/// the host that visitors are told, the port works and is not verified, until another relay has seen it there.
final class ReachabilityChecks {
    private typealias Round = VerifierRound<ObjectIdentifier>

    /// Other relays are asked about a port.
    private struct Asking {
        let mapping: MappingID
        let relay: UsedRelay
        let session: SessionID?
        var round: Round

        init(mapping: MappingID, relay: UsedRelay, _ round: Round) {
            self.mapping = mapping
            self.relay = relay
            self.round = round
            session = relay.terms?.session
        }
    }

    /// One relay was asked.
    private struct Question {
        let asking: Asking
        let nonce: [UInt8]
        let verifier: UsedRelay
        let offset: UInt16
        let sent: Instant
        let timer: LoopTimer
    }

    private static let ownName = "this node"
    private static let lookUpLimit = Instant.Span.seconds(3)

    private let loop: EventLoop
    private let keys: KeyRing
    private let resolver: Resolver
    /// Says which addresses may be dialled on others' word.
    private let judge: DialGuard
    private let book: MappingBook
    /// Set as long as the peer runs.
    weak var host: (any ReachabilityChecksHost)?
    private var questions: [UInt32: Question] = [:]
    private var lastQuestion: UInt32 = 0

    init(on loop: EventLoop, _ resolver: Resolver, keys: KeyRing, judge: DialGuard, _ book: MappingBook) {
        self.loop = loop
        self.resolver = resolver
        self.keys = keys
        self.judge = judge
        self.book = book
    }

    // MARK: This node's own

    /// Makes a check of a port at a relay, now or when its turn comes.
    func check(_ check: PortCheck, at relay: UsedRelay) {
        guard relay.agreements[check.mapping] != nil, relay.isEstablished, relay.checks.queue.admits(check),
            let (address, isTold) = place(of: check, at: relay)
        else { return }
        relay.checks.queue.began()
        let id = check.mapping
        let nonce = SystemRandomNumberGenerator.bytes(ReachabilityCheck.nonceByteCount)
        book.expect(nonce, at: check.offset, of: id)
        let session = relay.terms?.session
        PortProbe.begin(
            book[id]?.protocols ?? .tcp, on: loop, at: address, nonce: nonce, mapping: id, key: keys.key
        ) { [weak self, weak relay] outcome in
            guard let self, let relay else { return }
            relay.checks.queue.ended()
            defer { checkNext(at: relay) }
            book.expectNoMore(nonce, of: id)
            guard relay.terms?.session == session else { return }
            switch outcome {
            case .passed: passed(check, at: relay, elsewhere: isTold ? nil : address.hostText)
            case .failed(let reason, let protocols):
                relay.checks.queue.failed()
                relay.checks.closed[id] = protocols
                host?.handle(.checkFailed(check.offset, reason: reason), id, relay)
            }
        }
    }

    private func passed(_ check: PortCheck, at relay: UsedRelay, elsewhere: String?) {
        let id = check.mapping
        relay.checks.queue.passed()
        let asksOthers = elsewhere == nil && !others(than: relay, for: id).isEmpty
        host?.handle(
            .checkPassed(check.offset, by: Self.ownName, elsewhere: elsewhere, asksOthers: asksOthers), id, relay)
        // Of many ports others look at one.
        guard relay.agreements[id]?.firstWorking?.offset == check.offset else { return }
        let isFirst = relay.checks.askedAbout.insert(id).inserted
        askOthers(id, at: relay, Round(repetitions: isFirst ? 0 : Round.maximumRepetitions))
    }

    private func checkNext(at relay: UsedRelay) {
        while let next = relay.checks.queue.next() { check(next, at: relay) }
    }

    /// Where that is dialled, and whether it is the host that visitors are told; `nil` where it is not made now. What
    /// the user's configuration names (`[mesh] dial`) is dialled as it was told.
    private func place(of check: PortCheck, at relay: UsedRelay) -> (SocketAddress, isTold: Bool)? {
        guard let remote = relay.remoteAddress, let own = HostAddress(bytes: remote.hostBytes) else { return nil }
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

    // MARK: Names that relays tell

    /// Whether that name leads to where this node reaches the relay; `nil`: the check is made as soon as that is known.
    /// It is looked up when `ToldName` says so; nothing is dialled for that.
    private func isTold(_ check: PortCheck, by relay: UsedRelay, at address: HostAddress) -> Bool? {
        switch relay.checks.toldName.ask(check.host, leadsTo: address, at: loop.clock()) {
        case .known(let leadsThere): return leadsThere
        case .lookUp: lookUp(check.host, toldBy: relay)
        case .wait: break
        }
        relay.checks.awaitingName.append(check)
        return nil
    }

    private func lookUp(_ name: String, toldBy relay: UsedRelay) {
        var isOver = false
        let learnt: ([SocketAddress]) -> Void = { [weak self, weak relay] addresses in
            guard let self, let relay else { return }
            relay.checks.toldName.learnt(name, addresses.compactMap { HostAddress(bytes: $0.hostBytes) })
            guard !isOver else { return }
            isOver = true
            let waiting = relay.checks.awaitingName
            relay.checks.awaitingName = []
            for waiting in waiting { check(waiting, at: relay) }
        }
        let bound = LoopBound(learnt, on: loop)
        resolver.resolve(Endpoint(host: name, port: relay.endpoint.port), on: loop) { result in
            bound.value((try? result.get()) ?? [])
        }
        loop.schedule(after: Self.lookUpLimit) { if !isOver { learnt([]) } }
    }

    // MARK: Other relays

    /// Relays that can look at a port of another one: those that the mapping is for.
    private func others(than relay: UsedRelay, for id: MappingID) -> [UsedRelay] {
        guard let host, let protocols = book[id]?.protocols else { return [] }
        let filter = book.visitors(of: id)
        return host.relays.filter {
            !Self.protocols(protocols, lookedAtBy: $0).isEmpty && $0 !== relay && $0.isEstablished && !$0.isLeaving
                && $0.key != relay.key
                && $0.key.map(host.isSilent) == false && admits($0, filter)
        }
    }

    /// Of those of a mapping, the ones that a relay can look at: one without datagrams, such as an older one, knows TCP
    /// alone.
    private static func protocols(
        _ protocols: TransportProtocols, lookedAtBy relay: UsedRelay
    ) -> TransportProtocols { relay.terms?.datagrams == nil ? protocols.intersection(.tcp) : protocols }

    private func admits(_ relay: UsedRelay, _ filter: NetworkFilter) -> Bool {
        guard !filter.isForEverybody else { return true }
        return relay.remoteAddress.flatMap { HostAddress(bytes: $0.hostBytes) }.map(filter.admits) ?? false
    }

    /// Has other relays look from where they are: their word decides whether the port is verified (`OthersWord`).
    private func askOthers(_ id: MappingID, at relay: UsedRelay, _ round: Round = Round()) {
        if !ask(Asking(mapping: id, relay: relay, round)) { host?.handle(.notAsked, id, relay) }
    }

    /// `false` where there is nobody left.
    private func ask(_ asking: Asking) -> Bool {
        let (id, relay) = (asking.mapping, asking.relay)
        let others = others(than: relay, for: id)
        var asking = asking
        guard let agreement = relay.agreements[id], let offset = agreement.firstWorking?.offset,
            let ports = agreement.ports, let numeric = numericHost(of: agreement, at: relay),
            let chosen = asking.round.next(among: others.map { ObjectIdentifier($0) }),
            let verifier = others.first(where: { ObjectIdentifier($0) == chosen })
        else { return false }
        lastQuestion &+= 1
        let nonce = SystemRandomNumberGenerator.bytes(ReachabilityCheck.nonceByteCount)
        let number = lastQuestion
        let timer = loop.schedule(after: ReachabilityProbe.limit * 2) { [weak self] in
            self?.answered(number, .silence)
        }
        questions[number] = Question(
            asking: asking, nonce: nonce, verifier: verifier, offset: offset, sent: loop.clock(), timer: timer)
        book.expect(nonce, at: offset, of: id)
        var request = PeerMessage.CheckRequest(
            number: number, mapping: id, host: numeric, port: ports.first + offset, nonce: nonce)
        request.protocols = Self.protocols(book[id]?.protocols ?? .tcp, lookedAtBy: verifier)
        verifier.send(.checkWanted(request))
        return true
    }

    /// What another relay can dial: where this node's check came through, unless visitors are told another address.
    private func numericHost(of agreement: PeerPortAgreement, at relay: UsedRelay) -> String? {
        guard let host = agreement.host, let remote = relay.remoteAddress else { return nil }
        if let numeric = HostAddress(host) { return numeric.description }
        return agreement.firstWorking?.by.isEmpty == false ? remote.hostText : nil
    }

    /// A relay that joined just now can look at what the others opened while there was nobody to ask.
    func relayJoined() {
        for relay in host?.relays ?? [] {
            for (id, agreement) in relay.agreements where (agreement.firstWorking?.by.count ?? 2) < 2 {
                askOthers(id, at: relay)
            }
        }
    }

    /// A relay says what came of the check that it was asked for. Only the one that was asked is heard.
    func verifierAnswered(_ number: UInt32, passed: Bool, _ verifier: UsedRelay) {
        guard let question = questions[number], question.verifier === verifier else { return }
        answered(number, passed ? .passed : .failed(after: loop.clock() - question.sent))
    }

    private func answered(_ number: UInt32, _ answer: Round.Answer) {
        guard let question = questions.removeValue(forKey: number) else { return }
        question.timer.cancel()
        var asking = question.asking
        let (id, relay, offset) = (asking.mapping, asking.relay, question.offset)
        book.expectNoMore(question.nonce, of: id)
        guard relay.terms?.session == asking.session else { return }
        let verifier = Round.Denier(
            name: question.verifier.name ?? question.verifier.endpoint.host,
            place: question.verifier.endpoint.description)
        if answer == .passed {
            host?.handle(.seen(offset, by: verifier.name, relay: verifier.place), id, relay)
            return
        }
        asking.round.heard(answer, from: verifier, isForEverybody: book.visitors(of: id).isForEverybody)
        let isLast = !ask(asking)
        if let denier = asking.round.denier {
            host?.handle(.notSeen(offset, by: denier.name, relay: denier.place, isLast: isLast), id, relay)
        } else if isLast {
            host?.handle(.notAsked, id, relay)
        }
        guard isLast, let (pause, round) = asking.round.nextRound else { return }
        loop.schedule(after: pause) { [weak self, weak relay] in
            guard let self, let relay, relay.terms?.session == asking.session,
                let by = relay.agreements[id]?.firstWorking?.by, by.count < 2
            else { return }
            askOthers(id, at: relay, round)
        }
    }
}
