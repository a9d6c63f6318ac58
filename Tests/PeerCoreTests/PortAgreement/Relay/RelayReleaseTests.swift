import PeerCore
import PeerWire
import SimulationSupport
import Testing

/// What a relay's owner takes back himself.
@Suite final class RelayReleaseTests {
    var bench = RelayBench(RelayCore.Policy(ports: PortRange(first: 1_000, last: 1_099)!))
    let port = PortRange(first: 1_005, count: 1)!

    deinit {
        bench.checkInvariants()
        for violation in bench.violations { Issue.record("\(violation)") }
    }

    private func start(_ session: UInt64, key: UInt8) -> [RelayCore.Action] {
        bench.give(.sessionProven(.number(session), key: .number(key), introduction: .of(1), grant: .mesh))
    }

    private func agree(_ session: UInt64, mapping: UInt64) {
        _ = bench.give(.received(.number(session), .wants(mapping, .exactly(port))))
        _ = bench.give(.received(.number(session), .commit(.number(mapping), attempt: 1)))
    }

    private func refusals(_ actions: [RelayCore.Action]) -> [RefusalReason] {
        actions.compactMap { if case .send(_, .refusal(_, let reason, _)) = $0 { reason } else { nil } }
    }

    @Test func `a lease ends though its peer is here, others may have the port, and he may not for a while`() {
        _ = start(1, key: 1)
        agree(1, mapping: 7)
        let claim = Claim(key: .number(1), mapping: .number(7))
        #expect(bench.listening[claim] != nil)
        let actions = bench.give(.ownerReleased(claim))
        #expect(
            refusals(actions) == [.notGranted] && actions.contains(.removeLease(claim))
                && actions.contains(.free(claim)))
        #expect(bench.core.standings.isEmpty && bench.held[claim] == nil)

        #expect(refusals(bench.give(.received(.number(1), .wants(7, .exactly(port))))) == [.notGranted])
        _ = start(2, key: 2)
        agree(2, mapping: 8)
        #expect(bench.core.standings.map(\.lease.key) == [.number(2)])

        _ = bench.give(.ownerReleased(Claim(key: .number(2), mapping: .number(8))))
        bench.now = bench.now + RelayCore.releaseSpan
        _ = start(3, key: 1)
        _ = bench.give(.received(.number(3), .wants(7, .exactly(port))))
        _ = bench.give(.received(.number(3), .commit(.number(7), attempt: 1)))
        #expect(bench.core.standings.map(\.lease.key) == [.number(1)])
    }

    @Test func `a lease of a peer that is away ends too`() {
        _ = start(1, key: 1)
        agree(1, mapping: 7)
        _ = bench.give(.sessionEnded(.number(1)))
        let claim = Claim(key: .number(1), mapping: .number(7))
        #expect(bench.give(.ownerReleased(claim)) == [.removeLease(claim), .free(claim)])
        #expect(bench.core.standings.isEmpty)
    }

    @Test func `a node that is sent away loses session, visitors and leases, and does not come back at once`() {
        _ = start(1, key: 1)
        agree(1, mapping: 7)
        let actions = bench.give(.ownerSentAway(.number(1)))
        #expect(actions.contains(.abortVisitors(.number(1))))
        #expect(actions.contains { if case .end(_, .revoked, _) = $0 { true } else { false } })
        #expect(bench.core.sessionCount == 0 && bench.core.standings.isEmpty && bench.held.isEmpty)
        let again = start(2, key: 1)
        #expect(again.count == 1)
        #expect(start(3, key: 2).contains(.welcome(.number(3))))
        bench.now = bench.now + RelayCore.releaseSpan
        #expect(start(4, key: 1).contains(.welcome(.number(4))))
    }

    @Test func `what is remembered of it has a bound`() {
        for number in 0..<3_000 {
            bench.now = bench.now + .milliseconds(1)
            _ = bench.give(.ownerReleased(Claim(key: .number(1), mapping: .number(UInt64(number)))))
        }
        _ = start(1, key: 1)
        #expect(refusals(bench.give(.received(.number(1), .wants(2_999, .any(count: 1))))) == [.notGranted])
        #expect(refusals(bench.give(.received(.number(1), .wants(1, .any(count: 1))))).isEmpty)
    }
}
