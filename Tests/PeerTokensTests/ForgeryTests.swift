import Crypto
import Foundation
import PeerCore
import PeerTokens
import PeerWire
import Testing

/// What somebody may try who has no key of the relay, or a real token and the wish for more.
@Suite struct ForgeryTests {
    let bench = TokenBench()

    @Test func `what the tests put together by hand is accepted when nothing is wrong with it`() async throws {
        #expect(await bench.refusal(try Handmade.signed()) == nil)
    }

    @Test func `with any one bit changed a token is refused`() async throws {
        let token = Array(try await bench.issue().utf8)
        for index in token.indices {
            for bit in 0..<8 {
                var changed = token
                changed[index] ^= 1 << bit
                let text = String(decoding: changed, as: UTF8.self)
                if await bench.refusal(text) == nil { Issue.record("bit \(bit) of byte \(index) may be changed") }
            }
        }
        #expect(bench.bound.isEmpty)
    }

    @Test func `with a character more or less it is refused`() async throws {
        let token = try await bench.issue()
        for extra in ["=", ".", "A", " ", "\n", "\0"] {
            #expect(await bench.refusal(token + extra) != nil)
            #expect(await bench.refusal(extra + token) != nil)
        }
        for length in 0..<token.utf8.count where await bench.refusal(String(token.prefix(length))) == nil {
            Issue.record("the first \(length) are enough")
        }
    }

    @Test(arguments: ["none", "None", "NONE", ""]) func `an unsigned token is refused`(name: String) async throws {
        var header = Handmade.header
        header["alg"] = name
        let unsigned = "\(try Handmade.part(header)).\(try Handmade.part(Handmade.claims))."
        #expect(await bench.refusal(unsigned) == .algorithm(name))
        #expect(await bench.refusal(try Handmade.signed(header)) == .algorithm(name))
    }

    @Test func `the public key is no secret to sign with`() async throws {
        var header = Handmade.header
        header["alg"] = "HS256"
        let text = "\(try Handmade.part(header)).\(try Handmade.part(Handmade.claims))"
        let pem = Curve25519PEM.publicKey(TokenBench.key.publicKey)
        for secret in [TokenBench.key.publicKey, Array(pem.utf8), Array(TokenBench.relay.bytes)] {
            let code = HMAC<SHA256>.authenticationCode(
                for: Data(text.utf8), using: SymmetricKey(data: secret))
            #expect(await bench.refusal("\(text).\(Handmade.url(code))") == .algorithm("HS256"))
        }
        // The same with the algorithm that counts in the header.
        let code = HMAC<SHA512>.authenticationCode(
            for: Data("\(try Handmade.part(Handmade.header)).\(try Handmade.part(Handmade.claims))".utf8),
            using: SymmetricKey(data: TokenBench.key.publicKey))
        let confused = [try Handmade.part(Handmade.header), try Handmade.part(Handmade.claims), Handmade.url(code)]
        #expect(await bench.refusal(confused.joined(separator: ".")) == .wrongSignature)
    }

    @Test(arguments: ["eddsa", "EDDSA", "ES256", "RS256", "Ed25519"])
    func `no other algorithm counts, nor another spelling`(name: String) async throws {
        var header = Handmade.header
        header["alg"] = name
        #expect(await bench.refusal(try Handmade.signed(header)) == .algorithm(name))
    }

    @Test func `a key of one's own is not taken, whatever the header says of it`() async throws {
        let forger = TokenKey(seed: .seed(66))!
        #expect(await bench.refusal(try Handmade.signed(by: .seed(66))) == .wrongSignature)
        var header = Handmade.header
        header["kid"] = forger.id
        #expect(await bench.refusal(try Handmade.signed(header, by: .seed(66))) == .unknownKey(forger.id))
        header = Handmade.header
        header["jwk"] = ["kty": "OKP", "crv": "Ed25519", "x": Handmade.url(forger.publicKey)]
        header["jku"] = "https://example.org/keys"
        #expect(await bench.refusal(try Handmade.signed(header, by: .seed(66))) == .wrongSignature)
        header = Handmade.header
        header["kid"] = nil
        #expect(await bench.refusal(try Handmade.signed(header)) == .malformed("its header has no 'kid'"))
        header["kid"] = 7
        #expect(await bench.refusal(try Handmade.signed(header)) == .malformed("its header has a wrong 'kid'"))
        // Ours, but the one that signs is not the one that is named.
        bench.authority = TokenAuthority(relay: TokenBench.relay, current: TokenBench.key, previous: TokenBench.older)
        #expect(await bench.refusal(try Handmade.signed(by: .seed(12))) == .wrongSignature)
    }

    @Test func `extensions that must be understood are not`() async throws {
        var header = Handmade.header
        header["crit"] = ["b64"]
        header["b64"] = false
        #expect(await bench.refusal(try Handmade.signed(header))?.description.contains("extensions") == true)
    }

    @Test func `numbers that fit no integer end nothing but the token`() async throws {
        for number in ["1.5", "1e300", "-1e300", "1e19", "18446744073709551616", "1e-300", "NaN", "1e99999"] {
            let header = Handmade.url(
                Array(#"{"alg":"EdDSA","kid":"\#(TokenBench.key.id)","typ":"JWT","x":\#(number)}"#.utf8))
            _ = await bench.judge(Handmade.signed(header, try Handmade.part(Handmade.claims)))
            let claims = String(decoding: try JSONSerialization.data(withJSONObject: Handmade.claims), as: UTF8.self)
            for claim in ["1800003600", "1800000000"] {
                let changed = Handmade.url(Array(claims.replacing(claim, with: number).utf8))
                _ = await bench.judge(Handmade.signed(try Handmade.part(Handmade.header), changed))
            }
        }
    }

    @Test func `deep and endless JSON is refused`() async throws {
        let deep = String(repeating: "[", count: 2_500)
        let refusal = await bench.refusal(Handmade.signed(Handmade.url(Array(deep.utf8)), "e30"))
        #expect(refusal == .malformed("its header is no JSON"))
        let long = String(repeating: "A", count: 9_000)
        #expect(await bench.refusal("\(long).\(long).\(long)")?.description.contains("4096") == true)
    }

    @Test(arguments: ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "scope"])
    func `a missing or strange claim is named`(claim: String) async throws {
        var claims = Handmade.claims
        claims[claim] = nil
        #expect(
            await bench.refusal(try Handmade.signed(Handmade.header, claims))
                == .malformed("its payload has no '\(claim)'"))
        claims[claim] = [1]
        let refusal = await bench.refusal(try Handmade.signed(Handmade.header, claims))
        #expect(refusal == .malformed("its payload has a wrong '\(claim)'"))
        claims[claim] = NSNull()
        #expect(await bench.refusal(try Handmade.signed(Handmade.header, claims)) != nil)
    }

    @Test(
        arguments: [
            ("ports", #"["0"]"#), ("ports", #"["5-3"]"#), ("ports", #""30000""#), ("ports", "null"),
            ("protocols", #"["sctp"]"#), ("protocols", "null"), ("domains", #"["a b"]"#), ("domains", #"["*"]"#),
            ("domains", #"["A.example"]"#), ("domains", "null"), ("max_connections", "-1"),
            ("max_connections", #""9""#), ("max_connections", "null"), ("rate", "null"),
            ("max_mappings", "true"), ("max_leases", "null"), ("max_dreams", "7"), ("Ports", #"["1"]"#),
        ])
    func `a scope that is not understood opens nothing`(member: String, json: String) async throws {
        var claims = Handmade.claims
        claims["scope"] = [
            member: try JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed)
        ]
        let refusal = await bench.refusal(try Handmade.signed(Handmade.header, claims))
        guard case .malformed(let what) = refusal else {
            Issue.record("\(member) = \(json): \(String(describing: refusal))")
            return
        }
        #expect(what.contains(member))
    }

    @Test func `names that would break a line or a table are refused`() async throws {
        for jti in ["", "a b", "a\nb", String(repeating: "j", count: 65), "é"] {
            var claims = Handmade.claims
            claims["jti"] = jti
            let refusal = await bench.refusal(try Handmade.signed(Handmade.header, claims))
            #expect(refusal?.description.contains("jti") == true)
        }
        var claims = Handmade.claims
        claims["sub"] = "a\u{1b}[31m"
        #expect(await bench.refusal(try Handmade.signed(Handmade.header, claims))?.description.contains("sub") == true)
        claims = Handmade.claims
        claims["cnf"] = ["jwk": ["kty": "OKP", "crv": "Ed25519", "x": "AAAA"]]
        #expect(await bench.refusal(try Handmade.signed(Handmade.header, claims))?.description.contains("cnf") == true)
    }
}

enum Curve25519PEM {
    /// As openssl writes it (RFC 8410, section 4).
    static func publicKey(_ bytes: [UInt8]) -> String {
        let der: [UInt8] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00] + bytes
        return "-----BEGIN PUBLIC KEY-----\n\(Data(der).base64EncodedString())\n-----END PUBLIC KEY-----\n"
    }

    /// As `token.key` holds it (RFC 8410, section 7).
    static func privateKey(_ seed: [UInt8]) -> String {
        let prefix: [UInt8] = [
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
        ]
        return "-----BEGIN PRIVATE KEY-----\n\(Data(prefix + seed).base64EncodedString())\n-----END PRIVATE KEY-----\n"
    }
}
