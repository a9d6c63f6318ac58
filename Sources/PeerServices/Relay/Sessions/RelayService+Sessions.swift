internal import Logging
internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerWire

extension RelayService: SessionAcceptor, RelayLanesHost {}

/// What is read from sessions, and how they begin and end.
extension RelayService {
    /// A peer that sends too much is read again after this, and then some frames at once.
    private static let shortestWait = Instant.Span.milliseconds(20)

    func open(_ arrival: NodeServer.Arrival) {
        let session = admission.open(arrival)
        session.channel.start(onTurn: { [weak self, weak session] in
            guard let self, let session else { return }
            goOn(with: session)
        }) { [weak self, weak session] event in
            guard let self, let session else { return }
            switch event {
            case .received(let bytes): received(bytes, session)
            case .closed: closed(session)
            }
        }
        received(arrival.rest, session)
    }

    private func received(_ bytes: [UInt8], _ session: RelaySession) {
        guard session.phase != .over else { return }
        session.decoder.append(bytes)
        goOn(with: session)
    }

    /// Handles the frames that have come; those that are too many for now in later turns.
    private func goOn(with session: RelaySession) {
        var turn = FrameTurn()
        do throws(WireError) {
            while session.phase != .over {
                guard turn.hasRoom() else { return session.channel.hold() }
                let now = loop.clock()
                if session.phase == .admitted, let span = wait(for: session.id, now) {
                    return session.channel.hold(for: max(span, Self.shortestWait))
                }
                guard let frame = try session.decoder.next() else { return }
                core.countFrame(of: session.id, at: now)
                guard session.phase == .admitted else {
                    admission.received(frame, session)
                    continue
                }
                guard let message = try PeerMessage(frame) else { continue }
                if case .tokenRenewed(let token) = message { admission.renew(token, session) }
                handle(.received(session.id, message))
            }
        } catch {
            drop(session, .protocolBreach, error.detail)
        }
    }

    /// `nil`: its next frame may be handled.
    private func wait(for id: SessionID, _ now: Instant) -> Instant.Span? {
        if let span = core.wait(for: id, at: now) { return span }
        guard let account = core.session(id)?.grant.membership, !leaseWriter.hasRoom(for: account) else { return nil }
        return Self.shortestWait
    }

    // MARK: Beginnings

    func welcome(_ id: SessionID) {
        guard let session = sessions[id], let known = core.session(id) else { return }
        let key = known.key
        session.lanes = lanes.indexes(of: key)
        let groups = session.lanes.count
        session.numbers = Array(repeating: UsedNumbers(), count: groups)
        let (source, quota, membership) = (session.source, quota(of: id), known.grant.membership)
        lanes.on(session.lanes) {
            $0.channels.begin(id, key: key, from: source, of: membership, quota, groups: groups)
        }
        if let source {
            session.isVouchedFor = true
            server?.vouch(for: source)
        }
        if !session.isPlain { keys.channelKeys.add(session.secrets.channelKey, for: id) }
        let observed = session.channel.remoteAddress?.description
        log(about: session).info("session of \(known.name) (\(known.key.short)) from \(observed ?? "?")")
        var welcome = RelayMessage.Welcome(
            session: id, name: setup.name, observed: observed ?? "", software: setup.software,
            channels: UInt16(ChannelDemand.minimum(inEachOf: groups)), groups: UInt8(groups), isPlain: session.isPlain)
        welcome.ports = core.policy.ports.usual
        welcome.datagrams = beginDatagrams(session)
        session.send(.welcome(welcome))
    }

    /// - Returns: what the session's datagrams have in front; `nil`: this relay takes none.
    private func beginDatagrams(_ session: RelaySession) -> UInt32? {
        guard lanes.takesDatagrams, let lane = session.lanes.first else { return nil }
        let number = UInt32.random(in: 0 ... .max) & ~UInt32(ChannelGroup.maximum - 1) | UInt32(lane)
        session.datagrams = RelaySession.Datagrams(number: number)
        let (id, key, secret) = (session.id, session.key, session.secrets.datagramSecret)
        let protection: DatagramSecret.Protection = session.isPlain ? .plain : .encrypted
        lanes.on([lane]) { $0.beginDatagrams(number, of: id, key: key, secret, protection) }
        return number
    }

    func datagramsMissed(_ id: SessionID) { sessions[id]?.send(.datagramsMissed) }

    func wantChannels(_ id: SessionID, _ count: Int, lane: Int) {
        guard let session = sessions[id], let group = session.lanes.firstIndex(of: lane) else { return }
        session.send(.channelsWanted(UInt16(clamping: count), group: UInt8(group)))
    }

    // MARK: Data channels

    /// A plain data channel.
    func join(_ channel: ByteChannel, _ hello: DataChannelHello) -> Bool {
        if hello.group.number == ChannelGroup.datagrams { return joinForDatagrams(channel, hello) }
        let number = Int(hello.group.number)
        guard let session = sessions[hello.group.session], session.isPlain, session.lanes.indices.contains(number),
            hello.isProven(by: session.secrets.plainSecret), session.numbers[number].use(hello.number)
        else { return false }
        let lane = session.lanes[number]
        if let stream = channel.takeStream(for: lanes.loops[lane]) { lanes.add(stream, to: session.id, at: lane) }
        return true
    }

    /// One for frames of datagrams.
    private func joinForDatagrams(_ channel: ByteChannel, _ hello: DataChannelHello) -> Bool {
        guard let session = sessions[hello.group.session], session.isPlain, let number = session.datagrams?.number,
            let lane = session.lanes.first, hello.isProven(by: session.secrets.plainSecret),
            session.datagrams?.plainNumbers.use(hello.number) == true
        else { return false }
        if let stream = channel.takeStream(for: lanes.loops[lane]) { lanes.addDatagrams(stream, number, at: lane) }
        return true
    }

    /// An encrypted one; TLS has proven that it belongs to this session.
    func join(_ stream: consuming Stream, _ group: ChannelGroup) -> Bool {
        if group.number == ChannelGroup.datagrams {
            guard let session = sessions[group.session], let number = session.datagrams?.number,
                let lane = session.lanes.first
            else { return false }
            if lanes.loops[lane] !== loop { loop.unregister(stream) }
            lanes.addDatagrams(stream, number, at: lane)
            return true
        }
        guard let session = sessions[group.session], session.lanes.indices.contains(Int(group.number)) else {
            return false
        }
        let lane = session.lanes[Int(group.number)]
        if lanes.loops[lane] !== loop { loop.unregister(stream) }
        lanes.add(stream, to: session.id, at: lane)
        return true
    }

    // MARK: Endings

    /// - Parameter reason: why this end closed it; `nil`: the connection ended.
    private func closed(_ session: RelaySession, because reason: String? = nil) {
        guard session.phase != .over else { return }
        let wasAdmitted = session.phase == .admitted
        letGo(session)
        guard wasAdmitted else {
            server?.countBrokenHandshake()
            return
        }
        let why = reason.map { ": \($0)" } ?? ""
        log(about: session).info("session of \(session.name) (\(session.key.short)) ended\(why)")
        closeLanes(session)
        handle(.sessionEnded(session.id))
    }

    /// The core ended it, and knows.
    func end(_ id: SessionID, _ reason: CloseReason, _ detail: String) {
        guard let session = sessions[id] else { return }
        if reason != .leaving { tellEnd(of: session, detail.isEmpty ? reason.text : "\(reason.text), \(detail)") }
        letGo(session)
        session.close(reason, detail)
        closeLanes(session)
    }

    private func letGo(_ session: RelaySession) {
        session.phase = .over
        sessions[session.id] = nil
        admission.forget(session)
        session.timer?.cancel()
        session.slot.settle()
        keys.channelKeys.remove(session.id)
        if session.isVouchedFor, let source = session.source { server?.unvouch(for: source) }
        session.isVouchedFor = false
    }

    private func closeLanes(_ session: RelaySession) {
        let id = session.id
        ports.sessionEnded(of: session.key)
        lanes.on(session.lanes) { $0.channels.end(id) }
        if let number = session.datagrams?.number, let lane = session.lanes.first {
            lanes.on([lane]) { $0.endDatagrams(number, of: id) }
        }
    }

    private func tellEnd(of session: RelaySession, _ why: String) {
        let who = "\(session.name) (\(session.key.short))"
        guard session.lanes.isEmpty else { return log(about: session).info("session of \(who) ended: \(why)") }
        guard let untold = admission.noteRefusal(of: session, why) else { return }
        log(about: session).info(
            "\(who) is not let in: \(why)\(untold > 0 ? " (and \(untold) times before that)" : "")")
    }

    private func log(about session: RelaySession) -> Logger { session.membership.map { log.about($0) } ?? log }
}

extension RelayService: AdmissionHost {
    func judge(_ token: String, of session: RelaySession, _ answer: @escaping (Grant?, String) -> Void) {
        guard let host else { return answer(nil, "this relay issues no tokens") }
        host.judge(token: token, of: session.key, formerly: formerKeys(of: session), answer)
    }

    func admitted(
        _ session: RelaySession, _ introduction: PeerMessage.Introduction, _ grant: Grant, formerly: [NodeKey]
    ) {
        sessions[session.id] = session
        var introduction = introduction
        // For that peer alone: it is told where it reaches this relay as it said itself.
        introduction.dialled =
            advertised ?? Endpoint(introduction.dialled, defaultPort: 1)?.host
            ?? session.channel.localAddress?.hostText ?? "localhost"
        if case .mesh = session.admission, let source = session.source, let local = session.localHost {
            addressVote.heard(from: source, dialled: introduction.dialled, local: local)
        }
        handle(
            .sessionProven(
                session.id, key: session.key, introduction: introduction, grant: grant,
                formerly: heirs(of: formerly, session.key)))
    }

    func drop(_ session: RelaySession, _ reason: CloseReason, _ detail: String) {
        guard session.phase != .over else { return }
        session.close(reason, detail)
        closed(session, because: detail.isEmpty ? reason.text : "\(reason.text), \(detail)")
    }

    func renewed(_ session: RelaySession, _ grant: Grant) {
        handle(.grantRenewed(session.id, grant))
        let (id, quota) = (session.id, quota(of: session.id))
        lanes.on(session.lanes) { $0.channels.change(id, to: grant.membership, quota) }
    }
}
