import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// What a session may do at a relay, and on whose account.
@Suite final class RelayGrantTests {
    typealias Agreed = RelayCoreTests.Agreed

    var bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_099)!, leaseSeconds: 3_600))
    var core: RelayCore { bench.core }

    deinit {
        bench.checkInvariants()
        for violation in bench.violations { Issue.record("\(violation)") }
    }

    func start(_ session: UInt64, key: UInt8, _ grant: Grant, instance: UInt8 = 1) -> [RelayCore.Action] {
        let actions = bench.give(
            .sessionProven(.number(session), key: .number(key), introduction: .of(instance), grant: grant))
        bench.checkInvariants()
        return actions
    }

    func say(_ session: UInt64, _ message: PeerMessage) -> [RelayCore.Action] {
        let actions = bench.give(.received(.number(session), message))
        bench.checkInvariants()
        return actions
    }

    func isWelcome(_ session: UInt64, key: UInt8, _ grant: Grant, instance: UInt8 = 1) -> Bool {
        start(session, key: key, grant, instance: instance).contains(.welcome(.number(session)))
    }

    func agree(_ session: UInt64, _ mapping: UInt64, _ wish: PortWish, _ protocols: TransportProtocols = .tcp) -> Agreed
    {
        for action in say(session, .wants(mapping, wish, protocols)) {
            switch action.message {
            case .offer(let offer)?:
                let answers = say(session, .commit(offer.mapping, attempt: offer.attempt)).map(\.message)
                for case .active? in answers { return .ports(offer.ports) }
                for case .refusal(_, let reason, _)? in answers { return .refused(reason) }
                return .nothing
            case .refusal(_, let reason, _)?: return .refused(reason)
            default: continue
            }
        }
        return .nothing
    }

    func claim(_ key: UInt8, _ mapping: UInt64) -> Claim { Claim(key: .number(key), mapping: .number(mapping)) }

    func details(in actions: [RelayCore.Action]) -> [String] {
        actions.compactMap { action in
            switch action {
            case .send(_, .refusal(_, _, let detail)), .end(_, _, let detail): detail
            default: nil
            }
        }
    }

    // MARK: Ports and protocols

    @Test func `any port means one of the token's, all of them and no other`() {
        let ports = [PortRange(first: 1_090, count: 3)!, .only(1_010), PortRange(first: 1_099, last: 2_000)!]
        _ = start(1, key: 1, .token("t", ports: ports))
        var given: Set<UInt16> = []
        for mapping in UInt64(1)...5 {
            guard case .ports(let range) = agree(1, mapping, .any(count: 1)) else {
                Issue.record("mapping \(mapping) got none")
                continue
            }
            given.insert(range.first)
        }
        #expect(given == [1_010, 1_090, 1_091, 1_092, 1_099])
        #expect(agree(1, 6, .any(count: 1)) == .refused(.noPortFree))
    }

    @Test func `ports of the token's ranges that touch are one range`() {
        let ports = [PortRange(first: 1_005, count: 5)!, PortRange(first: 1_000, count: 5)!]
        _ = start(1, key: 1, .token("t", ports: ports))
        #expect(agree(1, 1, .any(count: 10)) == .ports(PortRange(first: 1_000, count: 10)!))
    }

    @Test func `a port outside the token is refused by its own reason, one outside the relay by the relay's`() {
        _ = start(1, key: 1, .token("t", ports: [PortRange(first: 1_050, last: 3_000)!]))
        #expect(agree(1, 1, .exactly(.only(1_049))) == .refused(.notGranted))
        #expect(agree(1, 1, .exactly(.only(2_000))) == .refused(.portNotAllowed))
        #expect(agree(1, 1, .exactly(.only(1_050))) == .ports(.only(1_050)))
        #expect(details(in: say(1, .wants(2, .exactly(.only(1_049))))) == ["your token allows ports 1050-3000"])
        guard case .ports(let range) = agree(1, 2, .preferably(.only(1_010))) else {
            Issue.record("refused")
            return
        }
        #expect(range.first >= 1_051)
    }

    @Test func `a range that the token never has in a row is refused at once`() {
        _ = start(
            1, key: 1, .token("t", ports: [PortRange(first: 1_000, count: 2)!, PortRange(first: 1_010, count: 2)!]))
        #expect(agree(1, 1, .any(count: 3)) == .refused(.notGranted))
        #expect(agree(1, 1, .preferably(PortRange(first: 1_000, count: 3)!)) == .refused(.notGranted))
        #expect(bench.held.isEmpty)
    }

    @Test func `a protocol outside the token is refused by its own reason`() {
        bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_099)!, protocols: [.tcp, .udp]))
        _ = start(1, key: 1, .token("t", protocols: .tcp))
        #expect(agree(1, 1, .any(count: 1), .udp) == .refused(.notGranted))
        #expect(agree(1, 1, .any(count: 1), [.tcp, .udp]) == .refused(.notGranted))
        #expect(agree(1, 1, .any(count: 1), .tcp) != .nothing)
    }

    @Test func `a lease from a wider grant is given back when the same mapping is asked for under a narrower one`() {
        _ = start(1, key: 1, .mesh)
        #expect(agree(1, 1, .exactly(.only(1_000))) == .ports(.only(1_000)))
        _ = start(2, key: 1, .token("t", ports: [.only(1_077)]), instance: 2)
        #expect(agree(2, 1, .preferably(.only(1_000))) == .ports(.only(1_077)))
        #expect(bench.held.values.map(\.ports) == [.only(1_077)])
        #expect(bench.saved.count == 1)
    }

    // MARK: The end of a grant

    @Test func `a session ends when its token runs out, and its port refuses`() {
        _ = start(1, key: 1, .token("t", expires: bench.wall + 3))
        #expect(agree(1, 1, .exactly(.only(1_050))) != .nothing)
        bench.now = bench.now + .seconds(2)
        _ = say(1, .ping(1))
        #expect(bench.give(.timePassed).isEmpty)
        bench.now = bench.now + .seconds(1)
        let actions = bench.give(.timePassed)
        #expect(
            Array(actions.prefix(3)) == [
                .abortVisitors(.number(1)), .end(.number(1), .expired, detail: "the token ran out; ask for a new one"),
                .pause(claim(1, 1)),
            ])
        #expect(core.sessionCount == 0 && bench.listening.isEmpty && bench.held.count == 1)
        #expect(
            start(2, key: 1, .token("t", expires: bench.wall), instance: 2)
                == [.end(.number(2), .expired, detail: "the token ran out; ask for a new one")])
        #expect(isWelcome(3, key: 1, .token("t2"), instance: 3))
        #expect(agree(3, 1, .any(count: 1)) == .ports(.only(1_050)))
    }

    @Test func `revoking ends all sessions of the membership in one call, and those of no other`() {
        _ = start(1, key: 1, .token("t"))
        _ = start(2, key: 2, .token("t"))
        _ = start(3, key: 3, .token("u"))
        for session in UInt64(1)...3 { #expect(agree(session, 1, .any(count: 1)) != .nothing) }
        _ = say(2, .wants(2, .any(count: 1)))
        let actions = bench.give(.membershipEnded(.token(id: "t"), .revoked, detail: "by its owner"))
        for session in UInt64(1)...2 {
            #expect(actions.contains(.abortVisitors(.number(session))))
            #expect(actions.contains(.end(.number(session), .revoked, detail: "by its owner")))
            #expect(actions.contains(.pause(claim(UInt8(session), 1))))
        }
        // What was only offered is free; what was agreed stays leased, and refuses.
        #expect(actions.contains(.free(claim(2, 2))))
        #expect(bench.listening == [claim(3, 1): .number(3)])
        #expect(bench.held.count == 3 && bench.saved.count == 3 && core.sessionCount == 1)
        #expect(bench.give(.membershipEnded(.token(id: "t"), .revoked, detail: "")).isEmpty)
        bench.now = bench.now + .seconds(3_600)
        _ = say(3, .ping(1))
        _ = bench.give(.timePassed)
        #expect(bench.held.count == 1)
    }

    @Test func `an equal name of another kind is another membership`() {
        _ = start(1, key: 1, Grant(membership: .mesh(network: "x")))
        _ = start(2, key: 2, Grant(membership: .openRelay(network: "x")))
        _ = start(3, key: 3, .token("x"))
        _ = bench.give(.membershipEnded(.token(id: "x"), .revoked, detail: ""))
        #expect(core.sessionCount == 2)
    }

    // MARK: A renewed grant

    @Test func `renewing drops nothing that is still allowed`() {
        _ = start(1, key: 1, .token("t", ports: [PortRange(first: 1_000, count: 10)!], expires: bench.wall + 5))
        #expect(agree(1, 1, .exactly(.only(1_003))) != .nothing)
        #expect(agree(1, 2, .exactly(.only(1_009))) != .nothing)
        let later = Grant.token("t", ports: [PortRange(first: 1_000, count: 9)!], expires: bench.wall + 50)
        let actions = bench.give(.grantRenewed(.number(1), later))
        bench.checkInvariants()
        #expect(details(in: actions) == ["your token no longer allows port 1009"])
        #expect(actions.contains(.free(claim(1, 2))) && actions.contains(.removeLease(claim(1, 2))))
        #expect(bench.listening == [claim(1, 1): .number(1)])
        #expect(core.session(.number(1))?.grant == later)
        bench.now = bench.now + .seconds(4)
        _ = say(1, .ping(1))
        bench.now = bench.now + .seconds(4)
        #expect(bench.give(.timePassed).isEmpty)
        #expect(agree(1, 2, .exactly(.only(1_009))) == .refused(.notGranted))
    }

    @Test func `renewing with another token moves what is there to its account`() {
        _ = start(1, key: 1, .token("old", limits: Grant.Limits(leases: 2)))
        #expect(agree(1, 1, .any(count: 2)) != .nothing)
        let next = Grant.token("new", limits: Grant.Limits(leases: 3))
        let actions = bench.give(.grantRenewed(.number(1), next))
        bench.checkInvariants()
        let lease = core.lease(of: claim(1, 1))
        #expect(lease?.account == next.membership)
        #expect(actions.first == lease.map { .saveLease($0) })
        // And the receipt that says the new limits.
        let limits = actions.compactMap {
            if case .receipt(let draft)? = $0.message { draft.terms.limits.leases } else { nil }
        }
        #expect(actions.count == 3 && limits == [3])
        #expect(agree(1, 2, .any(count: 2)) == .refused(.limitReached))
        #expect(agree(1, 2, .any(count: 1)) != .refused(.limitReached))
        // Nothing is left on the old one.
        #expect(bench.give(.membershipEnded(.token(id: "old"), .revoked, detail: "")).isEmpty)
        _ = start(2, key: 2, .token("old", limits: Grant.Limits(leases: 2)))
        #expect(agree(2, 1, .any(count: 2)) != .refused(.limitReached))
    }

    @Test func `an offer under an older grant is withdrawn when the newer one does not have its port`() {
        _ = start(1, key: 1, .mesh)
        _ = say(1, .wants(1, .exactly(.only(1_000))))
        let actions = bench.give(.grantRenewed(.number(1), .token("t", ports: [.only(1_001)])))
        #expect(details(in: actions) == ["your token no longer allows port 1000"])
        #expect(bench.held.isEmpty)
        #expect(say(1, .commit(.number(1), attempt: 1)).isEmpty)
        // The rest of a walk goes where the newer one leads.
        #expect(agree(1, 2, .any(count: 1)) == .ports(.only(1_001)))
    }

    @Test func `after a renewal the walk of an open offer keeps to the newer grant`() {
        _ = start(1, key: 1, .token("t", ports: [PortRange(first: 1_000, count: 50)!]))
        guard case .offer(let first)? = say(1, .wants(1, .any(count: 1))).last?.message else {
            Issue.record("no offer")
            return
        }
        let newer = Grant.token("t", ports: [first.ports, .only(1_099)])
        #expect(bench.give(.grantRenewed(.number(1), newer)).isEmpty)
        var offered: Set<UInt16> = []
        var attempt = first.attempt
        while case .offer(let next)? = say(1, .decline(.number(1), attempt: attempt, reason: .portTakenHere)).last?
            .message
        {
            offered.insert(next.ports.first)
            attempt = next.attempt
        }
        #expect(offered.isSubset(of: [first.ports.first, 1_099]) && offered.contains(1_099))
    }

    @Test func `under a lower limit what is there stays and comes back, and nothing is added`() {
        _ = start(1, key: 1, .token("t", limits: Grant.Limits(leases: 9)))
        #expect(agree(1, 1, .exactly(.only(1_001))) != .nothing)
        #expect(agree(1, 2, .exactly(.only(1_002))) != .nothing)
        _ = say(1, .wants(3, .any(count: 1)))
        let lower = Grant.token("t", limits: Grant.Limits(leases: 1))
        let actions = bench.give(.grantRenewed(.number(1), lower))
        #expect(actions.allSatisfy { $0.isAboutReceipt })
        #expect(details(in: say(1, .commit(.number(3), attempt: 1))).count == 1)
        #expect(agree(1, 3, .any(count: 1)) == .refused(.limitReached))
        #expect(bench.held.count == 2)
        _ = start(2, key: 1, lower, instance: 2)
        #expect(agree(2, 1, .any(count: 1)) == .ports(.only(1_001)))
        #expect(agree(2, 2, .any(count: 1)) == .ports(.only(1_002)))
        #expect(agree(2, 2, .any(count: 2)) == .refused(.limitReached))
    }

    @Test func `renewing with what has run out ends the session, and a session that is gone is passed over`() {
        _ = start(1, key: 1, .mesh)
        let actions = bench.give(.grantRenewed(.number(1), .token("t", expires: bench.wall)))
        #expect(actions.contains(.end(.number(1), .expired, detail: "the token ran out; ask for a new one")))
        #expect(core.sessionCount == 0)
        #expect(bench.give(.grantRenewed(.number(1), .mesh)).isEmpty)
    }

    // MARK: Visitors of a mapping

    @Test func `the filter of a request comes with its port, and a repeated request changes it`() throws {
        let inside = try [Network("10.0.0.0/8")]
        let outside = try [Network("10.66.0.0/16"), Network("2001:db8::/32")]
        _ = start(1, key: 1, .mesh)
        _ = say(1, .wants(1, .exactly(.only(1_000)), allow: inside, deny: outside))
        let filter = NetworkFilter(allow: inside, deny: outside)
        #expect(say(1, .commit(.number(1), attempt: 1)).contains(.listen(claim(1, 1), .number(1), filter)))
        #expect(core.standing(of: claim(1, 1))?.filter == filter)
        // It lasts while the target is away, and ends with the session that asked for it.
        _ = say(1, .report(.number(1), state: .targetDown))
        #expect(say(1, .report(.number(1), state: .active)).first == .listen(claim(1, 1), .number(1), filter))
        _ = say(1, .wants(1, .exactly(.only(1_000))))
        #expect(say(1, .commit(.number(1), attempt: 1)).contains(.listen(claim(1, 1), .number(1), .everybody)))
        _ = bench.give(.sessionEnded(.number(1)))
        #expect(core.standing(of: claim(1, 1))?.filter == nil)
    }
}
