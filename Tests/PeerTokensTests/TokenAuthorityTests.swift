import Foundation
import PeerCore
import PeerTokens
import PeerWire
import Testing

@Suite struct TokenAuthorityTests {
    let bench = TokenBench()

    @Test func `a token carries the claims that it should, and the name of its key`() async throws {
        var scope = TokenScope()
        scope.ports = [PortRange(first: 30_000, last: 30_010)!, PortRange(first: 443, count: 1)!]
        scope.protocols = [.tcp, .udp]
        scope.domains = ["*.example.org"]
        (scope.maxConnections, scope.rate, scope.maxMappings, scope.maxLeases) = (100, 10_000_000, 3, 4)
        let text = try await bench.issue(
            TokenBench.order {
                $0.scope = scope
                $0.node = .number(5)
            })
        let parts = text.split(separator: ".").map { part in
            var base = part.replacing("-", with: "+").replacing("_", with: "/")
            base += String(repeating: "=", count: (4 - base.count % 4) % 4)
            return Data(base64Encoded: String(base))!
        }
        let header = try #require(try JSONSerialization.jsonObject(with: parts[0]) as? [String: String])
        #expect(header == ["alg": "EdDSA", "typ": "JWT", "kid": TokenBench.key.id])
        let claims = try #require(try JSONSerialization.jsonObject(with: parts[1]) as? NSDictionary)
        let expected: NSDictionary = [
            "iss": TokenBench.relay.description, "aud": TokenBench.relay.description, "sub": "ci-box", "jti": "t1",
            "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_003_600,
            "scope": [
                "ports": ["30000-30010", "443"], "protocols": ["tcp", "udp"], "domains": ["*.example.org"],
                "max_connections": 100, "rate": 10_000_000, "max_mappings": 3, "max_leases": 4,
            ] as NSDictionary,
            "cnf": [
                "jwk": [
                    "kty": "OKP", "crv": "Ed25519", "x": Handmade.url([UInt8](repeating: 5, count: 32)),
                ] as NSDictionary
            ] as NSDictionary,
        ]
        #expect(claims == expected)
        #expect(parts[2].count == 64)
    }

    @Test func `what a token says becomes the grant`() async throws {
        var scope = TokenScope()
        scope.ports = [PortRange(first: 30_000, last: 30_010)!]
        scope.protocols = .tcp
        scope.domains = ["*.example.org", "one.example"]
        (scope.maxConnections, scope.rate, scope.maxMappings, scope.maxLeases) = (100, 10_000_000, 3, 4)
        let token = try await bench.issue(TokenBench.order { $0.scope = scope })
        let grant = Grant(
            membership: .token(id: "t1"), ports: scope.ports, protocols: .tcp,
            domains: ["*.example.org", "one.example"],
            limits: Grant.Limits(leases: 4, mappings: 3, connections: 100, bytesPerSecond: 10_000_000),
            expires: .start + 3_600)
        #expect(await bench.judge(token) == .granted(grant, id: "t1"))
        let open = try await bench.issue(id: "t2")
        #expect(
            await bench.judge(open)
                == .granted(Grant(membership: .token(id: "t2"), expires: .start + 3_600), id: "t2"))
    }

    @Test func `an empty list allows nothing, where none allows all`() async throws {
        var scope = TokenScope()
        (scope.ports, scope.protocols, scope.domains) = ([], [], [])
        let token = try await bench.issue(TokenBench.order { $0.scope = scope })
        guard case .granted(let grant, _) = await bench.judge(token) else {
            Issue.record("refused")
            return
        }
        #expect(grant.ports == [] && grant.protocols == [] && grant.domains == [])
    }

    @Test(arguments: [0, -1, .max] as [Int64]) func `a life that is none is not issued`(lifetime: Int64) async {
        await #expect(throws: TokenRefusal.self) {
            try await bench.issue(TokenBench.order { $0.lifetime = lifetime })
        }
    }

    @Test(arguments: ["", "two\nlines", String(repeating: "n", count: 129)])
    func `a name that is none is not issued`(name: String) async {
        await #expect(throws: TokenRefusal.self) { try await bench.issue(TokenBench.order { $0.name = name }) }
    }

    @Test func `a token that would be refused for its length is not issued`() async {
        var scope = TokenScope()
        scope.domains = (0..<200).map { "name-\($0).a-rather-long-domain-name-for-a-test.example.org" }
        let order = TokenBench.order { $0.scope = scope }
        await #expect(throws: TokenRefusal.self) { try await bench.issue(order) }
    }

    // MARK: Time

    @Test func `a token counts from its first second up to its last, and the clock is named`() async throws {
        let token = try await bench.issue()
        #expect(await bench.refusal(token, at: .start + 3_599) == nil)
        let late = try #require(await bench.refusal(token, at: .start + 3_600))
        #expect(late == .expired(at: .start + 3_600, now: .start + 3_600))
        #expect(late.description.contains("clock says 2027-01-15T09:00:00Z"))
        #expect(late.description.contains("until 2027-01-15T09:00:00Z"))
        #expect(await bench.refusal(token, at: .start + -TokenAuthority.leeway) == nil)
        let early = try #require(await bench.refusal(token, at: WallTime(seconds: 0)))
        #expect(early == .notYetValid(from: .start, now: WallTime(seconds: 0)))
        #expect(early.description.contains("clock says 1970-01-01T00:00:00Z"))
        #expect(early.description.contains("valid from 2027-01-15T08:00:00Z"))
        #expect(await bench.refusal(token, at: .start + (-TokenAuthority.leeway - 1)) != nil)
    }

    @Test(arguments: [Int64.min, .max]) func `no time, on the clock or in a token, ends the process`(
        seconds: Int64
    ) async throws {
        let token = try await bench.issue()
        #expect(await bench.refusal(token, at: WallTime(seconds: seconds)) != nil)
        for claim in ["exp", "nbf", "iat"] {
            var claims = Handmade.claims
            claims[claim] = seconds
            _ = await bench.judge(try Handmade.signed(Handmade.header, claims))
        }
    }

    // MARK: Who

    @Test func `the first node key to use a token keeps it, every other is refused`() async throws {
        let token = try await bench.issue()
        #expect(await bench.refusal(token, from: .number(5)) == nil)
        #expect(await bench.refusal(token, from: .number(6)) == .boundToAnotherKey)
        #expect(await bench.refusal(token, from: .number(5)) == nil)
        #expect(bench.bound == ["t1": .number(5)])
    }

    @Test func `a token that was made for a node key serves no other, which cannot bind it either`() async throws {
        let token = try await bench.issue(TokenBench.order { $0.node = .number(5) })
        #expect(await bench.refusal(token, from: .number(6)) == .boundToAnotherKey)
        #expect(bench.bound.isEmpty)
        #expect(await bench.refusal(token, from: .number(5)) == nil)
    }

    @Test func `a token of another relay is refused, also one with our key`() async throws {
        let other = TokenAuthority(relay: .number(9), current: TokenBench.key)
        let token = try await other.issue(TokenBench.order(), id: "t1", at: .start).text
        #expect(await bench.refusal(token) == .otherRelay(audience: NodeKey.number(9).description))
        var claims = Handmade.claims
        claims["iss"] = NodeKey.number(9).description
        #expect(
            await bench.refusal(try Handmade.signed(Handmade.header, claims))
                == .otherRelay(audience: NodeKey.number(9).description))
        claims = Handmade.claims
        claims["aud"] = "x\u{1b}[31m" + String(repeating: "y", count: 500)
        let text = try #require(await bench.refusal(try Handmade.signed(Handmade.header, claims))).description
        #expect(!text.contains("\u{1b}") && text.count < 120)
    }

    @Test func `a revoked token is refused, and only sound ones are looked up`() async throws {
        let token = try await bench.issue()
        bench.revoked = ["t1"]
        #expect(await bench.refusal(token) == .revoked)
        #expect(bench.bound.isEmpty, "nothing is bound by it")
        #expect(bench.asked == ["t1"])
        _ = await bench.refusal(token.dropLast(10) + "AAAAAAAAAA")
        _ = await bench.refusal(token, at: .start + 3_600)
        #expect(bench.asked == ["t1"])
    }

    @Test func `what the storage throws comes out as it is`() async throws {
        struct Broken: Error {}
        let token = try await bench.issue()
        await #expect(throws: Broken.self) {
            _ = try await bench.authority.judge(
                token, from: .number(5), at: .start, isRevoked: { _ throws(Broken) in throw Broken() },
                boundKey: { _, node, _ throws(Broken) in node })
        }
    }

    // MARK: Keys

    @Test func `after a rotation both keys count, then only the new one`() async throws {
        let older = TokenAuthority(relay: TokenBench.relay, current: TokenBench.older)
        let old = try await older.issue(TokenBench.order(), id: "old", at: .start).text
        #expect(await bench.refusal(old) == .unknownKey(TokenBench.older.id))
        bench.authority = TokenAuthority(relay: TokenBench.relay, current: TokenBench.key, previous: TokenBench.older)
        let new = try await bench.issue(id: "new")
        #expect(await bench.refusal(old, at: .start + 999) == nil)
        guard case .granted(let grant, _) = await bench.judge(old) else {
            Issue.record("the old key does not count")
            return
        }
        #expect(grant.expires == .start + 1_000, "the session ends with the key")
        let over = try #require(await bench.refusal(old, at: .start + 1_000))
        #expect(
            over == .retiredKey(TokenBench.older.id, until: .start + 1_000, now: .start + 1_000))
        #expect(over.description.contains("clock says"))
        #expect(await bench.refusal(new, at: .start + 1_000) == nil)
        #expect(try await bench.authority.issue(TokenBench.order(), id: "x", at: .start).key == TokenBench.key.id)
    }

    @Test func `a rotation that was cut short changes nothing`() async throws {
        let token = try await bench.issue()
        let cut = TokenKey(seed: .seed(11), validUntil: .start + -1)
        bench.authority = TokenAuthority(relay: TokenBench.relay, current: TokenBench.key, previous: cut)
        #expect(bench.authority.keys.count == 1)
        #expect(await bench.refusal(token) == nil)
    }

    @Test func `a token for its holder says where it belongs`() async throws {
        let token = try UnverifiedToken(
            try await bench.issue(
                TokenBench.order { $0.node = .number(5) }))
        #expect(token.relay == TokenBench.relay && token.name == "ci-box" && token.id == "t1")
        #expect(token.expires == .start + 3_600 && token.node == .number(5))
        #expect(throws: TokenRefusal.self) { try UnverifiedToken("no.token") }
        var claims = Handmade.claims
        claims["aud"] = "relay.example.org"
        let foreign = try Handmade.signed(Handmade.header, claims)
        #expect(throws: TokenRefusal.malformed("its aud is no node key")) { try UnverifiedToken(foreign) }
    }

    @Test func `a holder shows a token with a limit that only a later relay knows`() async throws {
        var claims = Handmade.claims
        claims["scope"] = ["protocols": ["tcp"], "moon": 1] as [String: Any]
        let later = try Handmade.signed(Handmade.header, claims)
        #expect(try UnverifiedToken(later).relay == TokenBench.relay)
        // This relay does not know it, and does not pass it over.
        guard case .malformed? = await bench.refusal(later) else {
            Issue.record("it was not refused")
            return
        }
    }
}
