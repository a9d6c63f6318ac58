internal import FoundationEssentials
internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerTokens
internal import PeerWire

/// The tokens of one home: brings together the keys on the disk, the table of what was issued, and the authority that
/// signs and judges. For whoever holds the home: a running node, or a command without one.
actor TokenService {
    /// What a command did, beside its answer.
    struct Outcome: Sendable {
        var reply: ControlReply
        /// The jtis of tokens that are over before their own end, and when: their sessions end then.
        var ended: [Ending] = []
    }

    struct Ending: Hashable, Sendable {
        var id: String
        var at: WallTime
    }

    private let home: Home
    private var relay: NodeKey
    private var formerRelays: [TokenAuthority.FormerRelay]
    private let table: IPTable
    /// `nil` until the first token is issued.
    private var keys: TokenKeyFiles?

    init(home: Home, relay: NodeKey, history: KeyHistory = KeyHistory(), table: IPTable) throws(StorageError) {
        self.home = home
        self.relay = relay
        formerRelays = Self.formerRelays(history)
        self.table = table
        keys = try TokenKeyFiles.load(home.paths)
    }

    /// The relay has another key from now on; tokens that name one of the former ones count as long as those do.
    func renew(_ relay: NodeKey, _ history: KeyHistory) {
        self.relay = relay
        formerRelays = Self.formerRelays(history)
    }

    private static func formerRelays(_ history: KeyHistory) -> [TokenAuthority.FormerRelay] {
        history.ends(at: WallTime.now.seconds).map {
            TokenAuthority.FormerRelay(key: $0.key, until: WallTime(seconds: $0.until))
        }
    }

    /// What a token that a peer shows in its session is worth. The first node key to show one is bound to it here.
    ///
    /// - Throws: when the table cannot be read or written. Then nobody knows, and the token opens nothing.
    func judge(_ token: String, from node: NodeKey, formerly: [NodeKey] = [], at now: WallTime)
        async throws(StorageError) -> TokenVerdict
    {
        guard let authority = try authority() else { return .refused(.unknownKey("none was ever made here")) }
        let table = table
        return try await authority.judge(
            token, from: node, formerly: formerly, at: now,
            isRevoked: { id throws(StorageError) in try await table.isTokenRevoked(id) },
            boundKey: { id, node, expires throws(StorageError) in
                try await table.bindToken(id, to: node, formerly: formerly, at: now, expires: expires)
            })
    }

    /// Like `judge`, for a handshake: what the token allows, or what its holder may know of the reason.
    func grant(
        for token: String, from node: NodeKey, formerly: [NodeKey], _ log: Logger
    ) async -> (Grant?, reason: String) {
        do throws(StorageError) {
            switch try await judge(token, from: node, formerly: formerly, at: .now) {
            case .granted(let grant, _): return (grant, "")
            case .refused(let refusal): return (nil, refusal.description)
            }
        } catch {
            log.error("a token could not be judged: \(error)")
            return (nil, "the relay cannot judge tokens at the moment")
        }
    }

    func carryOut(_ command: TokenCommand, at now: WallTime) async -> Outcome {
        do throws(CommandError) {
            return switch command {
            case .issue(let request): try await issue(request, now)
            case .list: try await list(now)
            case .revoke(let name): try await revoke(name, now)
            case .rotateKey(let seconds): try await rotateKey(seconds, now)
            }
        } catch {
            return Outcome(reply: ControlReply(status: error.status, text: error.text, document: nil))
        }
    }

    // MARK: -

    private func issue(_ request: TokenRequest, _ now: WallTime) async throws(CommandError) -> Outcome {
        if keys == nil {
            keys = try stored { () throws(StorageError) in
                try TokenKeyFiles.loadOrCreate(in: home, makeSeed: Self.randomSeed)
            }
        }
        guard let authority = try stored({ () throws(StorageError) in try self.authority() }) else {
            throw CommandError(.failure, "the key for tokens could not be made")
        }
        let issued: TokenAuthority.Issued
        do throws(TokenRefusal) {
            issued = try await authority.issue(
                TokenAuthority.Order(
                    name: request.name, scope: request.scope, lifetime: request.lifetime,
                    node: request.node.flatMap { NodeKey($0) }), id: Self.randomID(), at: now)
        } catch { throw CommandError(.usage, "no token was issued: \(error)") }
        let row = IssuedToken(
            id: issued.id, name: request.name, key: issued.key, scope: TokenDocument.text(of: request.scope),
            node: request.node.flatMap { NodeKey($0) }, issued: now, expires: issued.expires)
        do throws(StorageError) {
            // Before anybody sees it: what is not written down could not be revoked.
            try await table.save(row)
        } catch { throw CommandError(error) }
        return Outcome(
            reply: ControlReply(
                status: .success, text: issued.text,
                document: Self.json(TokenDocument.Issued(Token: issued.text, row, request.scope))))
    }

    private func list(_ now: WallTime) async throws(CommandError) -> Outcome {
        let rows = try await standings().map { TokenDocument.Row($0, state: state(of: $0, at: now)) }
        let document = TokenDocument(tokens: rows)
        return Outcome(
            reply: ControlReply(status: .success, text: TextTable.tokens(document), document: Self.json(document)))
    }

    private func revoke(_ name: String, _ now: WallTime) async throws(CommandError) -> Outcome {
        let all = try await standings()
        let exact = all.filter { $0.token.id == name }
        let meant = exact.isEmpty ? all.filter { $0.token.name == name } : exact
        guard !meant.isEmpty else {
            throw CommandError(
                .notFound,
                "no token is called \(name); p2prc token list shows them (p2prc token rotate-key --keep 0s ends all)")
        }
        let live = meant.filter { isLive($0, at: now) }
        for standing in live {
            do throws(StorageError) {
                try await table.revokeToken(standing.token.id, at: now, expires: standing.token.expires)
            } catch { throw CommandError(error) }
        }
        let ids = live.map(\.token.id)
        let text =
            ids.isEmpty
            ? "no token of \(name) is valid any more; nothing was to be done"
            : "revoked: \(ids.joined(separator: ", "))"
        return Outcome(
            reply: ControlReply(
                status: .success, text: text, document: Self.json(TokenDocument.Revoked(Revoked: ids))),
            ended: ids.map { Ending(id: $0, at: now) })
    }

    private func rotateKey(_ keepSeconds: Int64, _ now: WallTime) async throws(CommandError) -> Outcome {
        let live = try await standings().filter { isLive($0, at: now) }.map(\.token)
        // Nothing is awaited from here to the end of the rotation, so that two of them come one after the other.
        let before = try stored { () throws(StorageError) in
            try TokenKeyFiles.loadOrCreate(in: home, makeSeed: Self.randomSeed)
        }
        let end = now + keepSeconds
        let after = try stored { () throws(StorageError) in
            try before.rotate(in: home, to: Self.randomSeed(), previousValidUntil: end)
        }
        keys = after
        guard let authority = try stored({ () throws(StorageError) in try self.authority() }) else {
            throw CommandError(.failure, "the new key for tokens cannot be read")
        }
        let (new, old) = (authority.keys[0].id, authority.keys.last?.id ?? "")
        let lost = live.filter { ![new, old].contains($0.key) }
        var text = "key \(new) signs from now on; tokens of \(old) count until \(end.rfc3339)"
        if !lost.isEmpty { text += "; \(lost.count) tokens of the key before that one are over" }
        let document = TokenDocument.Rotated(Key: new, Previous_key: old, Previous_valid_until: end.rfc3339)
        return Outcome(
            reply: ControlReply(status: .success, text: text, document: Self.json(document)),
            ended: lost.map { Ending(id: $0.id, at: now) }
                + live.filter { $0.key == old && $0.expires > end }.map { Ending(id: $0.id, at: end) })
    }

    // MARK: -

    private func standings() async throws(CommandError) -> [TokenStanding] {
        do throws(StorageError) {
            return try await table.tokens()
        } catch { throw CommandError(error) }
    }

    private func state(of standing: TokenStanding, at now: WallTime) -> TokenDocument.State {
        let token = standing.token
        if standing.revoked != nil { return .revoked }
        if now >= token.expires { return .expired }
        guard let key = (try? authority())??.keys.first(where: { $0.id == token.key }),
            key.validUntil.map({ now < $0 }) ?? true
        else { return .keyReplaced }
        return now + TokenAuthority.leeway < token.issued ? .notYet : .valid
    }

    private func isLive(_ standing: TokenStanding, at now: WallTime) -> Bool {
        switch state(of: standing, at: now) {
        case .valid, .notYet: true
        case .revoked, .expired, .keyReplaced: false
        }
    }

    private func authority() throws(StorageError) -> TokenAuthority? {
        guard let keys else { return nil }
        guard let current = TokenKey(seed: keys.current) else {
            throw StorageError(.damaged, path: home.paths.tokenKey, detail: "it holds no key for tokens")
        }
        let previous = keys.previous.flatMap { TokenKey(seed: $0.seed, validUntil: $0.validUntil) }
        return TokenAuthority(relay: relay, formerRelays: formerRelays, current: current, previous: previous)
    }

    private func stored<Value>(_ body: () throws(StorageError) -> Value) throws(CommandError) -> Value {
        do throws(StorageError) {
            return try body()
        } catch { throw CommandError(error) }
    }

    private static func json(_ document: some Encodable) -> String? {
        (try? OrderedJSON.encode(document)).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func randomID() -> String { Hex.encode(SystemRandomNumberGenerator.bytes(16)) }

    private static func randomSeed() -> [UInt8] { SystemRandomNumberGenerator.bytes(TokenKey.seedByteCount) }
}
