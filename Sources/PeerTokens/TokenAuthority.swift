internal import JWTKit
public import PeerCore
public import PeerWire

/// Issues a relay's tokens and judges those that are shown to it. A value: time, random names and what was revoked or
/// bound come in as arguments.
public struct TokenAuthority: Sendable {
    /// Seconds by which a relay's clock may have been set back since it issued a token.
    public static let leeway: Int64 = 60

    public let relay: NodeKey
    /// Keys that the relay had before, whose tokens still count for a while.
    public let formerRelays: [FormerRelay]
    /// The one that signs is the first.
    public let keys: [TokenKey]

    /// - Parameter previous: the key before `current`, with the end of its validity. It signs nothing.
    public init(relay: NodeKey, formerRelays: [FormerRelay] = [], current: TokenKey, previous: TokenKey? = nil) {
        self.relay = relay
        self.formerRelays = formerRelays
        // A rotation that was cut short leaves one key in both places; then it is the current one.
        keys = [current] + [previous].compactMap { $0 }.filter { $0.id != current.id }
    }

    /// A node key that the relay handed over to its present one.
    public struct FormerRelay: Hashable, Sendable {
        public var key: NodeKey
        public var until: WallTime

        public init(key: NodeKey, until: WallTime) {
            self.key = key
            self.until = until
        }
    }

    // MARK: - Issuing

    public struct Order: Hashable, Sendable {
        /// Who it is for, for listings.
        public var name: String
        public var scope: TokenScope
        /// Seconds.
        public var lifetime: Int64
        /// The only node key that may use it; `nil`: the first that does.
        public var node: NodeKey?

        public init(name: String, scope: TokenScope, lifetime: Int64, node: NodeKey? = nil) {
            self.name = name
            self.scope = scope
            self.lifetime = lifetime
            self.node = node
        }
    }

    public struct Issued: Hashable, Sendable {
        /// The JSON Web Token.
        public let text: String
        /// Its jti.
        public let id: String
        /// Its kid.
        public let key: String
        public let issued: WallTime
        public let expires: WallTime
    }

    /// - Parameter id: the token's jti, random and used for no other: 1 to 64 letters, digits, `.`, `_` and `-`.
    public func issue(_ order: Order, id: String, at now: WallTime) async throws(TokenRefusal) -> Issued {
        let (end, isTooFar) = now.seconds.addingReportingOverflow(order.lifetime)
        guard order.lifetime > 0, !isTooFar else { throw .malformed("it would be valid for \(order.lifetime) seconds") }
        let claims = try TokenParts.checked(
            TokenClaims(
                iss: relay.description, aud: relay.description, sub: order.name, iat: now.seconds, nbf: now.seconds,
                exp: end, jti: id, scope: order.scope, cnf: order.node.map(Confirmation.init)))
        let key = keys[0]
        let text: String
        do {
            text = try await Self.collection(key).sign(claims, kid: JWKIdentifier(string: key.id))
        } catch { throw .malformed("it cannot be signed: \(error)") }
        guard text.utf8.count <= TokenParts.maximumByteCount else {
            throw .malformed("it would have \(text.utf8.count) bytes; \(TokenParts.maximumByteCount) are the most")
        }
        return Issued(text: text, id: id, key: key.id, issued: now, expires: WallTime(seconds: end))
    }

    // MARK: - Judging

    /// Whether a token, shown by the holder of a node key, opens a session, and what it allows.
    ///
    /// - Parameters:
    ///   - isRevoked: asked about the jti of a token whose signature and time are right.
    ///   - formerly: keys that are known to have become the given one: a token made for one of them is its own.
    ///   - boundKey: asked last: the node key that a token (its jti, its end) is bound to; one that nobody used yet is
    ///     bound to the given key in the same step.
    /// - Throws: only what the last two throw.
    public func judge<Failure: Error>(
        _ token: String, from node: NodeKey, formerly: [NodeKey] = [], at now: WallTime,
        isRevoked: (_ id: String) async throws(Failure) -> Bool,
        boundKey: (_ id: String, _ node: NodeKey, _ expires: WallTime) async throws(Failure) -> NodeKey
    ) async throws(Failure) -> TokenVerdict {
        let claims: TokenClaims
        let keyEnd: WallTime?
        do throws(TokenRefusal) {
            (claims, keyEnd) = try await proven(token, at: now)
            try check(claims, [node] + formerly, now)
        } catch { return .refused(error) }
        if try await isRevoked(claims.jti) { return .refused(.revoked) }
        let end = WallTime(seconds: claims.exp)
        guard try await boundKey(claims.jti, node, end) == node else { return .refused(.boundToAnotherKey) }
        // With its key's time, a token's is over too; and with that of the relay's key that it names.
        let last = ([end] + [keyEnd, relayEnd(claims.aud, now)].compactMap { $0 }).min() ?? end
        return .granted(claims.scope.grant(id: claims.jti, expires: last), id: claims.jti)
    }

    /// The claims, once a key of this relay is known to have signed them, and the end of that key's time.
    private func proven(
        _ token: String, at now: WallTime
    ) async throws(TokenRefusal) -> (TokenClaims, keyEnd: WallTime?) {
        let parts = try TokenParts(token)
        guard parts.header.alg == "EdDSA" else { throw .algorithm(parts.header.alg) }
        // Of all that the claims say, this alone is looked at before the signature: it decides which refusal is the
        // helpful one, and nothing else.
        let unproven = try parts.claims()
        guard isOurs(unproven.aud, now) else { throw .otherRelay(audience: unproven.aud) }
        guard let key = keys.first(where: { $0.id == parts.header.kid }) else { throw .unknownKey(parts.header.kid) }
        let claims: TokenClaims
        do {
            // A collection of this one key: with several, the library falls back to its first for names it lacks.
            claims = try await Self.collection(key).verify(parts.text, as: TokenClaims.self)
        } catch let error as JWTError where error.errorType == .signatureVerificationFailed {
            throw .wrongSignature
        } catch { throw .malformed("its signature cannot be checked") }
        if let end = key.validUntil, now >= end { throw .retiredKey(key.id, until: end, now: now) }
        return (try TokenParts.checked(claims), key.validUntil)
    }

    /// Whether this relay goes by that key, or did so until a while ago.
    private func isOurs(_ name: String, _ now: WallTime) -> Bool {
        name == relay.description || relayEnd(name, now) != nil
    }

    /// Until when a former key of this relay counts; `nil` for all others.
    private func relayEnd(_ name: String, _ now: WallTime) -> WallTime? {
        formerRelays.first { $0.key.description == name && now < $0.until }?.until
    }

    private func check(_ claims: TokenClaims, _ nodes: [NodeKey], _ now: WallTime) throws(TokenRefusal) {
        guard isOurs(claims.aud, now), claims.iss == claims.aud else {
            throw .otherRelay(audience: isOurs(claims.iss, now) ? claims.aud : claims.iss)
        }
        guard now.seconds < claims.exp else { throw .expired(at: WallTime(seconds: claims.exp), now: now) }
        guard now.seconds.addingReportingOverflow(Self.leeway).partialValue >= claims.nbf else {
            throw .notYetValid(from: WallTime(seconds: claims.nbf), now: now)
        }
        if let bound = claims.cnf?.nodeKey, !nodes.contains(bound) { throw .boundToAnotherKey }
    }

    private static func collection(_ key: TokenKey) async throws -> JWTKeyCollection {
        let pair = try EdDSA.PrivateKey(d: Base64.encode(key.seed, .url), curve: .ed25519)
        return await JWTKeyCollection().add(eddsa: pair, kid: JWKIdentifier(string: key.id))
    }
}
