import PeerCore
import PeerReactor
import PeerServices
import PeerWire
import Testing

@Suite("Tokens in a session", .timeLimit(.minutes(2)))
struct TokenTests {
    private let bench: ShellBench
    private let service: EchoService

    init() throws {
        bench = try ShellBench()
        service = try EchoService()
    }

    private static let first = "a.first.x"
    private static let second = "a.second.x"

    private func grant(_ id: String, _ change: (inout Grant) -> Void = { _ in }) -> Grant {
        var grant = Grant(membership: .token(id: id))
        change(&grant)
        return grant
    }

    /// A relay that takes nobody but holders of tokens, and a peer that has the first one.
    private func holder(of grant: Grant) throws -> (relay: ShellBench.Relay, peer: ShellBench.Peer) {
        let relay = try bench.relay(meshKeys: [ShellBench.otherMeshKey])
        try relay.host { $0.grants[Self.first] = grant }
        let peer = try bench.peer(at: [])
        try peer.show(Self.first, to: relay)
        return (relay, peer)
    }

    private final class Answer {
        var reasons: [String] = []
    }

    /// What the relay makes of a newer token.
    private func renew(
        _ token: String, at relay: ShellBench.Relay, _ peer: ShellBench.Peer
    ) throws -> String {
        let answer = Answer()
        try peer.run { $0.renew(token: token, at: relay.endpoint) { answer.reasons.append($0) } }
        try bench.time.eventually("answered") { try peer.run { _ in !answer.reasons.isEmpty } }
        #expect(try peer.run { _ in answer.reasons.count } == 1)
        return try peer.run { _ in answer.reasons[0] }
    }

    @Test("a newer one takes the place of the former, and no visitor is dropped when that one ends")
    func renewed() throws {
        let (relay, peer) = try holder(of: grant("first"))
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        let visitor = try HeldVisitor(to: port)
        #expect(visitor.echoes(1))
        let second = grant("second")
        try relay.host { $0.grants[Self.second] = second }
        #expect(try renew(Self.second, at: relay, peer) == "")
        #expect(peer.log.first(with: "the new token is accepted") != nil)
        try relay.run { $0.tokenEnded("first") }
        try bench.time.throughout(.seconds(3), "there") { try relay.sessions == 1 }
        #expect(visitor.echoes(2))
        // It is the second one now by which the session lives.
        try relay.run { $0.tokenEnded("second") }
        try bench.time.eventually("over") { try relay.sessions == 0 }
        try bench.time.eventually("broken off") { visitor.isBrokenOff }
    }

    @Test("a newer one that is rejected changes nothing, and the reason is said")
    func rejected() throws {
        let (relay, peer) = try holder(of: grant("first"))
        let port = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        let visitor = try HeldVisitor(to: port)
        #expect(visitor.echoes(1))
        #expect(try renew("a.third.x", at: relay, peer) == "this relay did not issue that token")
        #expect(peer.log.first(with: "the new token is not accepted, the former one stays") != nil)
        #expect(visitor.echoes(2))
        #expect(try relay.sessions == 1)
    }

    @Test("one that was revoked a moment ago does not count")
    func revokedBefore() throws {
        let (relay, peer) = try holder(of: grant("first"))
        _ = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        let second = grant("second")
        try relay.host { $0.grants[Self.second] = second }
        try relay.run { $0.tokenEnded("second") }
        #expect(try renew(Self.second, at: relay, peer).contains("revoked"))
        #expect(try relay.sessions == 1)
    }

    @Test("they may be shown four times in a row, and then once a second")
    func often() throws {
        let (relay, peer) = try holder(of: grant("first"))
        _ = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        for _ in 0..<4 { #expect(try renew(Self.first, at: relay, peer) == "") }
        let reasons = try (0..<4).map { _ in try renew(Self.first, at: relay, peer) }
        #expect(reasons.contains { $0.contains("too often") }, "\(reasons)")
        try bench.time.throughout(.seconds(2), "there") { try relay.sessions == 1 }
        #expect(try renew(Self.first, at: relay, peer) == "")
    }

    @Test("without a session by a token there is nothing to renew")
    func noSession() throws {
        let relay = try bench.relay()
        let peer = try bench.peer(at: [relay])
        try bench.time.eventually("connected") { try peer.standing(at: relay)?.state == .connected }
        #expect(try renew(Self.first, at: relay, peer) == "there is no session by a token")
        let nowhere = Answer()
        try peer.run { peer in
            peer.renew(token: "x", at: Endpoint(host: "127.0.0.9", port: 1)) { nowhere.reasons.append($0) }
        }
        #expect(try peer.run { _ in nowhere.reasons } == ["there is no session by a token"])
    }

    @Test("one that is still being looked at when the session ends has an answer")
    func lost() throws {
        let (relay, peer) = try holder(of: grant("first"))
        _ = try bench.port(of: peer.expose(1, port: service.port), at: peer)
        let answer = Answer()
        try relay.whileSilent {
            try peer.run { $0.renew(token: Self.first, at: relay.endpoint) { answer.reasons.append($0) } }
            try bench.time.eventually("answered", within: .seconds(10)) {
                try peer.run { _ in answer.reasons.first?.contains("the session ended before") == true }
            }
        }
    }

    @Test("what a newer one forbids ends, and what it allows goes on")
    func narrower() throws {
        let (relay, peer) = try holder(of: grant("first"))
        let ids = try (1...3).map { try peer.expose($0, port: service.port) }
        let ports = try ids.map { try bench.port(of: $0, at: peer) }
        let second = grant("second") { $0.limits.connections = 1 }
        try relay.host { $0.grants[Self.second] = second }
        #expect(try renew(Self.second, at: relay, peer) == "")
        for port in ports {
            try bench.time.eventually("served") { try Visitor.says([3], to: port) == .bytes([3]) }
        }
        var visitor: HeldVisitor?
        try bench.time.eventually("served") {
            visitor = try HeldVisitor(to: ports[0])
            return visitor?.echoes(1) == true
        }
        #expect(try Visitor.says([1], to: ports[1]) == .brokenOff)
    }

    @Test("a holder that was away is let in by the same one again, and one whose time is over is not")
    func comesBack() throws {
        let end = bench.time.clock.wall + 30
        let (relay, peer) = try holder(of: grant("first") { $0.expires = end })
        let id = try peer.expose(1, port: service.port)
        let port = try bench.port(of: id, at: peer)
        try relay.whileSilent {
            try bench.time.eventually("missed", within: .seconds(10)) { try peer.mapping(id)?.state == .offline }
        }
        #expect(try bench.port(of: id, at: peer) == port)
        try bench.time.eventually("over", within: .seconds(40), step: .milliseconds(200)) { try relay.sessions == 0 }
        try bench.time.eventually("told why") {
            try peer.standing(at: relay)?.reason?.contains("the token ran out") == true
        }
        #expect(try Visitor.says([1], to: port) == .refused)
    }

    @Test("a token limits how many nodes are there by it at once")
    func keys() throws {
        let settled = grant("first") { $0.limits.keys = 1 }
        let (relay, peer) = try holder(of: settled)
        try bench.time.eventually("connected") { try peer.standing(at: relay)?.state == .connected }
        let other = try bench.peer(seed: 3, at: [])
        try other.show(Self.first, to: relay)
        try bench.time.eventually("turned away") {
            try other.standing(at: relay)?.reason?.contains("1 connected") == true
        }
        try peer.run { _ = $0.leave(relay.endpoint) }
        try bench.time.eventually("let in") { try other.standing(at: relay)?.state == .connected }
    }
}
