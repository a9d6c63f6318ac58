import Foundation
import PeerCore
import PeerTokens
import PeerWire
import TestSupport
import Testing

/// Another implementation of the same standards reads ours, and we read its.
@Suite(.enabled(if: PyJWT.isInstalled, "needs python3-jwt and python3-cryptography"))
struct PyJWTTests {
    let bench = TokenBench()

    @Test func `PyJWT verifies a token of ours with our public key`() async throws {
        var scope = TokenScope()
        scope.ports = [PortRange(first: 30_000, last: 30_010)!]
        scope.domains = ["*.example.org"]
        let token = try await bench.issue(
            TokenBench.order {
                $0.scope = scope
                $0.name = "bürö"
            })
        let found = try PyJWT.run(
            """
            import json, jwt, sys
            token, key, relay = json.load(sys.stdin)
            claims = jwt.decode(token, key, algorithms=["EdDSA"], audience=relay, issuer=relay,
                options={"require": ["exp", "iat", "nbf", "jti", "sub"], "verify_exp": False, "verify_nbf": False,
                    "verify_iat": False})
            print(json.dumps({"claims": claims, "kid": jwt.get_unverified_header(token)["kid"]}))
            """,
            [token, Curve25519PEM.publicKey(TokenBench.key.publicKey), TokenBench.relay.description])
        #expect(found.status == 0, "\(found.errors)")
        let result = try #require(
            try JSONSerialization.jsonObject(with: Data(found.output.utf8)) as? [String: Any])
        #expect(result["kid"] as? String == TokenBench.key.id)
        let claims = try #require(result["claims"] as? NSDictionary)
        #expect(claims["sub"] as? String == "bürö")
        #expect(claims["scope"] as? NSDictionary == ["ports": ["30000-30010"], "domains": ["*.example.org"]])
    }

    @Test func `PyJWT refuses a token of ours with another key`() async throws {
        let found = try PyJWT.run(
            """
            import json, jwt, sys
            token, key, relay = json.load(sys.stdin)
            jwt.decode(token, key, algorithms=["EdDSA"], audience=relay, options={"verify_nbf": False})
            """,
            [
                try await bench.issue(), Curve25519PEM.publicKey(TokenKey(seed: .seed(66))!.publicKey),
                TokenBench.relay.description,
            ])
        #expect(found.status != 0 && found.errors.contains("InvalidSignatureError"), "\(found.errors)")
    }

    @Test func `a token that PyJWT made with our key is accepted`() async throws {
        let found = try PyJWT.run(
            """
            import json, jwt, sys
            key, kid, relay = json.load(sys.stdin)
            print(jwt.encode({"iss": relay, "aud": relay, "sub": "ci", "iat": 1800000000, "nbf": 1800000000,
                "exp": 1800003600, "jti": "py-1", "scope": {"protocols": ["udp"], "rate": 5}},
                key, algorithm="EdDSA", headers={"kid": kid}))
            """,
            [Curve25519PEM.privateKey(.seed(11)), TokenBench.key.id, TokenBench.relay.description])
        #expect(found.status == 0, "\(found.errors)")
        let token = found.output.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(
            await bench.judge(token)
                == .granted(
                    Grant(
                        membership: .token(id: "py-1"), protocols: .udp, limits: Grant.Limits(bytesPerSecond: 5),
                        expires: .start + 3_600), id: "py-1"))
    }
}

enum PyJWT {
    static let isInstalled = (try? run("import jwt, cryptography", []))?.status == 0

    /// - Parameter input: what the program reads as JSON; keys are no matter for a command line.
    static func run(_ program: String, _ input: [String]) throws -> Ran {
        try Ran(["python3", "-c", program], input: String(decoding: try JSONEncoder().encode(input), as: UTF8.self))
    }
}
