import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// Whose a port is, and for how long.
extension RelayCoreTests {
    @Test func `a port leased to another key is refused, one of another mapping of the same key too`() {
        _ = start(1, key: 1)
        _ = start(2, key: 2)
        #expect(agree(1, 1, .exactly(PortRange(first: 1_010, count: 3)!)) == .ports(PortRange(first: 1_010, count: 3)!))
        #expect(agree(2, 1, .exactly(.only(1_012))) == .refused(.portLeased))
        #expect(agree(1, 2, .exactly(.only(1_010))) == .refused(.portTaken))
        guard case .ports(let ports) = agree(2, 2, .preferably(.only(1_011))) else {
            Issue.record("refused")
            return
        }
        #expect(ports != .only(1_011))
    }

    @Test func `it stays refused while the peer is away, and a new process of the same key has it back at once`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .any(count: 2)) != .nothing)
        let ports = core.standing(of: Self.claim(1, 1))!.lease.ports
        #expect(bench.give(.sessionEnded(.number(1))).contains(.pause(Self.claim(1, 1))))
        #expect(bench.held.count == 1 && bench.listening.isEmpty)

        _ = start(2, key: 2)
        #expect(agree(2, 1, .exactly(ports)) == .refused(.portLeased))
        // Another process, that remembers nothing.
        _ = start(3, key: 1, instance: 2)
        #expect(agree(3, 1, .any(count: 2)) == .ports(ports))
        #expect(bench.listening[Self.claim(1, 1)] == .number(3))
    }

    @Test func `a process that proves the same key later fences the former one, which cannot come back`() {
        _ = start(1, key: 1, instance: 1)
        #expect(agree(1, 1, .exactly(.only(1_050))) == .ports(.only(1_050)))
        let actions = start(2, key: 1, instance: 2)
        #expect(actions.first == .abortVisitors(.number(1)))
        #expect(actions.contains(.end(.number(1), .superseded, detail: "a later process proved the same key")))
        #expect(actions.contains(.pause(Self.claim(1, 1))))
        #expect(actions.contains(.welcome(.number(2))))
        #expect(agree(2, 1, .exactly(.only(1_050))) == .ports(.only(1_050)))

        for session in UInt64(10)...13 {
            #expect(
                start(session, key: 1, instance: 1)
                    == [.end(.number(session), .superseded, detail: "a later process proved the same key")])
        }
        #expect(bench.listening[Self.claim(1, 1)] == .number(2))
        // Not even when the later one is gone.
        _ = bench.give(.sessionEnded(.number(2)))
        #expect(!start(14, key: 1, instance: 1).contains(.welcome(.number(14))))
        #expect(start(15, key: 1, instance: 3).contains(.welcome(.number(15))))
    }

    @Test func `the same process coming back replaces its half-open session and aborts nobody`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_050))) == .ports(.only(1_050)))
        let actions = start(2, key: 1)
        #expect(actions.contains(.end(.number(1), .leaving, detail: "replaced by a new session")))
        #expect(!actions.contains(.abortVisitors(.number(1))))
        #expect(agree(2, 1, .exactly(.only(1_050))) == .ports(.only(1_050)))
        #expect(say(1, .ping(1)).isEmpty)
        #expect(bench.give(.sessionEnded(.number(1))).isEmpty)
        #expect(bench.listening[Self.claim(1, 1)] == .number(2))
    }

    @Test func `a lease ends its time after the last session, and not before`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_050))) == .ports(.only(1_050)))
        bench.now = .zero + .seconds(2_000)
        _ = bench.give(.sessionEnded(.number(1)))
        bench.now = .zero + .seconds(2_000 + 3_599)
        #expect(bench.give(.timePassed).isEmpty)
        bench.now = .zero + .seconds(2_000 + 3_600)
        #expect(bench.give(.timePassed) == [.removeLease(Self.claim(1, 1)), .free(Self.claim(1, 1))])
        _ = start(2, key: 2)
        #expect(agree(2, 1, .exactly(.only(1_050))) == .ports(.only(1_050)))
    }

    @Test func `the lease of a live session is written down again before it runs out on the disk`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_050))) == .ports(.only(1_050)))
        let claim = Self.claim(1, 1)
        var least = Int64.max
        for _ in 0..<5_000 {
            bench.now = bench.now + .seconds(5)
            _ = bench.give(.received(.number(1), .ping(1)))
            _ = bench.give(.timePassed)
            least = min(least, bench.saved[claim]!.expires.seconds - bench.wall.seconds)
        }
        #expect(least >= 3_600 / 2 - 5)
        #expect(bench.listening[claim] == .number(1))
    }

    @Test func `leases survive a restart: their ports are bound at once, and nobody else gets them`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(PortRange(first: 1_020, count: 2)!)) != .nothing)
        #expect(agree(1, 2, .exactly(.only(1_030))) != .nothing)
        bench = RelayBench(core.policy, at: bench.now + .seconds(60), saved: bench.saved)
        bench.restore()
        #expect(bench.held.count == 2 && bench.listening.isEmpty)
        _ = start(2, key: 2)
        #expect(agree(2, 1, .exactly(.only(1_030))) == .refused(.portLeased))
        _ = start(3, key: 1, instance: 2)
        #expect(agree(3, 1, .any(count: 2)) == .ports(PortRange(first: 1_020, count: 2)!))
        #expect(agree(3, 2, .any(count: 1)) == .ports(.only(1_030)))
    }

    @Test func `leases that ran out while the relay was down wait an hour for their peers, and go then`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_030))) != .nothing)
        #expect(agree(1, 2, .exactly(.only(1_031))) != .nothing)
        // Ten years later, or what its clock takes for that.
        bench = RelayBench(core.policy, at: bench.now + .seconds(315_360_000), saved: bench.saved)
        bench.restore()
        #expect(bench.held.count == 2 && bench.saved.count == 2)
        bench.now = bench.now + .seconds(3_590)
        _ = bench.give(.timePassed)
        #expect(bench.held.count == 2)
        _ = start(2, key: 1, instance: 2)
        #expect(agree(2, 1, .any(count: 1)) == .ports(.only(1_030)))
        bench.now = bench.now + .seconds(11)
        _ = say(2, .ping(1))
        _ = bench.give(.timePassed)
        #expect(bench.held.count == 1 && bench.saved.count == 1 && bench.listening.count == 1)
    }

    @Test func `a lease that a wrong clock put into the far future lasts no longer than any other`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_030))) != .nothing)
        let saved = bench.saved.mapValues { lease in
            var lease = lease
            lease.expires.seconds += 3_000_000_000
            return lease
        }
        bench = RelayBench(core.policy, at: bench.now, saved: saved)
        bench.restore()
        bench.now = bench.now + .seconds(UInt64(core.policy.leaseSeconds) + 1)
        _ = bench.give(.timePassed)
        #expect(bench.held.isEmpty && bench.saved.isEmpty)
    }

    @Test func `a clock that jumps ahead ends neither the lease of an absent peer nor the session of a token`() {
        let token = Grant(membership: .token(id: "box"), expires: bench.wall + 7_200)
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_030))) != .nothing)
        _ = bench.give(.sessionEnded(.number(1)))
        _ = bench.give(
            .sessionProven(.number(2), key: .number(2), introduction: .of(1), grant: token))
        let session = Set([SessionID.number(2)])
        bench.error = 2 * 86_400
        #expect(bench.give(.timePassed) == [.clockJumped(seconds: 2 * 86_400)])
        pass(2)
        bench.error = 0
        pass(2)
        #expect(bench.held.count == 1 && bench.saved.count == 1 && Set(bench.sessions.keys) == session)
        // One that stays counts in the end, for the token; of the lease is left what was left of it.
        bench.error = 2 * 86_400
        for _ in 0..<358 { pass(10) }
        #expect(bench.held.count == 1 && bench.saved.count == 1 && Set(bench.sessions.keys) == session)
        pass(20)
        #expect(bench.held.isEmpty && bench.saved.isEmpty && Set(bench.sessions.keys) == session)
        pass(10)
        #expect(bench.sessions.isEmpty)
    }

    /// Time in which session 2 is not silent.
    private func pass(_ seconds: UInt64) {
        bench.now = bench.now + .seconds(seconds)
        _ = bench.give(.received(.number(2), .ping(1)))
        _ = bench.give(.timePassed)
    }

    @Test func `a restored port that something else took is tried again when its peer comes`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .preferably(.only(1_030))) != .nothing)
        #expect(agree(1, 2, .preferably(.only(1_031))) != .nothing)
        #expect(agree(1, 3, .exactly(.only(1_032))) != .nothing)
        bench = RelayBench(core.policy, at: bench.now, busy: [1_030, 1_031, 1_032], saved: bench.saved)
        bench.restore()
        bench.checkInvariants()
        #expect(bench.held.isEmpty)
        bench.busy = [1_031, 1_032]
        _ = start(2, key: 2)
        #expect(agree(2, 1, .exactly(.only(1_030))) == .refused(.portLeased))
        _ = start(3, key: 1, instance: 2)
        #expect(agree(3, 1, .preferably(.only(1_030))) == .ports(.only(1_030)))
        guard case .ports(let other) = agree(3, 2, .preferably(.only(1_031))) else {
            Issue.record("refused")
            return
        }
        #expect(other != .only(1_031))
        #expect(agree(3, 3, .exactly(.only(1_032))) == .refused(.portTaken))
    }

    @Test func `a relay without descriptors refuses, and what is leased is there when it has some`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_030))) != .nothing)
        bench = RelayBench(core.policy, at: bench.now, saved: bench.saved)
        bench.isShort = true
        bench.restore()
        bench.checkInvariants()
        _ = start(2, key: 1, instance: 2)
        #expect(agree(2, 1, .exactly(.only(1_030))) == .refused(.limitReached))
        #expect(agree(2, 2, .any(count: 1)) == .refused(.limitReached))
        _ = start(3, key: 2)
        #expect(agree(3, 1, .exactly(.only(1_030))) == .refused(.portLeased))
        bench.isShort = false
        #expect(agree(2, 1, .exactly(.only(1_030))) == .ports(.only(1_030)))
        #expect(agree(2, 2, .any(count: 1)) != .nothing)
    }

    @Test func `release gives the port back at once`() {
        _ = start(1, key: 1)
        #expect(agree(1, 1, .exactly(.only(1_050))) != .nothing)
        let actions = say(1, .release(.number(1)))
        #expect(
            actions == [
                .removeLease(Self.claim(1, 1)), .free(Self.claim(1, 1)), .send(.number(1), .released(.number(1))),
            ])
        #expect(bench.saved.isEmpty && bench.held.isEmpty && bench.listening.isEmpty)
        _ = start(2, key: 2)
        #expect(agree(2, 1, .exactly(.only(1_050))) == .ports(.only(1_050)))
        // Of what is not there, too.
        #expect(say(1, .release(.number(1))) == [.send(.number(1), .released(.number(1)))])
    }

    @Test func `a release works for a mapping that is offered, paused, or only leased`() {
        _ = start(1, key: 1)
        _ = say(1, .wants(1, .any(count: 1)))
        _ = say(1, .release(.number(1)))
        #expect(bench.held.isEmpty)
        #expect(agree(1, 2, .any(count: 1)) != .nothing)
        _ = say(1, .report(.number(2), state: .targetDown))
        _ = say(1, .release(.number(2)))
        #expect(bench.held.isEmpty && bench.saved.isEmpty)
        #expect(agree(1, 3, .any(count: 1)) != .nothing)
        _ = bench.give(.sessionEnded(.number(1)))
        _ = start(2, key: 1)
        _ = say(2, .release(.number(3)))
        #expect(bench.held.isEmpty && bench.saved.isEmpty)
    }

    @Test func `what cannot be written down is refused and freed`() {
        _ = start(1, key: 1)
        bench.isDiskBroken = true
        #expect(agree(1, 1, .exactly(.only(1_050))) == .refused(.storageFailed))
        #expect(bench.held.isEmpty && bench.listening.isEmpty && core.standings.isEmpty)
        bench.isDiskBroken = false
        #expect(agree(1, 1, .exactly(.only(1_050))) == .ports(.only(1_050)))
    }
}
