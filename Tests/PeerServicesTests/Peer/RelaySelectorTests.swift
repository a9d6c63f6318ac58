import PeerCore
import PeerReactor
import PeerWire
import Testing

@testable import PeerServices

@Suite("Which relays a peer chooses", .serialized, .timeLimit(.minutes(1)))
final class RelaySelectorTests {
    /// A peer that connects to whatever is chosen, at once.
    private final class Host: RelaySelectorHost {
        var candidates: [RelayCandidate] = []
        var costs: [NodeKey: Instant.Span] = [:]
        var outcomes: [NodeKey: RelayOutcome] = [:]
        var waitsForNamed = false
        var formerKeys: Set<NodeKey> = []
        var outlooks: [FirstChoice.Outlook] = []
        var actions: [String] = []
        weak var selector: RelaySelector?

        func former(among candidates: [RelayCandidate]) -> (keys: Set<NodeKey>, outlooks: [FirstChoice.Outlook]) {
            (formerKeys, outlooks)
        }

        func carryOut(failoverAction action: Failover.Action) {
            switch action {
            case .connect(let key): actions.append("connect \(key.short)")
            case .leave(let key, _): actions.append("leave \(key.short)")
            case .doubt(let key, _): actions.append("doubt \(key.short)")
            case .publish: actions.append("publish")
            }
        }

        var connected: [String] { actions.filter { $0.hasPrefix("connect") } }
    }

    private let time = OwnedTime()
    private let loop: EventLoop

    init() throws { loop = try time.loop() }

    deinit { time.stop() }

    private func key(_ number: UInt8) -> NodeKey { NodeIdentity(seed: ShellBench.seed(number))!.key }

    private func candidate(_ number: UInt8, _ cost: UInt64) -> RelayCandidate {
        RelayCandidate(
            key: key(number), endpoint: Endpoint(host: "127.0.0.\(number)", port: 8_088), cost: .milliseconds(cost))
    }

    private func selector(
        sessions: Int, _ change: @escaping (Host) -> Void
    ) throws -> OnLoop<(selector: RelaySelector, host: Host)> {
        let loop = loop
        let made = try OnLoop(on: loop) { (selector: RelaySelector(by: loop, sessions: sessions), host: Host()) }
        try made.run { parts in
            change(parts.host)
            parts.host.selector = parts.selector
            parts.selector.start(for: parts.host)
        }
        return made
    }

    @Test("are the cheapest, as many as are wanted, and not before they could all be measured")
    func cheapest() throws {
        let candidates = [candidate(1, 30), candidate(2, 10), candidate(3, 20)]
        let chosen = try selector(sessions: 2) { $0.candidates = candidates.sorted { $0.cost < $1.cost } }
        try time.throughout(.seconds(2), "none chosen") { try chosen.run { $0.host.connected.isEmpty } }
        try time.eventually("chosen", within: .seconds(10)) { try chosen.run { $0.host.connected.count == 2 } }
        let wanted = Set([key(2), key(3)].map { "connect \($0.short)" })
        #expect(try Set(chosen.run { $0.host.connected }) == wanted)
        let known = key(2)
        #expect(try chosen.run { $0.selector.candidate(known)?.endpoint.host } == "127.0.0.2")
    }

    @Test("are none where the user wants none but those that it named")
    func none() throws {
        let candidates = [candidate(1, 10)]
        let chosen = try selector(sessions: 0) { $0.candidates = candidates }
        try time.throughout(.seconds(8), "none chosen") { try chosen.run { $0.host.connected.isEmpty } }
    }

    @Test("wait three seconds for those that the user named")
    func named() throws {
        let candidates = [candidate(1, 10)]
        let began = time.clock.now
        let chosen = try selector(sessions: 1) { host in
            host.candidates = candidates
            host.waitsForNamed = true
        }
        try time.eventually("chosen", within: .seconds(10)) { try chosen.run { !$0.host.connected.isEmpty } }
        #expect(time.clock.now - began >= FirstChoice.headStart)
    }

    @Test("begin with those of the last time, unless another one is clearly better")
    func former() throws {
        let (cheap, former) = (candidate(1, 18), candidate(2, 20))
        let chosen = try selector(sessions: 1) { host in
            host.candidates = [cheap, former]
            host.formerKeys = [former.key]
        }
        #expect(try chosen.run { $0.selector.isLoyal })
        try time.eventually("chosen", within: .seconds(10)) { try chosen.run { !$0.host.connected.isEmpty } }
        #expect(try chosen.run { $0.host.connected } == ["connect \(former.key.short)"])
    }

    @Test("count no more for having been used last time when three minutes are over")
    func loyalty() throws {
        let chosen = try selector(sessions: 1) { _ in }
        try time.eventually("over", within: .seconds(200), step: .seconds(1)) {
            try chosen.run { !$0.selector.isLoyal }
        }
    }

    @Test("are published once they serve, and not while they say nothing")
    func published() throws {
        let relay = candidate(1, 10)
        let chosen = try selector(sessions: 1) { $0.candidates = [relay] }
        try time.eventually("chosen", within: .seconds(10)) { try chosen.run { !$0.host.connected.isEmpty } }
        try chosen.run { parts in
            parts.host.costs = [relay.key: .milliseconds(10)]
            parts.selector.established(relay.key, isNamed: false)
        }
        try time.eventually("published", within: .seconds(20)) {
            try chosen.run { parts in
                parts.selector.heard(relay.key)
                return parts.selector.published == [relay.key]
            }
        }
        #expect(try chosen.run { !$0.selector.isSilent(relay.key) })
        try time.eventually("silent", within: .seconds(3)) { try chosen.run { $0.selector.isSilent(relay.key) } }
        #expect(try chosen.run { $0.host.actions.contains("publish") })
        try chosen.run { $0.selector.lost(relay.key) }
        #expect(try chosen.run { $0.selector.published.isEmpty })
    }

    @Test("do nothing more once the peer stops")
    func stopped() throws {
        let candidates = [candidate(1, 10)]
        let chosen = try selector(sessions: 1) { $0.candidates = candidates }
        try chosen.run { parts in
            parts.selector.stop()
            parts.selector.outcomesChanged()
        }
        try time.throughout(.seconds(6), "none chosen") { try chosen.run { $0.host.connected.isEmpty } }
    }
}
