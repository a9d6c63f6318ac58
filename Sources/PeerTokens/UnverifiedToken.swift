public import PeerCore
public import PeerWire

/// What a token says of itself, for its holder, who cannot check it: to send it to the relay that it belongs to and to
/// no other, and to warn before it ends. Nobody decides what a session may do by this.
public struct UnverifiedToken: Hashable, Sendable {
    /// The relay's node key (`aud`).
    public let relay: NodeKey
    /// `sub`.
    public let name: String
    /// `jti`.
    public let id: String
    public let expires: WallTime
    /// The node key that it was made for (`cnf`); `nil`: whoever uses it first.
    public let node: NodeKey?

    /// A scope that this version cannot read is no obstacle: it is the relay's to judge, and that may be a later one.
    public init(_ text: String) throws(TokenRefusal) {
        let claims = try TokenParts(text).holdersClaims()
        guard let relay = NodeKey(claims.aud) else { throw .malformed("its aud is no node key") }
        self.relay = relay
        name = claims.sub
        id = claims.jti
        expires = WallTime(seconds: claims.exp)
        node = claims.cnf?.nodeKey
    }
}
