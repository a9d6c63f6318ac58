import Foundation
import PeerCore
import PeerTokens
import PeerWire
import Testing

extension NodeKey {
    /// A key that is easy to tell from others; nobody can sign with it.
    static func number(_ number: UInt8) -> NodeKey { NodeKey(bytes: [UInt8](repeating: number, count: 32))! }
}

extension [UInt8] {
    static func seed(_ number: UInt8) -> [UInt8] { [UInt8](repeating: number, count: 32) }
}

extension WallTime {
    static let start = WallTime(seconds: 1_800_000_000)
}

/// A relay's authority with what it would keep in its table.
final class TokenBench {
    static let relay = NodeIdentity(seed: .seed(1))!.key
    static let key = TokenKey(seed: .seed(11))!
    static let older = TokenKey(seed: .seed(12), validUntil: .start + 1_000)!
    static let peer = NodeKey.number(5)

    var authority = TokenAuthority(relay: relay, current: key)
    var revoked: Set<String> = []
    var bound: [String: NodeKey] = [:]
    private(set) var asked: [String] = []

    static func order(_ change: (inout TokenAuthority.Order) -> Void = { _ in }) -> TokenAuthority.Order {
        var order = TokenAuthority.Order(name: "ci-box", scope: TokenScope(), lifetime: 3_600)
        change(&order)
        return order
    }

    func issue(_ order: TokenAuthority.Order = order(), id: String = "t1") async throws -> String {
        try await authority.issue(order, id: id, at: .start).text
    }

    func judge(_ token: String, from node: NodeKey = peer, at now: WallTime = .start) async -> TokenVerdict {
        await authority.judge(
            token, from: node, at: now,
            isRevoked: { id in
                asked.append(id)
                return revoked.contains(id)
            },
            boundKey: { id, node, _ in
                if let known = bound[id] { return known }
                bound[id] = node
                return node
            })
    }

    func refusal(_ token: String, from node: NodeKey = peer, at now: WallTime = .start) async -> TokenRefusal? {
        guard case .refused(let refusal) = await judge(token, from: node, at: now) else { return nil }
        return refusal
    }
}

/// Tokens put together by hand, without the code under test.
enum Handmade {
    static func part(_ json: [String: Any]) throws -> String {
        url(try JSONSerialization.data(withJSONObject: json, options: [.sortedKeys]))
    }

    static func url(_ bytes: some Sequence<UInt8>) -> String {
        Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    static var claims: [String: Any] {
        let relay = TokenBench.relay.description
        return [
            "iss": relay, "aud": relay, "sub": "ci-box", "iat": 1_800_000_000, "nbf": 1_800_000_000,
            "exp": 1_800_003_600, "jti": "t1", "scope": [String: Any](),
        ]
    }

    static var header: [String: Any] { ["alg": "EdDSA", "typ": "JWT", "kid": TokenBench.key.id] }

    static func signed(
        _ header: [String: Any] = header, _ claims: [String: Any] = claims, by seed: [UInt8] = .seed(11)
    ) throws -> String {
        try signed(part(header), part(claims), by: seed)
    }

    static func signed(_ header: String, _ payload: String, by seed: [UInt8] = .seed(11)) -> String {
        let text = "\(header).\(payload)"
        return "\(text).\(url(NodeIdentity(seed: seed)!.signature(for: Array(text.utf8))))"
    }
}
