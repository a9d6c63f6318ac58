internal import JWTKit
internal import PeerWire

/// What a token says, as it is written (RFC 7519). Judged by `TokenAuthority`, never by itself: the library's own
/// checks would read a clock.
struct TokenClaims: JWTPayload {
    /// The relay's node key, both in `iss` and `aud`: a token belongs to the relay that issued it.
    var iss: String
    var aud: String
    /// The name that it was issued for.
    var sub: String
    // Seconds since 1970.
    var iat: Int64
    var nbf: Int64
    var exp: Int64
    var jti: String
    var scope: TokenScope
    var cnf: Confirmation?

    func verify(using algorithm: some JWTAlgorithm) throws {}
}

/// What every reader of a token looks at.
protocol NamedClaims {
    var jti: String { get }
    var sub: String { get }
    var cnf: Confirmation? { get }
}

extension TokenClaims: NamedClaims {}

/// The claims that concern the holder of a token; the others are between the relay and itself.
struct HoldersClaims: Decodable, NamedClaims {
    var aud: String
    var sub: String
    var exp: Int64
    var jti: String
    var cnf: Confirmation?
}

/// The node key that alone may use the token (RFC 7800, section 3.2), as a JSON Web Key (RFC 8037).
struct Confirmation: Codable, Hashable, Sendable {
    struct Key: Codable, Hashable, Sendable {
        var kty: String
        var crv: String
        var x: String
    }

    var jwk: Key

    init(_ key: NodeKey) { jwk = Key(kty: "OKP", crv: "Ed25519", x: Base64.encode(key.bytes, .url)) }

    /// `nil` when it is no Ed25519 key.
    var nodeKey: NodeKey? {
        guard jwk.kty == "OKP", jwk.crv == "Ed25519", let bytes = Base64.decode(jwk.x, .url) else { return nil }
        return NodeKey(bytes: bytes)
    }
}

/// The part before the first dot. Read by itself before the library sees it: which key and which algorithm count is
/// this relay's to say, and the library ends the process over a header with a number past its integers.
struct TokenHeader: Decodable {
    var alg: String
    var kid: String
    /// Extensions that a reader must understand (RFC 7515, section 4.1.11); there are none here.
    var crit: [String]?
}
