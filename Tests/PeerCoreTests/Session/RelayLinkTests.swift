import PeerCore
import PeerWire
import SimulationSupport
import Testing

extension RelayLink.Action {
    /// Its name alone: `send` says which message.
    var name: String {
        switch self {
        case .connect: "connect"
        case .send(let bytes):
            switch HandshakePair.frame(bytes).flatMap({ try? PeerMessage($0) }) {
            case .hello: "send hello"
            case .introduction: "send introduction"
            case .ping: "send ping"
            case .pong: "send pong"
            case let other: "send \(String(describing: other))"
            }
        case .disconnect: "disconnect"
        case .established: "established"
        case .deliver: "deliver"
        case .measured: "measured"
        case .lost: "lost"
        case .explain: "explain"
        case .superseded: "superseded"
        }
    }

    var explanation: String? { if case .explain(let reason) = self { reason } else { nil } }
}

extension RelayLink.State {
    var name: String {
        switch self {
        case .waiting: "waiting"
        case .connecting: "connecting"
        case .opening: "opening"
        case .established: "established"
        case .stopped: "stopped"
        }
    }
}

/// A link with the relay's half of its handshake, brought into each of its states.
struct LinkPair {
    var link = RelayLink(seed: 3, at: .zero)
    var halves = HandshakePair()
    var now = Instant.zero

    mutating func connecting() -> [RelayLink.Action] { link.timePassed(at: now) }

    mutating func opening() -> [RelayLink.Action] {
        _ = connecting()
        return link.connected(halves.peer, at: now)
    }

    mutating func proving() -> [RelayLink.Action] {
        let opened = opening()
        guard case .send(let hello) = opened[0],
            case .send(let challenge) = halves.relay.received(HandshakePair.frame(hello)!)
        else { return [] }
        return link.received(HandshakePair.frame(challenge)!, at: now)
    }

    mutating func established() -> [RelayLink.Action] {
        _ = proving()
        return link.received(HandshakePair.welcome.frame, at: now)
    }

    static func inState(_ name: String) -> LinkPair {
        var pair = LinkPair()
        switch name {
        case "connecting": _ = pair.connecting()
        case "opening": _ = pair.opening()
        case "proving": _ = pair.proving()
        case "established": _ = pair.established()
        case "stopped": pair.link.stop()
        default: break
        }
        return pair
    }
}

@Suite struct RelayLinkTests {
    static func names(_ actions: [RelayLink.Action]) -> [String] { actions.map(\.name) }

    @Test func `it connects at once, proves its key and stands`() {
        var pair = LinkPair()
        #expect(pair.link.nextDeadline == .zero)
        var probe = pair
        #expect(Self.names(probe.connecting()) == ["connect"])
        probe = pair
        #expect(Self.names(probe.opening()) == ["send hello"])
        probe = pair
        #expect(Self.names(probe.proving()) == ["send introduction"])
        #expect(Self.names(pair.established()) == ["established"])
        #expect(pair.link.state == .established)
    }

    @Test func `what the relay makes of a newer token is delivered, and a relay that shows one itself is no relay`() {
        var pair = LinkPair.inState("established")
        let judged = RelayMessage.tokenJudged(reason: "")
        #expect(Self.names(pair.link.received(judged.frame, at: .at(1))) == ["deliver"])
        #expect(Self.names(pair.link.received(PeerMessage.tokenRenewed("a.b.c").frame, at: .at(2))).contains("lost"))
    }

    @Test func `a relay that says the same news again and again is left, one that has some now and then is not`() {
        for (pause, isLeft) in [(UInt64(10), true), (1_000, false)] {
            var pair = LinkPair.inState("established")
            var said: [String] = []
            for round in UInt64(0)..<200 where pair.link.state == .established {
                let news = RelayMessage.draining(round % 2 == 0)
                said += Self.names(pair.link.received(news.frame, at: .at(round * pause)))
            }
            #expect(said.contains("lost") == isLeft && said.count(where: { $0 == "deliver" }) == (isLeft ? 16 : 200))
        }
    }

    @Test func `it pings again and again and measures the answers`() {
        var pair = LinkPair.inState("established")
        for round in UInt64(0)..<10 {
            let now = Instant.zero + SessionTiming.pingInterval * round
            let actions = pair.link.timePassed(at: now)
            #expect(Self.names(actions) == ["send ping"])
            guard case .send(let bytes)? = actions.first,
                case .ping(let number)? = try? PeerMessage(HandshakePair.frame(bytes)!)
            else { continue }
            let answers = pair.link.received(RelayMessage.pong(number).frame, at: now + .milliseconds(30))
            guard case .measured(let latency)? = answers.first else {
                Issue.record("not measured")
                continue
            }
            #expect(latency == .milliseconds(30))
            // The answer to an earlier ping is no sample.
            #expect(pair.link.received(RelayMessage.pong(number &- 1).frame, at: now + .milliseconds(31)).isEmpty)
        }
    }

    @Test func `silence ends the session when the peer's patience is over and not before`() {
        var pair = LinkPair.inState("established")
        var now = Instant.zero
        var gone: Instant?
        while gone == nil, now < .at(60_000), let deadline = pair.link.nextDeadline {
            now = max(now, deadline)
            if Self.names(pair.link.timePassed(at: now)).contains("lost") { gone = now }
        }
        #expect(gone == Instant.zero + SessionTiming.peerPatience)
        #expect(pair.link.state.name == "waiting")
    }

    @Test func `anything that is heard keeps the session, even what is skipped`() {
        var pair = LinkPair.inState("established")
        for round in UInt64(1)...20 {
            let now = Instant.zero + SessionTiming.pingInterval * round
            #expect(pair.link.received(Frame(type: 0x7f, payload: []), at: now).isEmpty)
            #expect(Self.names(pair.link.timePassed(at: now)) == ["send ping"])
        }
        #expect(pair.link.state == .established)
    }

    @Test func `agreements get theirs, and pings their answer`() throws {
        var pair = LinkPair.inState("established")
        let offer = RelayMessage.offer(.init(mapping: .number(1), attempt: 1, ports: .only(8080), leaseSeconds: 60))
        guard case .deliver(offer)? = pair.link.received(offer.frame, at: .at(1)).first else {
            Issue.record("not delivered")
            return
        }
        guard
            case .send(PeerMessage.pong(42).bytes)? = pair.link.received(RelayMessage.ping(42).frame, at: .at(1)).first
        else {
            Issue.record("not answered")
            return
        }
    }

    @Test(arguments: [
        PeerMessage.wants(1, .any(count: 1)), .commit(.number(1), attempt: 1), .release(.number(1)),
        .report(.number(1), state: .active),
        .decline(.number(1), attempt: 1, reason: .withdrawn),
    ]) func `what only a peer says ends the session`(message: PeerMessage) {
        var pair = LinkPair.inState("established")
        #expect(Self.names(pair.link.received(message.frame, at: .at(1))) == ["disconnect", "lost", "explain"])
    }

    @Test func `a malformed message ends the session, an unknown one is skipped`() {
        var pair = LinkPair.inState("established")
        #expect(pair.link.received(Frame(type: 0x6f, payload: [1]), at: .at(1)).isEmpty)
        #expect(
            Self.names(pair.link.received(Frame(type: 0xf0, payload: []), at: .at(1))) == [
                "disconnect", "lost", "explain",
            ])
        pair = LinkPair.inState("established")
        #expect(
            Self.names(pair.link.received(Frame(type: 0x21, payload: [1]), at: .at(1))) == [
                "disconnect", "lost", "explain",
            ])
    }

    @Test(arguments: ["connecting", "opening", "proving", "established"]) func `superseded, it stops for good`(
        state: String
    ) {
        guard state != "connecting" else { return }
        var pair = LinkPair.inState(state)
        let actions = pair.link.received(RelayMessage.close(.superseded, detail: "").frame, at: .at(1))
        #expect(Self.names(actions) == ["disconnect", "superseded"])
        #expect(pair.link.state == .stopped)
        #expect(pair.link.nextDeadline == nil)
        #expect(pair.link.timePassed(at: .at(100_000)).isEmpty)
        #expect(Self.names(pair.link.connected(pair.halves.peer, at: .at(100_000))) == ["disconnect"])
    }

    enum Trouble: String, CaseIterable {
        case refused, connectTimeOut, handshakeTimeOut, closedInHandshake, otherVersion
    }

    @Test(arguments: Trouble.allCases, UInt64(0)..<5)
    func `an attempt follows the end of another within two seconds, and its start too`(trouble: Trouble, seed: UInt64) {
        var link = RelayLink(seed: seed, at: .zero)
        var now = Instant.zero
        var starts: [Instant] = []
        var ends: [Instant] = [.zero]
        for _ in 0..<200 {
            guard let deadline = link.nextDeadline else {
                Issue.record("no deadline")
                return
            }
            now = max(now, deadline)
            #expect(Self.names(link.timePassed(at: now)) == ["connect"])
            starts.append(now)
            #expect(now - ends.last! <= SessionTiming.longestBackoff)
            switch trouble {
            case .refused:
                now = now + .milliseconds(1)
                _ = link.connectionFailed("refused", at: now)
            case .connectTimeOut:
                now = link.nextDeadline!
                _ = link.timePassed(at: now)
            case .handshakeTimeOut:
                _ = link.connected(HandshakePair().peer, at: now)
                now = link.nextDeadline!
                _ = link.timePassed(at: now)
            case .closedInHandshake:
                _ = link.connected(HandshakePair().peer, at: now)
                _ = link.closed("closed", at: now)
            case .otherVersion:
                _ = link.connected(HandshakePair().peer, at: now)
                _ = link.receivedVersion(7, at: now)
            }
            ends.append(now)
        }
        if trouble != .handshakeTimeOut {
            for (earlier, later) in zip(starts, starts.dropFirst()) {
                #expect(later - earlier <= SessionTiming.longestBackoff)
            }
        }
        // Not in a tight circle either.
        #expect(starts.last! - starts[0] > .seconds(200))
    }

    /// What stands in its last words: how often a relay that says so is dialled within an hour, and the longest pause.
    private func attempts(refusedWith reason: CloseReason) -> (count: Int, longest: Instant.Span, UInt64) {
        var link = RelayLink(seed: 1, at: .zero)
        var starts: [Instant] = []
        while let deadline = link.nextDeadline, deadline < .zero + .seconds(3_600) {
            let now = deadline
            guard link.timePassed(at: now).map(\.name) == ["connect"] else { break }
            starts.append(now)
            _ = link.connected(HandshakePair().peer, at: now)
            _ = link.received(RelayMessage.close(reason, detail: "").frame, at: now)
        }
        let longest = zip(starts, starts.dropFirst()).map { $1 - $0 }.max() ?? .zero
        // Whoever does something about it has the next attempt at once.
        let hurried = link.hurry(at: starts.last ?? .zero)
        return (starts.count, longest, UInt64(hurried.count))
    }

    @Test func `a relay that took back what let this node in is dialled ever more rarely, any other as before`() {
        for reason in [CloseReason.revoked, .expired] {
            let (count, longest, hurried) = attempts(refusedWith: reason)
            #expect(count < 100 && longest > .seconds(40) && longest <= SessionTiming.longestUnwantedBackoff)
            #expect(hurried == 1)
        }
        let (count, longest, _) = attempts(refusedWith: .limitReached)
        #expect(count > 1_800 && longest <= SessionTiming.longestBackoff)
    }

    /// Sessions that end after so many seconds each: how long it takes to the beginning of the next attempt.
    private func pauses(behind sessions: [UInt64]) -> [Instant.Span] {
        var pair = LinkPair()
        return sessions.map { seconds in
            pair.halves = HandshakePair()
            pair.now = max(pair.now, pair.link.nextDeadline ?? .zero)
            #expect(Self.names(pair.established()) == ["established"])
            pair.now = pair.now + .seconds(seconds)
            _ = pair.link.closed("broke", at: pair.now)
            return (pair.link.nextDeadline ?? .zero) - pair.now
        }
    }

    @Test func `sessions that end soon are begun ever more rarely, until one has stood for a minute`() {
        let pauses = pauses(behind: Array(repeating: 2, count: 12) + [61, 61, 59, 59])
        // Within 20 s six or seven, and not ten.
        var begun = Instant.Span.zero
        let count = pauses.prefix { pause in
            begun = begun + .seconds(2) + pause
            return begun <= .seconds(20)
        }.count
        #expect((5...7).contains(count), "\(pauses)")
        #expect(pauses[0] <= .milliseconds(63) && pauses[11] > .seconds(7))
        #expect(pauses.allSatisfy { $0 <= SessionTiming.longestUnsteadyBackoff })
        // The one that stood begins anew.
        #expect(pauses[12...13].allSatisfy { $0 <= .milliseconds(63) })
        #expect(pauses[14] < .milliseconds(126) && pauses[15] < .milliseconds(252), "\(pauses)")
    }

    @Test func `a reason is explained once, until it changes or a session stood`() {
        var link = RelayLink(seed: 1, at: .zero)
        var now = Instant.zero
        func fail(_ reason: String) -> [String] {
            now = max(now, link.nextDeadline!)
            _ = link.timePassed(at: now)
            return link.connectionFailed(reason, at: now).compactMap(\.explanation)
        }
        #expect(fail("refused") == ["refused"])
        #expect(fail("refused").isEmpty)
        #expect(fail("unreachable") == ["unreachable"])
        #expect(fail("refused") == ["refused"])
        #expect(fail("refused").isEmpty)

        var pair = LinkPair.inState("established")
        #expect(pair.link.closed("broke", at: .at(10)).compactMap(\.explanation) == ["broke"])
    }

    @Test func `attempts that somebody refused are counted, until there is silence, a session, or another beginning`() {
        var link = RelayLink(seed: 1, at: .zero)
        var now = Instant.zero
        func attempt(_ end: (inout RelayLink) -> [RelayLink.Action]) -> Int {
            now = max(now, link.nextDeadline!)
            _ = link.timePassed(at: now)
            _ = end(&link)
            return link.failures
        }
        #expect(attempt { $0.connectionFailed("refused", at: now) } == 1)
        #expect(attempt { $0.connectionFailed("no such name", at: now) } == 2)
        #expect(attempt { $0.connectionFailed("timed out", isSilence: true, at: now) } == 0)
        #expect(attempt { $0.connectionFailed("refused", at: now) } == 1)
        #expect(attempt { $0.timePassed(at: $0.nextDeadline!) } == 0)
        #expect(attempt { $0.connected(HandshakePair().peer, at: now) + $0.closed("another key", at: now) } == 1)
        _ = link.hurry(at: now)
        #expect(link.failures == 0)

        var pair = LinkPair.inState("established")
        #expect(pair.link.failures == 0)
        _ = pair.link.closed("broke", at: .at(10))
        #expect(pair.link.failures == 0)
    }

    @Test func `late results of an attempt that is over change nothing`() {
        var pair = LinkPair.inState("connecting")
        _ = pair.link.timePassed(at: pair.link.nextDeadline!)
        let waiting = pair.link.state
        #expect(waiting.name == "waiting")
        #expect(pair.link.connectionFailed("late", at: .at(2_001)).isEmpty)
        #expect(pair.link.closed("late", at: .at(2_001)).isEmpty)
        #expect(pair.link.received(RelayMessage.ping(1).frame, at: .at(2_001)).isEmpty)
        #expect(Self.names(pair.link.connected(pair.halves.peer, at: .at(2_001))) == ["disconnect"])
        #expect(pair.link.state == waiting)
    }

    @Test func `a session that drops at once again and again is dialled ever more slowly`() {
        var link = RelayLink(seed: 1, at: .zero)
        var now = Instant.zero
        for _ in 0..<50 {
            now = max(now, link.nextDeadline!)
            _ = link.timePassed(at: now)
            var halves = HandshakePair()
            let opened = link.connected(halves.peer, at: now)
            guard case .send(let hello)? = opened.first,
                case .send(let challenge) = halves.relay.received(HandshakePair.frame(hello)!)
            else { return }
            _ = link.received(HandshakePair.frame(challenge)!, at: now)
            _ = link.received(HandshakePair.welcome.frame, at: now)
            #expect(link.state == .established)
            _ = link.closed("broke", at: now + .milliseconds(5))
        }
        #expect(now > .at(60_000))
    }
}
