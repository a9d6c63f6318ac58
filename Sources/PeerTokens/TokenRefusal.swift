public import PeerCore
internal import PeerWire

/// Why a token opens nothing. `description` is one line for people.
public enum TokenRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    case malformed(String)
    /// Anything but EdDSA: `none`, or a symmetric one with the public key as the secret.
    case algorithm(String)
    /// No key of this relay has that name.
    case unknownKey(String)
    /// Signed by a key that was rotated out, and whose time beside the new one is over.
    case retiredKey(String, until: WallTime, now: WallTime)
    case wrongSignature
    /// `audience` as the token says it.
    case otherRelay(audience: String)
    case expired(at: WallTime, now: WallTime)
    case notYetValid(from: WallTime, now: WallTime)
    case revoked
    /// Another node key is named in it, or was the first to use it.
    case boundToAnotherKey

    public var description: String {
        switch self {
        case .malformed(let what): "this is no token: \(what)"
        case .algorithm(let name): "the token claims the algorithm '\(Self.shown(name))'; only EdDSA counts"
        case .unknownKey(let name): "this relay does not have the key that signed the token (\(Self.shown(name)))"
        case .retiredKey(let name, let until, let now):
            "the token's key \(name) was replaced: \(Self.clock(now)); "
                + "the key was valid until \(Self.text(until)); ask the relay's owner for a new token"
        case .wrongSignature: "the token's signature is wrong: it was changed, or this relay did not make it"
        case .otherRelay(let audience):
            "the token belongs to another relay (\(NodeKey(audience)?.short ?? Self.shown(audience)))"
        case .expired(let end, let now):
            "the token is over: \(Self.clock(now)); the token was valid until \(Self.text(end))"
        case .notYetValid(let start, let now):
            "the token does not count yet: \(Self.clock(now)); the token is valid from \(Self.text(start))"
        case .revoked: "the token was revoked"
        case .boundToAnotherKey:
            "the token belongs to another node key: the first that used it, or the one that it was made for"
        }
    }

    private static func clock(_ now: WallTime) -> String { "this relay's clock says \(text(now))" }

    private static func text(_ time: WallTime) -> String { RFC3339.text(unixSeconds: time.seconds) }

    /// Foreign text, short enough for a line and without anything that moves a terminal's cursor.
    private static func shown(_ text: String) -> String {
        let plain = text.unicodeScalars.filter { $0.value > 0x20 && $0.value < 0x7f }
        return String(plain.prefix(40).map(Character.init))
    }
}

/// What a relay makes of a token.
public enum TokenVerdict: Hashable, Sendable {
    /// `id` is the token's jti.
    case granted(Grant, id: String)
    case refused(TokenRefusal)
}
