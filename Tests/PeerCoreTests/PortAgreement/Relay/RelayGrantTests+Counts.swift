import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// What a membership has, and what of it is counted.
extension RelayGrantTests {
    @Test func `keys are counted for the membership, not for each key`() {
        let grant = Grant.token("t", limits: Grant.Limits(keys: 2))
        #expect(isWelcome(1, key: 1, grant))
        #expect(isWelcome(2, key: 2, grant))
        #expect(!isWelcome(3, key: 3, grant))
        #expect(
            start(4, key: 4, grant)
                == [.end(.number(4), .limitReached, detail: "your token allows 2 nodes: 2 connected")])
        // A key that comes back takes its own place, from the same process and from a new one.
        #expect(isWelcome(5, key: 2, grant))
        #expect(isWelcome(6, key: 2, grant, instance: 2))
        // Others have places of their own, and one that is left is free again.
        #expect(isWelcome(7, key: 7, .token("u", limits: Grant.Limits(keys: 2))))
        _ = bench.give(.sessionEnded(.number(1)))
        #expect(isWelcome(8, key: 3, grant))
    }

    @Test func `ports are counted for the membership, and stay counted when the session is gone`() {
        let grant = Grant.token("t", limits: Grant.Limits(leases: 5))
        _ = start(1, key: 1, grant)
        _ = start(2, key: 2, grant)
        #expect(agree(1, 1, .any(count: 3)) != .nothing)
        #expect(agree(2, 1, .any(count: 3)) == .refused(.limitReached))
        #expect(agree(2, 1, .any(count: 2)) != .refused(.limitReached))
        _ = bench.give(.sessionEnded(.number(1)))
        #expect(agree(2, 2, .any(count: 1)) == .refused(.limitReached))
        _ = bench.give(.sessionEnded(.number(2)))
        _ = start(3, key: 3, grant)
        #expect(agree(3, 1, .any(count: 1)) == .refused(.limitReached))
        // Whoever has them gets them back all the same, at the limit.
        _ = start(4, key: 1, grant, instance: 2)
        #expect(agree(4, 1, .any(count: 3)) != .refused(.limitReached))
        _ = say(4, .release(.number(1)))
        #expect(agree(3, 1, .any(count: 3)) != .refused(.limitReached))
    }

    @Test func `ports that are only offered count too`() {
        _ = start(1, key: 1, .token("t", limits: Grant.Limits(leases: 2)))
        _ = say(1, .wants(1, .any(count: 1)))
        _ = say(1, .wants(2, .any(count: 1)))
        #expect(agree(1, 3, .any(count: 1)) == .refused(.limitReached))
        _ = say(1, .decline(.number(1), attempt: 1, reason: .withdrawn))
        #expect(agree(1, 3, .any(count: 1)) != .refused(.limitReached))
    }

    @Test func `leases that ran out no longer count`() {
        let grant = Grant.token("t", limits: Grant.Limits(leases: 1))
        _ = start(1, key: 1, grant)
        #expect(agree(1, 1, .any(count: 1)) != .nothing)
        _ = bench.give(.sessionEnded(.number(1)))
        bench.now = bench.now + .seconds(3_600)
        _ = bench.give(.timePassed)
        _ = start(2, key: 2, grant)
        #expect(agree(2, 1, .any(count: 1)) != .refused(.limitReached))
    }

    @Test func `leases of a former run count against whom they were written down for`() {
        let grant = Grant.token("t", limits: Grant.Limits(leases: 2))
        _ = start(1, key: 1, grant)
        #expect(agree(1, 1, .any(count: 2)) != .nothing)
        bench = RelayBench(core.policy, at: bench.now, saved: bench.saved)
        bench.restore()
        _ = start(2, key: 2, grant)
        #expect(agree(2, 1, .any(count: 1)) == .refused(.limitReached))
        _ = start(3, key: 3, .token("u", limits: Grant.Limits(leases: 2)))
        #expect(agree(3, 1, .any(count: 1)) != .refused(.limitReached))
    }

    @Test func `a lease goes to the account of whoever holds it now`() {
        let here = Grant.mesh
        let there = Grant(membership: .mesh(network: "198.51.100.0/24"), limits: Grant.Limits(leases: 1))
        _ = start(1, key: 1, here)
        #expect(agree(1, 1, .exactly(.only(1_001))) != .nothing)
        #expect(core.lease(of: claim(1, 1))?.account == here.membership)
        _ = start(2, key: 1, there)
        #expect(agree(2, 1, .exactly(.only(1_001))) == .ports(.only(1_001)))
        #expect(core.lease(of: claim(1, 1))?.account == there.membership)
        #expect(agree(2, 2, .any(count: 1)) == .refused(.limitReached))
    }

    @Test func `mappings are counted for the membership`() {
        let grant = Grant.token("t", limits: Grant.Limits(mappings: 2))
        _ = start(1, key: 1, grant)
        _ = start(2, key: 2, grant)
        #expect(agree(1, 1, .any(count: 1)) != .nothing)
        #expect(agree(2, 1, .any(count: 1)) != .nothing)
        #expect(agree(2, 2, .any(count: 1)) == .refused(.limitReached))
        // Asking again for what is there is no further mapping.
        #expect(agree(2, 1, .any(count: 1)) != .refused(.limitReached))
        _ = bench.give(.sessionEnded(.number(1)))
        #expect(agree(2, 2, .any(count: 1)) != .refused(.limitReached))
    }

    // MARK: A peer's own server port

    private func wantsServerPort(_ session: UInt64, _ mapping: UInt64, _ wish: PortWish = .any(count: 1)) -> Agreed {
        let request = PeerMessage.Request(
            mapping: .number(mapping), protocols: .tcp, wish: wish, target: HostText.serverPort)
        for case .offer(let offer)? in say(session, .request(request)).map(\.message) {
            let answers = say(session, .commit(offer.mapping, attempt: offer.attempt)).map(\.message)
            for case .active? in answers { return .ports(offer.ports) }
            for case .refusal(_, let reason, _)? in answers { return .refused(reason) }
        }
        return .nothing
    }

    @Test func `a peer's own server port counts against no limit of its token, in either order`() {
        for serverPortFirst in [true, false] {
            bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_099)!, leaseSeconds: 3_600))
            _ = start(1, key: 1, .token("t", limits: Grant.Limits(leases: 1, mappings: 1)))
            if serverPortFirst { #expect(wantsServerPort(1, 9) != .nothing) }
            #expect(agree(1, 1, .any(count: 1)) != .refused(.limitReached))
            if !serverPortFirst { #expect(wantsServerPort(1, 9) != .nothing) }
            #expect(bench.listening.count == 2)
            #expect(details(in: say(1, .wants(2, .any(count: 1)))) == ["your token allows 1 mapping: 127.0.0.1:80"])
        }
    }

    @Test func `whatever is called a server port, a token has one that is not counted, and one port wide`() {
        let grant = Grant.token("t", limits: Grant.Limits(leases: 1, mappings: 1))
        _ = start(1, key: 1, grant)
        #expect(wantsServerPort(1, 1, .any(count: 2)) == .nothing)
        #expect(wantsServerPort(1, 2) != .nothing && wantsServerPort(1, 3) != .nothing)
        for mapping in UInt64(4)...20 { #expect(wantsServerPort(1, mapping) == .nothing) }
        // Nor by other keys with the same token, after a restart, or while the session is away.
        _ = start(2, key: 2, grant)
        for mapping in UInt64(4)...20 { #expect(wantsServerPort(2, mapping) == .nothing) }
        _ = bench.give(.sessionEnded(.number(1)))
        #expect(wantsServerPort(2, 30) == .nothing)
        bench = RelayBench(core.policy, at: bench.now, saved: bench.saved)
        bench.restore()
        _ = start(3, key: 1, grant)
        for mapping in UInt64(4)...20 { #expect(wantsServerPort(3, mapping) == .nothing) }
        #expect(bench.held.count == 2)
        // Given back, it is there for another.
        _ = say(3, .release(.number(2)))
        _ = say(3, .release(.number(3)))
        #expect(wantsServerPort(3, 40) != .nothing && wantsServerPort(3, 41) != .nothing)
        #expect(wantsServerPort(3, 42) == .nothing)
    }

    @Test func `members without a token have no port beside what is counted`() {
        bench = RelayBench(
            RelayCore.Policy(
                ports: PortRange(first: 1_000, last: 1_099)!, membershipLimits: Grant.Limits(leases: 1, mappings: 1)))
        _ = start(1, key: 1, .mesh)
        #expect(wantsServerPort(1, 1) != .nothing && wantsServerPort(1, 2) == .nothing)
    }

    @Test func `a server port leaves the last ports of a token to what its holder exposes`() {
        let one = Grant.token("t", ports: [.only(1_007)], limits: Grant.Limits(mappings: 1))
        _ = start(1, key: 1, one)
        #expect(wantsServerPort(1, 9) == .nothing)
        #expect(agree(1, 1, .any(count: 1)) == .ports(.only(1_007)))
        let two = Grant.token("u", ports: [PortRange(first: 1_020, count: 2)!], limits: Grant.Limits(mappings: 1))
        _ = start(2, key: 2, two)
        #expect(wantsServerPort(2, 9) != .nothing)
        // It had the only one when it could: by a wider token, say.
        _ = start(3, key: 3, .token("w"))
        guard case .ports(let had) = wantsServerPort(3, 9) else { return #expect(Bool(false)) }
        _ = start(4, key: 3, .token("v", ports: [had]), instance: 2)
        #expect(wantsServerPort(4, 9) == .nothing)
        #expect(agree(4, 1, .any(count: 1)) == .ports(had))
    }

    @Test func `what was refused is on nobody's account`() {
        let limits = Grant.Limits(leases: 1, mappings: 1)
        _ = start(1, key: 1, .mesh)
        _ = start(2, key: 2, .token("t", limits: limits))
        #expect(agree(1, 1, .exactly(.only(1_000))) != .nothing)
        bench.busy = [1_001]
        for mapping in UInt64(1)...20 {
            #expect(agree(2, mapping, .exactly(.only(1_000))) == .refused(.portLeased))
            #expect(agree(2, 100 + mapping, .exactly(.only(1_001))) == .refused(.portTaken))
        }
        #expect(agree(2, 50, .any(count: 1)) != .refused(.limitReached))
    }

    @Test func `the relay's limits hold for members without their own, and not for tokens`() {
        bench = RelayBench(
            RelayCore.Policy(
                ports: PortRange(first: 1_000, last: 1_099)!,
                membershipLimits: Grant.Limits(keys: 1, leases: 2, mappings: 1, bytesPerSecond: 7)))
        let open = Grant(membership: .openRelay(network: "192.0.2.0/24"))
        #expect(isWelcome(1, key: 1, open))
        #expect(!isWelcome(2, key: 2, open))
        #expect(isWelcome(3, key: 3, Grant(membership: .openRelay(network: "192.0.3.0/24"))))
        #expect(agree(1, 1, .any(count: 3)) == .refused(.limitReached))
        #expect(agree(1, 1, .any(count: 2)) != .refused(.limitReached))
        #expect(agree(1, 2, .any(count: 1)) == .refused(.limitReached))
        #expect(core.limits(of: .number(1))?.bytesPerSecond == 7)

        #expect(isWelcome(4, key: 4, .token("t")))
        #expect(isWelcome(5, key: 5, .token("t")))
        for mapping in UInt64(1)...5 { #expect(agree(4, mapping, .any(count: 3)) != .refused(.limitReached)) }
        #expect(core.limits(of: .number(4)) == Grant.Limits())
        #expect(core.limits(of: .number(2)) == nil)
    }

    @Test func `a thousand node keys from one network are one account`() {
        bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 9_999)!, maximumSessions: 10_000))
        var welcome = 0
        for number in UInt64(1)...1_000 {
            let key = NodeKey(bytes: .seed(number))!
            let network = HostAddress("192.0.2.\(number % 250)")!
            let grant = Grant(membership: .mesh(from: network))
            let actions = bench.give(.sessionProven(.number(number), key: key, introduction: .of(1), grant: grant))
            if actions.contains(.welcome(.number(number))) { welcome += 1 }
        }
        #expect(welcome == RelayCore.Policy.usualLimits.keys)
    }
}
