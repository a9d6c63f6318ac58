import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// A relay with pretended ports, and peers that say what the test wants them to say.
@Suite final class RelayCoreTests {
    var bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_099)!, leaseSeconds: 3_600))
    var core: RelayCore { bench.core }

    deinit {
        bench.checkInvariants()
        for violation in bench.violations { Issue.record("\(violation)") }
    }

    func start(_ session: UInt64, key: UInt8, instance: UInt8 = 1, grant: Grant = .mesh) -> [RelayCore.Action] {
        bench.give(.sessionProven(.number(session), key: .number(key), introduction: .of(instance), grant: grant))
    }

    func say(_ session: UInt64, _ message: PeerMessage) -> [RelayCore.Action] {
        let actions = bench.give(.received(.number(session), message))
        bench.checkInvariants()
        return actions
    }

    static func claim(_ key: UInt8, _ mapping: UInt64) -> Claim { Claim(key: .number(key), mapping: .number(mapping)) }

    /// Request and commit; the ports that were agreed, or the refusal.
    enum Agreed: Equatable { case ports(PortRange), refused(RefusalReason), nothing }

    func agree(_ session: UInt64, _ mapping: UInt64, _ wish: PortWish, _ protocols: TransportProtocols = .tcp) -> Agreed
    {
        for action in say(session, .wants(mapping, wish, protocols)) {
            switch action.message {
            case .offer(let offer)?:
                let answers = say(session, .commit(offer.mapping, attempt: offer.attempt))
                let isActive = answers.contains {
                    $0.message == .active(.number(mapping), attempt: offer.attempt, host: "relay.example.org")
                }
                if isActive { return .ports(offer.ports) }
                for case .refusal(_, let reason, _)? in answers.map(\.message) { return .refused(reason) }
                return .nothing
            case .refusal(_, let reason, _)?: return .refused(reason)
            default: continue
            }
        }
        return .nothing
    }

    func offers(in actions: [RelayCore.Action]) -> [RelayMessage.Offer] {
        actions.compactMap { if case .offer(let offer)? = $0.message { offer } else { nil } }
    }

    func refusals(in actions: [RelayCore.Action]) -> [RefusalReason] {
        actions.compactMap { if case .refusal(_, let reason, _)? = $0.message { reason } else { nil } }
    }

    // MARK: The way to an active mapping

    @Test func `request, offer, commit, active: bound before it is offered, written down before it accepts`() throws {
        bench.savesAtOnce = false
        #expect(start(1, key: 1) == [.welcome(.number(1))])
        let claim = Self.claim(1, 7)
        let ports = PortRange.only(1_042)
        let asked = say(1, .wants(7, .exactly(ports)))
        let offer = RelayMessage.Offer(mapping: .number(7), attempt: 1, ports: ports, leaseSeconds: 3_600)
        #expect(asked == [.hold(claim, ports, .tcp), .send(.number(1), .offer(offer))])
        #expect(bench.held[claim]?.ports == ports && bench.listening.isEmpty)

        var lease = Lease(
            key: .number(1), mapping: .number(7), ports: ports, protocols: .tcp, peerName: "peer",
            target: "127.0.0.1:80",
            expires: bench.wall + 3_600)
        lease.account = Grant.mesh.membership
        #expect(say(1, .commit(.number(7), attempt: 1)) == [.saveLease(lease)])
        #expect(bench.listening.isEmpty)

        bench.finishSaving()
        #expect(bench.listening == [claim: .number(1)])
        #expect(core.standing(of: claim)?.stage == .active)
        bench.savesAtOnce = true
    }

    @Test func `a decline frees the port and the next place is offered`() {
        _ = start(1, key: 1)
        var actions = say(1, .wants(1, .any(count: 2)))
        var seen: Set<UInt16> = []
        for attempt in UInt16(1)...15 {
            let offer = offers(in: actions).first
            #expect(offer?.attempt == attempt)
            seen.insert(offer?.ports.first ?? 0)
            actions = say(1, .decline(.number(1), attempt: attempt, reason: .portTakenHere))
            #expect(actions.first == .free(Self.claim(1, 1)))
        }
        #expect(seen.count == 15)
        #expect(refusals(in: say(1, .decline(.number(1), attempt: 16, reason: .portTakenHere))) == [.portTakenHere])
        #expect(bench.held.isEmpty)
    }

    @Test func `a decline of the very port that was asked for ends the request`() {
        _ = start(1, key: 1)
        _ = say(1, .wants(1, .exactly(.only(1_001))))
        #expect(refusals(in: say(1, .decline(.number(1), attempt: 1, reason: .portTakenHere))) == [.portTakenHere])
        #expect(bench.held.isEmpty && core.standings.isEmpty)
    }

    @Test func `a withdrawn request ends`() {
        _ = start(1, key: 1)
        _ = say(1, .wants(1, .any(count: 1)))
        #expect(refusals(in: say(1, .decline(.number(1), attempt: 1, reason: .withdrawn))) == [.withdrawn])
        #expect(bench.held.isEmpty)
    }

    @Test func `answers to an earlier offer change nothing`() {
        _ = start(1, key: 1)
        _ = say(1, .wants(1, .any(count: 1)))
        _ = say(1, .decline(.number(1), attempt: 1, reason: .portTakenHere))
        #expect(say(1, .commit(.number(1), attempt: 1)).isEmpty)
        #expect(say(1, .decline(.number(1), attempt: 1, reason: .portTakenHere)).isEmpty)
        #expect(say(1, .commit(.number(9), attempt: 1)).isEmpty)
        #expect(say(1, .commit(.number(1), attempt: 2)).contains { if case .listen = $0 { true } else { false } })
        #expect(say(1, .commit(.number(1), attempt: 2)).isEmpty)
    }

    @Test func `an offer that nobody answers is withdrawn after half a minute`() {
        _ = start(1, key: 1)
        _ = say(1, .wants(1, .any(count: 1)))
        for _ in 0..<29 {
            bench.now = bench.now + .seconds(1)
            _ = say(1, .ping(1))
            #expect(bench.give(.timePassed).isEmpty)
        }
        bench.now = bench.now + .seconds(1)
        _ = say(1, .ping(1))
        #expect(refusals(in: bench.give(.timePassed)) == [.withdrawn])
        #expect(bench.held.isEmpty)
        #expect(say(1, .commit(.number(1), attempt: 1)).isEmpty)
    }

    @Test func `busy ports are passed over, whatever the wish`() {
        bench.busy = [1_000, 1_001, 1_003]
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_000))) == .refused(.portTaken))
        guard case .ports(let ports) = agree(1, 2, .preferably(PortRange(first: 1_002, count: 2)!)) else {
            Issue.record("refused")
            return
        }
        #expect(ports.count == 2 && !ports.contains(.only(1_003)))
        #expect(agree(1, 3, .preferably(.only(1_002))) == .ports(.only(1_002)))
        #expect(agree(1, 4, .preferably(.only(5))) != .ports(.only(5)))
    }

    @Test func `one mapping has so many sockets at most, and a port for both has two`() {
        var policy = RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_999)!, protocols: [.tcp, .udp])
        policy.maximumSocketsPerMapping = 10
        bench = RelayBench(policy)
        _ = start(1, key: 1)
        #expect(agree(1, 1, .any(count: 6), [.tcp, .udp]) == .refused(.limitReached))
        #expect(agree(1, 2, .any(count: 11), .udp) == .refused(.limitReached))
        #expect(agree(1, 3, .any(count: 11)) == .refused(.limitReached))
        #expect(agree(1, 4, .any(count: 5), [.tcp, .udp]) != .refused(.limitReached))
        #expect(agree(1, 5, .any(count: 10), .udp) != .refused(.limitReached))
    }

    @Test func `a port that is busy for UDP alone is passed over for UDP and for both, and given for TCP`() {
        let policy = RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_001)!, protocols: [.tcp, .udp])
        bench = RelayBench(policy)
        bench.busyForDatagrams = [1_000]
        _ = start(1, key: 1)
        #expect(agree(1, 1, .any(count: 1), [.tcp, .udp]) == .ports(.only(1_001)))
        #expect(agree(1, 2, .exactly(.only(1_000)), .udp) == .refused(.portTaken))
        #expect(agree(1, 3, .any(count: 1)) == .ports(.only(1_000)))
        #expect(agree(1, 4, .any(count: 1), .udp) == .refused(.noPortFree))
    }

    @Test func `a range is agreed as a whole or not at all`() {
        bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_009)!), busy: [1_004])
        _ = start(1, key: 1)
        #expect(agree(1, 1, .any(count: 6)) == .refused(.noPortFree))
        #expect(agree(1, 1, .any(count: 5)) == .ports(PortRange(first: 1_005, count: 5)!))
        #expect(bench.held.count == 1)
    }

    @Test func `one thousand ports, 700 of them busy, 400 requests: 300 active, 100 refused`() {
        bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 10_000, last: 10_999)!))
        var random = SeededGenerator(seed: 42)
        bench.busy = Set((UInt16(10_000)...10_999).shuffled(using: &random).prefix(700))
        var counts: [Agreed: Int] = [:]
        var given: Set<UInt16> = []
        for peer in UInt8(1)...4 {
            _ = start(UInt64(peer), key: peer)
            for mapping in UInt64(1)...100 {
                for action in bench.give(.received(.number(UInt64(peer)), .wants(mapping, .any(count: 1)))) {
                    switch action.message {
                    case .offer(let offer)?:
                        let answers = bench.give(
                            .received(.number(UInt64(peer)), .commit(offer.mapping, attempt: offer.attempt)))
                        for case .active? in answers.map(\.message) { given.insert(offer.ports.first) }
                    case .refusal(_, let reason, _)?: counts[.refused(reason), default: 0] += 1
                    default: break
                    }
                }
            }
        }
        #expect(given.count == 300 && given.isDisjoint(with: bench.busy))
        #expect(counts == [.refused(.noPortFree): 100])
        #expect(bench.listening.count == 300)
    }

    // MARK: Target down, sessions that end, limits

    @Test func `while the target is down the port refuses, and it accepts before the peer is told so`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_050))) != .nothing)
        #expect(say(1, .report(.number(1), state: .targetDown)) == [.pause(Self.claim(1, 1))])
        #expect(say(1, .report(.number(1), state: .targetDown)).isEmpty)
        #expect(bench.held.count == 1)
        #expect(core.standing(of: Self.claim(1, 1))?.reported == .targetDown)
        #expect(
            say(1, .report(.number(1), state: .active)) == [
                .listen(Self.claim(1, 1), .number(1), .everybody),
                .send(.number(1), .active(.number(1), attempt: 1, host: "relay.example.org")),
            ])
        #expect(say(1, .report(.number(1), state: .verified)).isEmpty)
        #expect(say(1, .report(.number(9), state: .verified)).isEmpty)
    }

    @Test func `a peer that leaves has its ports closed gently, and comes back like any other`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .any(count: 1)) != .nothing)
        #expect(
            say(1, .report(.number(1), state: .targetDown, isLeaving: true)) == [.pauseGently(Self.claim(1, 1))])
        #expect(say(1, .report(.number(1), state: .targetDown)).isEmpty)
        #expect(say(1, .report(.number(1), state: .active)).first == .listen(Self.claim(1, 1), .number(1), .everybody))
        // Only where the ports close at all.
        #expect(say(1, .report(.number(1), state: .verified, isLeaving: true)).isEmpty)
    }

    @Test func `a session that says nothing for too long is over and its ports refuse`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .any(count: 1)) != .nothing)
        let end = Instant.zero + SessionTiming.relayPatience
        bench.now = Instant(nanoseconds: end.nanoseconds - 1)
        #expect(bench.give(.timePassed).isEmpty)
        bench.now = end
        #expect(core.nextDeadline == end)
        let actions = bench.give(.timePassed)
        #expect(actions.first == .end(.number(1), .silent, detail: "nothing was heard for too long"))
        #expect(bench.listening.isEmpty && bench.held.count == 1)
    }

    @Test func `a peer that says goodbye keeps its lease`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .any(count: 1)) != .nothing)
        let actions = say(1, .close(.leaving, detail: ""))
        #expect(actions.contains(.pause(Self.claim(1, 1))))
        #expect(actions.last == .end(.number(1), .leaving, detail: ""))
        #expect(bench.held.count == 1 && core.sessionCount == 0)
    }

    @Test func `an offer is not kept beyond its session`() {
        _ = start(1, key: 1)
        _ = say(1, .wants(1, .any(count: 1)))
        #expect(bench.give(.sessionEnded(.number(1))) == [.free(Self.claim(1, 1))])
    }

    @Test(arguments: [
        PeerMessage.ping(0), .pong(1), .release(.number(1)), .hello(.init()), .introduction(.of(1)),
        .keyHistoryWanted(.number(1)),
    ]) func `a message of the handshake ends a session that stands`(message: PeerMessage) {
        _ = start(1, key: 1)
        let actions = say(1, message)
        switch message {
        case .ping(let number): #expect(actions == [.send(.number(1), .pong(number))])
        case .pong: #expect(actions.isEmpty)
        case .release: #expect(actions.count == 1)
        default:
            #expect(actions == [.end(.number(1), .protocolBreach, detail: "a message of the handshake")])
            #expect(core.sessionCount == 0)
        }
    }

    @Test func `a request for what an active mapping has starts over and nothing accepts meanwhile`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_050))) != .nothing)
        #expect(say(1, .wants(1, .exactly(.only(1_050)))).first == .pause(Self.claim(1, 1)))
        #expect(bench.listening.isEmpty)
        _ = bench.give(.sessionEnded(.number(1)))
        bench.checkInvariants()
        _ = start(2, key: 1)
        #expect(agree(2, 1, .exactly(.only(1_050))) != .nothing)
        #expect(agree(2, 1, .exactly(.only(1_051))) == .ports(.only(1_051)))
        #expect(agree(2, 1, .any(count: 2)) != .nothing)
        #expect(bench.held.count == 1 && bench.saved.count == 1)
    }

    @Test func `limits are kept`() {
        bench = RelayBench(
            RelayCore.Policy(
                ports: PortRange(first: 1_000, last: 1_099)!, maximumPortsPerMapping: 4, maximumMappingsPerSession: 2,
                maximumSessions: 2))
        _ = start(1, key: 1)
        #expect(agree(1, 1, .any(count: 5)) == .refused(.limitReached))
        #expect(agree(1, 1, .exactly(.only(999))) == .refused(.portNotAllowed))
        #expect(agree(1, 1, .exactly(PortRange(first: 1_098, count: 3)!)) == .refused(.portNotAllowed))
        #expect(agree(1, 1, .any(count: 1), .udp) == .refused(.protocolNotSupported))
        #expect(agree(1, 1, .any(count: 4)) != .nothing)
        #expect(agree(1, 2, .any(count: 1)) != .nothing)
        #expect(agree(1, 3, .any(count: 1)) == .refused(.limitReached))
        _ = say(1, .release(.number(2)))
        guard case .ports = agree(1, 3, .any(count: 1)) else {
            Issue.record("a released mapping still counts")
            return
        }
        _ = start(2, key: 2)
        #expect(
            start(3, key: 3) == [.end(.number(3), .limitReached, detail: "2 sessions are open")])
        // The same key may always replace its own session.
        #expect(start(4, key: 2).contains(.welcome(.number(4))))
    }

    @Test func `what was refused does not count against the limit of mappings`() {
        bench = RelayBench(
            RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_099)!, maximumMappingsPerSession: 2))
        _ = start(1, key: 1)
        _ = start(2, key: 2)
        #expect(agree(2, 1, .exactly(.only(1_000))) != .nothing)
        bench.busy = [1_001]
        for mapping in UInt64(1)...20 {
            #expect(agree(1, mapping, .exactly(.only(1_000))) == .refused(.portLeased))
            #expect(agree(1, 100 + mapping, .exactly(.only(1_001))) == .refused(.portTaken))
        }
        #expect(agree(1, 50, .any(count: 1)) != .refused(.limitReached))
    }

    private func wantsCheck(_ session: UInt64, _ number: UInt32, mapping: UInt64 = 1) -> Bool {
        let request = PeerMessage.CheckRequest(
            number: number, mapping: .number(mapping), host: "192.0.2.1", port: 8_000, nonce: .seed(1))
        let actions = say(session, .checkWanted(request))
        if actions == [.check(.number(session), request, by: .number(UInt8(session)))] { return true }
        #expect(actions == [.send(.number(session), .checkDone(number: number, passed: false, detail: ""))])
        return false
    }

    @Test func `checks for others are limited to sixteen at once and one a second, for a membership`() {
        _ = start(1, key: 1)
        _ = start(2, key: 2)
        #expect((UInt32(1)...20).filter { wantsCheck(1, $0) }.count == 16)
        #expect(!wantsCheck(2, 1))
        bench.now = .at(1_000)
        #expect((UInt32(21)...25).filter { wantsCheck(2, $0) }.count == 1)
        bench.now = .at(3_600_000)
        #expect((UInt32(31)...60).filter { wantsCheck(1, $0) }.count == 16)
    }

    @Test func `the holder of a token has nothing checked but what he has here as well`() {
        _ = start(1, key: 1, grant: Grant(membership: .token(id: "one")))
        #expect(!wantsCheck(1, 1))
        #expect(agree(1, 1, .any(count: 1)) != .nothing)
        #expect(wantsCheck(1, 2) && !wantsCheck(1, 3, mapping: 2))
    }
}

extension RelayCoreTests.Agreed: Hashable {}
