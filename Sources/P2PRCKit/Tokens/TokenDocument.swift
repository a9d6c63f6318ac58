internal import FoundationEssentials
internal import PeerStorage
internal import PeerTokens
internal import PeerWire

/// What the commands about tokens print with `--json` (json/schema/tokens.schema.json).
struct TokenDocument: Codable {
    enum State: String, Codable {
        case valid
        case revoked
        case expired
        /// The key that signed it was rotated out.
        case keyReplaced = "key-replaced"
        /// This machine's clock is before the token's beginning.
        case notYet = "not-yet-valid"
    }

    struct Row: Codable {
        var Name: String
        var Id: String
        var State: State
        var Issued: String
        var Expires: String
        var Revoked: String?
        /// The node key that it is bound to, or was made for; `nil`: the first that uses it.
        var Node_key: String?
        var Key: String
        var Scope: TokenScope

        init(_ standing: TokenStanding, state: TokenDocument.State) {
            let token = standing.token
            Name = token.name
            Id = token.id
            State = state
            Issued = token.issued.rfc3339
            Expires = token.expires.rfc3339
            Revoked = standing.revoked?.rfc3339
            Node_key = (standing.boundTo ?? token.node)?.description
            Key = token.key
            Scope = TokenDocument.scope(of: token.scope)
        }
    }

    /// `token issue`.
    struct Issued: Codable {
        /// The token itself: whoever has it can use it.
        var Token: String
        var Name: String
        var Id: String
        var Issued: String
        var Expires: String
        var Node_key: String?
        var Key: String
        var Scope: TokenScope

        init(Token: String, _ row: IssuedToken, _ scope: TokenScope) {
            self.Token = Token
            Name = row.name
            Id = row.id
            Issued = row.issued.rfc3339
            Expires = row.expires.rfc3339
            Node_key = row.node?.description
            Key = row.key
            Scope = scope
        }
    }

    /// `token issue --out`: the token is in the file, and nowhere else.
    struct Written: Codable {
        var File: String
        var Name: String
        var Id: String
        var Expires: String
    }

    /// `token revoke`.
    struct Revoked: Codable {
        var Revoked: [String]
    }

    /// `token rotate-key`.
    struct Rotated: Codable {
        var Key: String
        var Previous_key: String
        var Previous_valid_until: String
    }

    var tokens: [Row]

    /// As the table keeps it.
    static func text(of scope: TokenScope) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(scope)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    /// For listings only: what a token may do is in the token.
    private static func scope(of text: String) -> TokenScope {
        (try? JSONDecoder().decode(TokenScope.self, from: Data(text.utf8))) ?? TokenScope()
    }
}

extension TextTable {
    static func tokens(_ document: TokenDocument) -> String {
        if document.tokens.isEmpty { return "no token was issued here yet; p2prc token issue --help" }
        return table(
            ["NAME", "ID", "STATE", "EXPIRES", "NODE KEY", "SCOPE"],
            document.tokens.map { row in
                [
                    row.Name, row.Id, row.State.rawValue, row.Expires,
                    row.Node_key.map { String($0.prefix(16)) } ?? "-",
                    words(row.Scope),
                ]
            })
    }

    private static func words(_ scope: TokenScope) -> String {
        var words: [String] = []
        if let ports = scope.ports { words.append("ports \(ports.map(\.description).joined(separator: ","))") }
        if let protocols = scope.protocols { words.append(protocols.words.joined(separator: "+")) }
        if let domains = scope.domains { words.append(domains.joined(separator: ",")) }
        if let count = scope.maxConnections { words.append(plural(count, "connection")) }
        if let rate = scope.rate { words.append("\(rate) B/s") }
        if let count = scope.maxMappings { words.append(plural(count, "mapping")) }
        if let count = scope.maxLeases { words.append(plural(count, "lease")) }
        return words.isEmpty ? "all" : words.joined(separator: "; ")
    }

    private static func plural(_ count: some BinaryInteger, _ noun: String) -> String {
        "\(count) \(noun)\(count == 1 ? "" : "s")"
    }
}
