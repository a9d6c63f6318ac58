internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerTokens
internal import PeerWire

/// Relays that the user names, and those that are named no longer.
extension NodeController {
    /// So long a relay may take to say what it makes of a token.
    private static let renewalLimit = Instant.Span.seconds(10)
    private static let settleInterval = Instant.Span.milliseconds(250)

    /// Waits for what becomes of a relay.
    final class JoinWaiter {
        let choice: RelayChoice
        /// What was known of the relay before.
        let former: KnownRelays.Relay?
        let isNew: Bool
        /// There was a session when it was asked for.
        let wasUp: Bool
        let isTemporary: Bool
        let answer: (ControlReply) -> Void
        let since: Instant
        var timer: LoopTimer?

        init(
            _ choice: RelayChoice, former: KnownRelays.Relay?, isNew: Bool, wasUp: Bool, isTemporary: Bool,
            since: Instant, _ answer: @escaping (ControlReply) -> Void
        ) {
            self.choice = choice
            self.former = former
            self.isNew = isNew
            self.wasUp = wasUp
            self.since = since
            self.isTemporary = isTemporary
            self.answer = answer
        }
    }

    /// Relays that are being joined.
    struct Joins {
        /// Wait for what became of a relay that they joined.
        var waiters: [ObjectIdentifier: JoinWaiter] = [:]
        /// Named on the command line, and kept when they have answered once.
        var untried: Set<Endpoint> = []
        /// What was known before of relays that a link on the command line told of, until a session with them has
        /// stood: that is what is written down.
        var untaught: [Endpoint: KnownRelays.Relay?] = [:]
    }

    /// Given together with `-s`. One that never answered is forgotten when the node stops, and what its link said: it
    /// may be a slip.
    func joinAtStart(_ choice: RelayChoice, isTemporary: Bool) {
        let endpoint = choice.endpoint
        if let link = choice.link, let contradiction = peer.contradiction(to: link, at: endpoint) {
            log.error("\(endpoint): \(contradiction). What was known of it before counts")
        } else if choice.teachesSomething {
            joins.untaught.updateValue(peer.knownRelays.relays[endpoint.description], forKey: endpoint)
            peer.change(endpoint) { choice.apply(to: &$0) }
        }
        mesh?.add(seed: endpoint)
        if peer.join(endpoint), !isTemporary { joins.untried.insert(endpoint) }
    }

    /// What a start is to find of all relays.
    func lasting(_ knownRelays: KnownRelays) -> KnownRelays {
        joins.untaught.reduce(into: knownRelays) { lasting, relay in
            lasting.restore(relay.value, at: relay.key.description)
        }
    }

    /// For the log of a node that ends.
    var forgotten: [Endpoint] { joins.untried.union(joins.untaught.keys).sorted { $0.description < $1.description } }

    func join(_ request: JoinRequest, _ answer: @escaping (ControlReply) -> Void) {
        if request.relay == RelayChoice.auto { return answer(joinAny()) }
        let choice: RelayChoice
        do throws(CommandError) {
            choice = try RelayChoice(
                request.relay, token: request.token, acceptsOpen: request.acceptsOpen, named: "join")
        } catch { return answer(ControlReply(error)) }
        let endpoint = choice.endpoint
        if let link = choice.link, let contradiction = peer.contradiction(to: link, at: endpoint) {
            return answer(
                ControlReply(status: .usage, text: "\(endpoint): \(contradiction). Nothing has changed", document: nil))
        }
        if let token = choice.token, peer.prospect(of: endpoint)?.terms?.basis == .token {
            return renew(token, choice, answer)
        }
        let former = peer.knownRelays.relays[endpoint.description]
        joins.untaught[endpoint] = nil
        let written = onLoop { (core: NodeController, error: StorageError?) in
            if let error {
                core.peer.change(endpoint) { $0.restore(former, at: endpoint.description) }
                return answer(.unchanged("\(endpoint) is not joined", error))
            }
            core.connect(choice, former, isTemporary: request.isTemporary, answer)
        }
        let joined = JoinedRelay(address: endpoint.description, added: UnixTime(.now))
        let taught = onLoop { (core: NodeController, error: StorageError?) in
            guard error == nil, !request.isTemporary else { return written(error) }
            core.writer.write("a relay", { table throws(StorageError) in try table.save(joined) }, done: written)
        }
        guard choice.teachesSomething else { return taught(nil) }
        peer.change(endpoint, done: taught) { choice.apply(to: &$0) }
    }

    /// What is known of the relay and that it is used are on the disk.
    private func connect(
        _ choice: RelayChoice, _ former: KnownRelays.Relay?, isTemporary: Bool,
        _ answer: @escaping (ControlReply) -> Void
    ) {
        if !isTemporary { joins.untried.remove(choice.endpoint) }
        let wasUp = peer.prospect(of: choice.endpoint)?.terms != nil
        let isNew = peer.join(choice.endpoint)
        mesh?.add(seed: choice.endpoint)
        exposeServerPort()
        peer.hurry(to: choice.endpoint)
        let waiter = JoinWaiter(
            choice, former: former, isNew: isNew, wasUp: wasUp, isTemporary: isTemporary, since: loop.clock(), answer)
        joins.waiters[ObjectIdentifier(waiter)] = waiter
        wait(waiter)
    }

    private func wait(_ waiter: JoinWaiter) {
        settle(waiter)
        guard joins.waiters[ObjectIdentifier(waiter)] != nil else { return }
        waiter.timer = loop.schedule(after: Self.settleInterval) { [weak self, weak waiter] in
            guard let self, let waiter else { return }
            wait(waiter)
        }
    }

    func settleJoins() { for waiter in joins.waiters.values { settle(waiter) } }

    private func settle(_ waiter: JoinWaiter) {
        let endpoint = waiter.choice.endpoint
        guard joins.waiters[ObjectIdentifier(waiter)] != nil,
            let settled = JoinOutcome.settled(
                endpoint, peer.prospect(of: endpoint), isNew: waiter.isNew, wasUp: waiter.wasUp,
                hasLink: waiter.choice.link != nil,
                isTemporary: waiter.isTemporary, waited: loop.clock() - waiter.since)
        else { return }
        joins.waiters[ObjectIdentifier(waiter)] = nil
        waiter.timer?.cancel()
        var reply = settled.reply
        if reply.status == .success { reply.document = Self.reply(documents().servers).document }
        guard !settled.keeps else { return waiter.answer(reply) }
        takeBack(waiter, reply)
    }

    /// What was said of a relay turned out wrong: what was known before counts again.
    private func takeBack(_ waiter: JoinWaiter, _ reply: ControlReply) {
        let endpoint = waiter.choice.endpoint
        let written = onLoop { (core: NodeController, error: StorageError?) in
            guard let error else { return waiter.answer(reply) }
            var reply = reply
            reply.remarks = ["on the disk it stands as it was given, until that can be written: \(error)"]
            waiter.answer(reply)
        }
        let restored = onLoop { (core: NodeController, error: StorageError?) in
            guard waiter.isNew, error == nil else { return written(error) }
            core.forget(endpoint, done: written)
        }
        if waiter.isNew {
            peer.leave(endpoint)
            mesh?.remove(seed: endpoint)
        }
        peer.change(endpoint, done: restored) { $0.restore(waiter.former, at: endpoint.description) }
    }

    private func forget(_ relay: Endpoint, done: @escaping TableWriter.Done) {
        writer.keep(
            "the end of a relay", as: Self.name(relay),
            { table throws(StorageError) in try table.removeJoinedRelay(relay.description) }, done: done)
    }

    /// The session rests on a token: the relay judges the newer one first, and nothing is changed by one that it
    /// refuses.
    private func renew(_ token: String, _ choice: RelayChoice, _ answer: @escaping (ControlReply) -> Void) {
        let endpoint = choice.endpoint
        var pending: ((ControlReply) -> Void)? = answer
        let timer = loop.schedule(after: Self.renewalLimit) {
            pending?(
                ControlReply(
                    status: .timedOut, text: "\(endpoint) does not answer; the token before stays", document: nil))
            pending = nil
        }
        peer.renew(token: token, at: endpoint) { [weak self] reason in
            timer.cancel()
            guard let self, let answer = pending else { return }
            pending = nil
            guard reason.isEmpty else {
                let text = "\(endpoint): the new token counts for nothing, \(reason); the one before stays"
                return answer(ControlReply(status: .refused, text: text, document: nil))
            }
            let end = (try? UnverifiedToken(token)).map { ", valid until \($0.expires.rfc3339)" } ?? ""
            let done = onLoop { (core: NodeController, error: StorageError?) in
                guard let error else {
                    return answer(
                        ControlReply(
                            status: .success, text: "\(endpoint): token renewed\(end)",
                            document: Self.reply(core.documents().servers).document))
                }
                answer(.unwritten("\(endpoint): token renewed\(end), but after a restart the one before counts", error))
            }
            peer.change(endpoint, done: done) { choice.apply(to: &$0) }
        }
    }

    /// A node chooses for itself anyway, unless it was told not to.
    private func joinAny() -> ControlReply {
        guard settings.sessions > 0 else {
            let text =
                settings.config.sessions > 0
                ? "this node is a relay and chooses no others; start it with --connect-reverse-proxy auto"
                : "config.toml says relays = 0, only those that are named; make it 2 and restart the node"
            return ControlReply(status: .usage, text: text, document: nil)
        }
        peer.chooseRelays()
        return ControlReply(
            status: .success, text: "this node chooses among the relays that it knows; --view-rps shows which",
            document: Self.reply(documents().servers).document)
    }

    func leave(_ text: String, _ answer: @escaping (ControlReply) -> Void) {
        let endpoint: Endpoint
        do throws(CommandError) { endpoint = try relay(called: text) } catch { return answer(ControlReply(error)) }
        let known = peer.knownRelays[endpoint.description]
        peer.leave(endpoint)
        listings.addresses.forget(endpoint)
        joins.untried.remove(endpoint)
        joins.untaught[endpoint] = nil
        mesh?.remove(seed: endpoint)
        var forgotten = ""
        let taught = onLoop { (core: NodeController, ofSecrets: StorageError?) in
            core.forget(
                endpoint,
                done: core.onLoop { core, ofRelay in
                    if let ofRelay {
                        let how = ofSecrets == nil ? "asked again, without what let this node in," : "used again"
                        return answer(
                            .unwritten("\(endpoint) is left now, but will be \(how) after a restart", ofRelay))
                    }
                    if let ofSecrets {
                        return answer(
                            .unwritten("\(endpoint) is left, but what was kept of it is not forgotten", ofSecrets))
                    }
                    answer(
                        ControlReply(
                            status: .success, text: "\(endpoint) is left\(forgotten)",
                            document: Self.reply(core.documents().servers).document))
                })
        }
        let usesOthers = !peer.relayStandings.isEmpty
        peer.change(endpoint, done: taught) { knownRelays in
            let keepsMeshKey = knownRelays.leave(endpoint.description, usesOthers: usesOthers)
            forgotten = known.forgotten(keepsMeshKey: keepsMeshKey)
        }
    }

    /// By its address, or by what it calls itself.
    ///
    /// - Parameter isKnown: one will do of which no more than its key is known.
    func relay(called text: String, isKnown: Bool = false) throws(CommandError) -> Endpoint {
        let standings = peer.relayStandings
        if let endpoint = Endpoint(text, defaultPort: NodeSettings.defaultServerPort),
            standings.contains(where: { $0.endpoint == endpoint })
                || isKnown && peer.knownRelays.relays[endpoint.description] != nil
        {
            return endpoint
        }
        return try RelayNames.only(standings.filter { $0.name == text }.map(\.endpoint), called: text)
    }
}

/// What a name stands for.
enum RelayNames {
    static func only(_ found: [Endpoint], called text: String) throws(CommandError) -> Endpoint {
        guard let endpoint = found.first else {
            throw CommandError(.notFound, "no relay is called \(text); --view-rps lists them")
        }
        guard found.count == 1 else {
            let all = found.map(\.description).sorted().joined(separator: ", ")
            throw CommandError(.notFound, "\(found.count) relays are called \(text); name one of them: \(all)")
        }
        return endpoint
    }
}

extension KnownRelays.Relay {
    /// For the answer to `leave`: which secrets are gone.
    func forgotten(keepsMeshKey: Bool) -> String {
        let gone = [token == nil ? nil : "token", meshKey == nil || keepsMeshKey ? nil : "mesh key"].compactMap { $0 }
        var text =
            gone.isEmpty ? "" : "; its \(gone.joined(separator: " and ")) \(gone.count > 1 ? "are" : "is") forgotten"
        if meshKey != nil, keepsMeshKey { text += "; its mesh key stays, for the other relays that this node uses" }
        return text
    }
}
